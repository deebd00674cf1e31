"""Marked copies of many texts at once: drafted, read by the model, kept as far as it agrees."""

from collections.abc import Sequence
from typing import Any

import torch

from el4ner.members.copying import Copying
from el4ner.members.prefixes import Prefixes, extend, padded


def copy_drafted(model: Any, rows: Sequence[Copying], pad_id: int, device: str) -> None:
    """Write all answers to their end or limit; rows that are done leave the batch."""
    before: Prefixes | None = None
    active = [row for row in rows if not row.done]
    while active:
        ids, mask = padded([row.decided + row.draft for row in active], pad_id, "right", device)
        states, read = extend(model, before, ids, mask)
        opens, closes = _preferences(model, states, active)
        kept, at = [], 0
        for row in active:
            decided, places = len(row.decided), len(row.draft) + 1
            kept.append(decided + row.take(opens[at : at + places], closes[at : at + places]))
            at += places
        going = [number for number, row in enumerate(active) if not row.done]
        before = _forget(read, ids.shape[1], kept).select(torch.tensor(going, device=device, dtype=torch.long))
        active = [active[number] for number in going]


def _preferences(model: Any, states: torch.Tensor, rows: Sequence[Copying]) -> tuple[list[bool], list[bool]]:
    """Whether each mark beats the source token at each place of each row, row after row.

    Only the logits that are compared are computed; the vocabulary may be most of a small model.
    """
    head = model.get_output_embeddings()
    device = states.device
    spots = [(n, len(row.decided) - 1 + at) for n, row in enumerate(rows) for at in range(len(row.draft) + 1)]
    found = states[tuple(torch.tensor(spots, device=device).T)]
    rivals = torch.tensor([token for row in rows for token in row.rivals()], device=device)
    marks = torch.tensor([rows[0].task.open, rows[0].task.close], device=device)
    source = (found * head.weight[rivals]).sum(-1)
    marked = found @ head.weight[marks].T
    if getattr(head, "bias", None) is not None:
        source, marked = source + head.bias[rivals], marked + head.bias[marks]
    opens, closes = (marked > source[:, None]).T.tolist()
    return opens, closes


def _forget(read: Prefixes, fresh: int, kept: Sequence[int]) -> Prefixes:
    """What was read, with only the first ``kept`` of each row's last ``fresh`` tokens; the others are masked or cut off."""
    start = read.mask.shape[1] - fresh
    end = start + max(kept)
    places = torch.arange(fresh, device=read.mask.device)
    mask = read.mask.clone()
    mask[:, start:] *= places < torch.tensor(kept, device=mask.device)[:, None]
    return Prefixes([(keys[:, :, :end], values[:, :, :end]) for keys, values in read.layers], mask[:, :end])
