"""Whether an output folder may be written: a new run, the rest of an earlier one, or nothing left to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from el4ner.batch.journal import PREDICTIONS
from el4ner.batch.record import read_run
from el4ner.config import BUNDLED, Config
from el4ner.config.base import former_keys
from el4ner.errors import ConfigError
from el4ner.text.formats import STDIN

_SHIPPED = "/el4ner/bundled/"
CACHE = "cache/answers.sqlite"
FORMER_CACHE = "cache.jsonl"
"""The cache of earlier versions; it is no longer read, and holds text."""
CONLL = "predictions.conll"
REPORT = "report.txt"
RESTARTING = "restarting"
"""State of a run whose records are being cleared for a new one."""
Format = Literal["jsonl", "conll"]

FLOW_KEYS = {"windows_in_flight", "cache"}
TRANSPORT_KEYS = {"endpoint", "api_key_env", "concurrency", "timeout_s", "retries"}
"""Keys that decide how fast and where answers come from, not what they are: a run may be resumed with other values."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a run was asked to do, besides its configuration.

    Attributes:
        inputs: files, folders, or ``-``.
        output: the output folder.
        limit: only so many documents; None: all.
        format: ``conll``: predictions.conll as well.
        fresh: forget an earlier run in the output folder.
        resume: insist on an earlier run.
        retry_failed: insist on an earlier run, and do its documents again that failed or are partial.
        max_failures: stop once more documents than this have failed; None: never.
        with_text: whether outputs may hold surfaces.
        command: the command line, for the record.
    """

    inputs: tuple[str, ...]
    output: Path
    limit: int | None = None
    format: Format = "jsonl"
    fresh: bool = False
    resume: bool = False
    retry_failed: bool = False
    max_failures: int | None = None
    with_text: bool = True
    command: tuple[str, ...] = ()


def comparable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration's dump that two attempts of one run must share, as ``{key.path: value}``, by present keys."""
    batch = {key: value for key, value in configuration["batch"].items() if key not in FLOW_KEYS}
    members = [
        {key: value for key, value in member.items() if key not in TRANSPORT_KEYS}
        for member in configuration["members"]
    ]
    return _flat({**configuration, "batch": batch, "members": members})


def check_previous(config: Config, options: JobOptions) -> dict[str, Any] | None:
    """The record of the run that is to be resumed, or None for a new one.

    Raises:
        ConfigError: the folder holds something else than a run with this configuration.
    """
    if options.format == "conll" and not options.with_text:
        raise ConfigError("--format conll writes the text of the documents; leave out --no-text, or use jsonl")
    if options.retry_failed and (options.fresh or STDIN in options.inputs):
        what = "--fresh, which forgets them" if options.fresh else "standard input, which can be read only once"
        raise ConfigError(f"--retry-failed compares documents with earlier records; it does not go with {what}")
    if options.fresh:
        return None
    run = read_run(options.output)
    if run is None or run["state"] in ("purged", RESTARTING):
        _check_empty(options, run)
        return None
    _check_same(config, options, run)
    return run


def may_be_complete(options: JobOptions, run: dict[str, Any]) -> bool:
    """Whether an earlier run has done all that is asked for, unless its input holds something else by now.

    Standard input can be read once only, so that it is never compared before the work begins.
    """
    return (
        run["state"] == "finished"
        and STDIN not in options.inputs
        and (options.output / PREDICTIONS).exists()
        and (options.format != "conll" or (options.output / CONLL).exists())
    )


def _check_empty(options: JobOptions, run: dict[str, Any] | None) -> None:
    predictions = options.output / PREDICTIONS
    if run is None and predictions.exists() and predictions.stat().st_size:
        raise ConfigError(
            f"{predictions} stands there without run.json; use --fresh to overwrite it, or another --output"
        )
    for asked, name in ((options.resume, "--resume"), (options.retry_failed, "--retry-failed")):
        if asked:
            raise ConfigError(f"{options.output} holds no run to resume; leave out {name}")


def _check_same(config: Config, options: JobOptions, run: dict[str, Any]) -> None:
    now, then = comparable(config.model_dump(mode="json")), comparable(run["configuration"])
    changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    if changed:
        named = ", ".join(changed[:5]) + (" and more" if len(changed) > 5 else "")
        raise ConfigError(
            f"{options.output} holds a run with another configuration (changed: {named}); "
            "use --fresh to start anew, or another --output"
        )
    if run["with_text"] != options.with_text:
        was = "without" if run["with_text"] else "with"
        raise ConfigError(f"{options.output} holds a run {was} --no-text; use the same option, or --fresh")


def _flat(data: Any, path: str = "") -> dict[str, Any]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else None
    if items is None:  # what ships lies elsewhere in another installation; the provenance says whether it is the same
        return {path: BUNDLED + data.rpartition(_SHIPPED)[2] if isinstance(data, str) and _SHIPPED in data else data}
    # Empty containers are kept, so that adding a first element is seen as a change.
    flat: dict[str, Any] = {} if items and data else {path: data}
    for key, value in items:
        flat.update(_flat(value, f"{path}.{former_keys().get(str(key), str(key))}" if path else str(key)))
    return flat
