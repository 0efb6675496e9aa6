"""Which panes a judge has lost or counted twice, where its counts by model say that it has.

A judge's state counts by model, so a pane shows by what it would explain: it brought as many events
of the model as are missing or too many, and in the first block whose metrics differ.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from detectors.alert import instant_ms
from detectors.panes import FOREVER, UNSET, Part

__all__ = ["suspects"]

_NAMED_MAX = 3


def suspects(
    model: str,
    events: int,
    parts: Mapping[Any, Part],
    metrics: tuple[Mapping[Any, bytes], Mapping[Any, bytes]],
) -> str:
    """Name the panes that explain so many events of a model; `parts` are those that were sent."""
    start, end = _first_block(model, metrics)
    brought: Counter[tuple[str, int, int]] = Counter()
    for (topic, partition, a, *_), part in parts.items():
        if part.header.w_before < end and part.header.w_after >= start:
            found = sum(entry.events for entry in part.entries if entry.model == model)
            brought[topic, partition, a] += found
    named = [
        f"{topic}/{partition} pane at offset {a}"
        for (topic, partition, a), count in sorted(brought.items())
        if count == abs(events)
    ]
    more = f" or {len(named) - _NAMED_MAX} more" if len(named) > _NAMED_MAX else ""
    return f": {' or '.join(named[:_NAMED_MAX])}{more}" if named else ""


def _first_block(
    model: str, metrics: tuple[Mapping[Any, bytes], Mapping[Any, bytes]]
) -> tuple[int, int]:
    """Find the first block of a model whose metrics differ; all time if none does."""
    live, undisturbed = metrics
    blocks = []
    for place in {*live, *undisturbed}:
        if live.get(place) != undisturbed.get(place):
            told = orjson.loads(undisturbed.get(place) or live[place])
            if told["model"] == model:
                block = told["block"]
                blocks.append((instant_ms(block["end"]), instant_ms(block["start"])))
    end, start = min(blocks, default=(FOREVER, UNSET))
    return start, end
