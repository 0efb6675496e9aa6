"""Which summaries partition a model's partials go to, and a pane as the parts that go there."""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from detectors.observe import Pane
from detectors.panes import PART_BYTES_MAX, Entry, Part

__all__ = ["parts_of", "summaries_partition"]


def summaries_partition(model: str, partitions: int) -> int:
    """Give the summaries partition, and so the judge, of a model.

    >>> 0 <= summaries_partition("fraud", 4) < 4
    True
    """
    return int.from_bytes(blake2b(model.encode(), digest_size=8).digest()) % partitions


def parts_of(pane: Pane, partitions: int) -> list[list[Part]]:
    """Make the parts of a pane for each summaries partition; one without partials at least."""
    routed: list[list[Entry]] = [[] for _ in range(partitions)]
    for entry in pane.entries:
        routed[summaries_partition(entry.model, partitions)].append(entry)
    return [_numbered(pane, entries) for entries in routed]


def _numbered(pane: Pane, entries: Sequence[Entry]) -> list[Part]:
    """Cut one partition's partials into parts of bounded size, and number them."""
    groups: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if size + len(entry.data) > PART_BYTES_MAX and groups[-1]:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += len(entry.data) + 128
    return [
        Part(msgspec.structs.replace(pane.header, part=i, parts=len(groups)), tuple(group))
        for i, group in enumerate(groups)
    ]
