"""What is said of a model: its card, its line in the list, its entry in words, and how to bring one that has no wheels."""

import yaml

from el4ner.models import store
from el4ner.models.registry import Entry, entry_of, megabytes, registry


def card(name: str, source: str, entry: Entry | None) -> str:
    """The README.md beside an installed model: licence, whom to name, source, hash."""
    if entry is None:
        return f"# {name}\n\nBrought from `{source}`. Its licence is where it came from.\n"
    lines = [
        f"# {entry.title}\n",
        f"- made by {entry.maker}, published on the Hugging Face hub as {entry.hub}",
        f"- licence: {entry.licence.name}, {entry.licence.terms}",
        *([f"- {entry.licence.notice}"] if entry.licence.notice else []),
        f"- {entry.architecture}, {entry.parameters:,} parameters, context {entry.context:,} tokens",
        f"- installed by el4ner as `{name}` from {source}",
    ]
    if entry.file:
        lines.append(f"- quantised by others ({entry.file.quantisation}), sha256 `{entry.file.sha256}`")
    if entry.run_as:
        lines.append(f"- changed here: `run.gguf` is the same model quantised again, as {entry.run_as}")
    return "\n".join(lines) + "\n"


def overview() -> str:
    """All models of the registry and all that are installed, a line each."""
    there = store.installed_names()
    rows = [("", "name", "parameters", "languages", "size", "licence")]
    for entry in registry().values():
        licence = entry.licence.name + (", to accept" if entry.licence.accept else "")
        size = megabytes(entry.size) if entry.file else f"({megabytes(entry.size)})"
        languages = " ".join(entry.languages)
        mark = "*" if entry.name in there else ""
        rows.append((mark, entry.name, f"{entry.parameters / 1e6:,.0f} M", languages, size, licence))
    rows += [("*", name, "", "", "", "brought from elsewhere") for name in there if name not in registry()]
    lines = [
        f"{mark:2}{name:20}{count:>11}  {spoken:11}{size:10}{terms}" for mark, name, count, spoken, size, terms in rows
    ]
    return "\n".join([*lines, f"* installed in {store.root()}; (size): in no package index, see show NAME"])


def description(name: str) -> str:
    """All that is known of one model.

    Raises:
        ConfigError: it is neither in the registry nor installed.
    """
    record = store.installed(name)
    entry = registry().get(name) if record else entry_of(name, also=store.installed_names())
    lines = []
    if entry:
        content = entry.model_dump(mode="json", exclude={"file": {"parts"}}, exclude_none=True)
        lines += [
            yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120).rstrip()
        ]
        lines += [f"wheel: {part.wheel}" for part in entry.file.parts] if entry.file else []
    if record:
        lines += [f"installed: {store.model_folder(name)}, from {record.source}"]
        lines += [f"  {file}: {kept.size} bytes, sha256 {kept.sha256}" for file, kept in record.files.items()]
    elif entry:
        lines += ["", f"get it with: {command_to_get(entry)}" if entry.file else how_to_install(entry)]
    return "\n".join(lines)


def command_to_get(entry: Entry) -> str:
    """The command that installs it."""
    return f"python -m el4ner.models get {entry.name}{_accepting(entry)}"


def how_to_install(entry: Entry) -> str:
    """What to do where there is internet, and then here, for a model that no package index carries."""
    terms = f" It comes under the {entry.licence.name} ({entry.licence.terms})." if entry.licence.accept else ""
    return (
        f"{entry.name} is in no package index, and el4ner fetches nothing from a hub.{terms} Where there is internet "
        f"({megabytes(entry.published_size)}):\n"
        "  pip install huggingface_hub\n"
        f"  hf download {entry.hub} --local-dir {entry.folder} --exclude '*.bin' '*.pth' 'original/*'\n"
        "Carry the folder over, and here:\n"
        f"  python -m el4ner.models get --from {entry.folder} --name {entry.name}{_accepting(entry)}\n"
        "Or leave it where it lies, and give its path as model in the configuration."
    )


def _accepting(entry: Entry) -> str:
    return " --accept-licence" if entry.licence.accept else ""
