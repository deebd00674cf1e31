"""Whether a text follows a grammar: an independent, slow reader of the part of GBNF that the project writes."""

import re

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[A-Za-z][A-Za-z0-9]*|[()|]')
_ESCAPED = re.compile(r"\\(U[0-9A-F]{8}|.)", re.DOTALL)
_SIGNS = {"n": "\n", "r": "\r", "t": "\t"}


def matches(grammar: str, text: str) -> bool:
    """Whether ``root`` of the grammar describes exactly ``text``."""
    rules = {name: _parse(body) for name, body in (line.split(" ::= ", 1) for line in grammar.splitlines())}
    return len(text) in _ends(("rule", "root"), text, {0}, rules)


def _parse(body: str):
    tokens = _TOKEN.findall(body)
    node, rest = _alternatives(tokens)
    assert not rest, rest
    return node


def _alternatives(tokens):
    ways, way = [], []
    while tokens and tokens[0] != ")":
        token, tokens = tokens[0], tokens[1:]
        if token == "|":
            ways.append(("all", way))
            way = []
        elif token == "(":
            inner, tokens = _alternatives(tokens)
            assert tokens[0] == ")"
            tokens = tokens[1:]
            way.append(inner)
        else:
            way.append(("text", _unescaped(token[1:-1])) if token[0] == '"' else ("rule", token))
    return ("any", [*ways, ("all", way)]), tokens


def _unescaped(literal: str) -> str:
    def sign(found):
        code = found.group(1)
        return chr(int(code[1:], 16)) if code.startswith("U") and len(code) == 9 else _SIGNS.get(code, code)

    return _ESCAPED.sub(sign, literal)


def _ends(node, text, starts, rules):
    """Where a node may end, if it begins at any of some places."""
    kind, content = node
    if kind == "text":
        return {start + len(content) for start in starts if text.startswith(content, start)}
    if not starts:
        return set()
    if kind == "rule":
        return _ends(rules[content], text, starts, rules)
    if kind == "any":
        return set().union(*(_ends(way, text, starts, rules) for way in content))
    for part in content:
        starts = _ends(part, text, starts, rules)
    return starts
