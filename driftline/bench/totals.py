"""The totals of the peers' job: what is true, and whether a peer produced it.

For each 10 s bucket of event time, each slice (all, country, device) and each of 10 features:
count, sum, sum of squares and 32 bins.  A peer writes cells, or partial ones that add up, as
big-endian doubles under the key `slice|bucket`.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from detectors.errors import DriftlineError
from driftline.bench.events import FEATURES
from stream.connection import Connection
from stream.reader import read_topic

__all__ = ["Totals", "check_totals", "closed", "true_totals", "written_totals"]

_BINS = 32
_BUCKET_SECONDS = 10
_TOLERANCE = 1e-9
_EDGES = [(np.arange(_BINS - 1) * 0.2 - 3.0) * (f + 1) for f in range(len(FEATURES))]

Totals = Mapping[str, NDArray[np.float64]]


def true_totals(chunks: Iterable[list[bytes]]) -> Totals:
    """Add up the events of a log: features x (count, sum, sum of squares, bins) by key."""
    totals: dict[str, NDArray[np.float64]] = {}
    for chunk in chunks:
        events = [orjson.loads(content) for content in chunk]
        values = np.array([[event["features"][name] for name in FEATURES] for event in events])
        cells: dict[str, list[int]] = {}
        for row, event in enumerate(events):
            for key in _keys(event):
                cells.setdefault(key, []).append(row)
        for key, rows in cells.items():
            cell = _cell(values[rows])
            totals[key] = totals[key] + cell if key in totals else cell
    return totals


def _keys(event: Mapping[str, Any]) -> list[str]:
    when = np.datetime64(event["time"].removesuffix("Z"), "s").astype(np.int64)
    bucket = int(when) // _BUCKET_SECONDS * _BUCKET_SECONDS
    slices = ["all", *(f"{name}={value}" for name, value in event["segments"].items())]
    return [f"{where}|{bucket}" for where in slices]


def _cell(values: NDArray[np.float64]) -> NDArray[np.float64]:
    cell = np.zeros((len(FEATURES), 3 + _BINS))
    cell[:, 0] = len(values)
    cell[:, 1] = values.sum(axis=0)
    cell[:, 2] = (values * values).sum(axis=0)
    for f, edges in enumerate(_EDGES):
        cell[f, 3:] = np.bincount(np.searchsorted(edges, values[:, f]), minlength=_BINS)
    return cell


def written_totals(connection: Connection, topic: str) -> Totals:
    """Add up what a peer has written to its topic."""
    totals: dict[str, NDArray[np.float64]] = {}
    for key, value in asyncio.run(read_topic(connection, topic)):
        cell = np.frombuffer(value, ">f8").reshape(len(FEATURES), -1)
        name = key.decode()
        totals[name] = totals[name] + cell if name in totals else cell.astype(np.float64)
    return totals


def closed(true: Totals) -> Totals:
    """Leave out the last two buckets: what later events have to close may still be open.

    >>> sorted(closed({"all|0": 1, "all|10": 2, "all|20": 3}))
    ['all|0']
    """
    buckets = sorted({_bucket_of(key) for key in true})
    return {key: cell for key, cell in true.items() if _bucket_of(key) in buckets[:-2]}


def _bucket_of(key: str) -> int:
    return int(key.rpartition("|")[2])


def check_totals(peer: str, found: Totals, true: Totals) -> None:
    """Refuse a peer that did not do the whole job: counts and bins exact, sums to 1e-9.

    Raises
    ------
    DriftlineError
        If cells are missing or differ; the message names the first.
    """
    if found.keys() != true.keys():
        wrong = sorted(found.keys() ^ true.keys())
        raise DriftlineError(
            f"{peer} wrote {len(found)} cells, the log has {len(true)}; the first that is only "
            f"on one side is {wrong[0]}: its rate means nothing."
        )
    for key, cell in true.items():
        counted = np.delete(cell, (1, 2), axis=1)
        allowed = _TOLERANCE * (np.abs(cell[:, 1:3]) + cell[:, 2:3] + 1.0)
        same = np.array_equal(np.delete(found[key], (1, 2), axis=1), counted)
        if not same or np.any(np.abs(found[key][:, 1:3] - cell[:, 1:3]) > allowed):
            raise DriftlineError(
                f"{peer} has other sums than the log in cell {key} "
                f"({found[key][0, 0]:,.0f} events of {cell[0, 0]:,.0f}): its rate means nothing."
            )
