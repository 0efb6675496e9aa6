"""What a long run is watched for: nothing may grow once it has warmed up."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["MIB", "WARM_SHARE", "Handles", "Sample", "handles_of", "problems", "shown_in", "table"]

MIB = 1 << 20
# Of a run's samples, so many are its warm-up.
WARM_SHARE = 0.2
_LATE = {"threads": 2}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Handles(NamedTuple):
    """Count what processes hold of the machine."""

    rss: int
    descriptors: int
    threads: int


class Sample(NamedTuple):
    """Hold one look at a run: how far it is, and everything that may not grow."""

    events: int
    rss: int
    descriptors: int
    threads: int
    tasks: int
    series: int
    state_bytes: int


def handles_of(pids: Sequence[int]) -> Handles:
    """Add up what some processes hold now."""
    found = []
    for pid in pids:
        proc = Path(f"/proc/{pid}")
        pages = int((proc / "statm").read_text().split()[1])
        counts = (len(list((proc / name).iterdir())) for name in ("fd", "task"))
        found.append((pages * _PAGE_BYTES, *counts))
    return Handles(*map(sum, zip(*found, strict=True)))


def shown_in(pages: Iterable[str]) -> tuple[int, int]:
    """Read roles' /metrics: give the tasks that they tell of, and the number of their series."""
    lines = [line for page in pages for line in page.splitlines() if not line.startswith("#")]
    found = [line for line in lines if line.startswith("driftline_asyncio_tasks ")]
    return sum(round(float(line.partition(" ")[2])) for line in found), len(lines)


def warmed(samples: Sequence[Sample]) -> list[Sample]:
    """Leave out the warm-up."""
    return list(samples[max(1, round(len(samples) * WARM_SHARE)) :])


def slope_bytes(samples: Sequence[Sample]) -> float:
    """Fit a line through RSS by events; give what it rises by from the first to the last."""
    events, rss = (np.array(column, float) for column in list(zip(*samples, strict=True))[:2])
    return float(np.polyfit(events - events[0], rss, 1)[0] * (events[-1] - events[0]))


def problems(samples: Sequence[Sample], rss_max: int, slope_max: int) -> list[str]:
    """Say what grew: bytes of RSS over the warm-up's, or any count."""
    warm = warmed(samples)
    assert len(warm) >= 4, "too few samples to say anything"
    found = []
    if (grown := max(s.rss for s in warm) - warm[0].rss) > rss_max:
        found.append(f"RSS grew by {grown / MIB:.1f} MiB, {rss_max / MIB:.0f} are allowed")
    if (risen := slope_bytes(warm)) > slope_max:
        found.append(f"RSS rises by {risen / MIB:.1f} MiB over the run")
    for name in ("descriptors", "threads", "tasks", "series"):
        counts = [getattr(s, name) for s in warm]
        # A connection that comes and goes is no leak, nor is a pool that starts a thread late.
        allowed = max(counts[: len(counts) // 2]) + _LATE.get(name, 0)
        if np.median(counts[len(counts) // 2 :]) > allowed:
            found.append(f"{name} grew: {counts}")
    half = len(warm) // 2
    before, after = (max(s.state_bytes for s in part) for part in (warm[:half], warm[half:]))
    if after > 1.25 * before + 4_096:
        found.append(f"the state grew from {before} to {after} bytes")
    return found


def table(name: str, samples: Sequence[Sample], seconds: float) -> str:
    """Write a run as a table: after the warm-up, at the end, and the largest in between."""
    warm = warmed(samples)
    most = Sample(*(max(column) for column in zip(*warm, strict=True)))
    form = "{:<12}{:>12}{:>10}{:>13}{:>9}{:>7}{:>8}{:>13}"
    heads = ("", "events", "RSS MiB", "descriptors", "threads", "tasks", "series", "state bytes")
    lines = [f"{name}: {warm[-1].events:,} events in {seconds:.0f} s", form.format(*heads)]
    for label, s in (("warmed up", warm[0]), ("at the end", warm[-1]), ("at most", most)):
        figures = (f"{s.events:,}", f"{s.rss / MIB:.1f}", *s[2:6], f"{s.state_bytes:,}")
        lines.append(form.format(label, *figures))
    lines.append(f"RSS slope over the run: {slope_bytes(warm) / MIB:+.2f} MiB")
    return "\n".join(lines) + "\n"
