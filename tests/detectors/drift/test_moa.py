"""Where MOA differs from river, and so from us: what the docstrings say is measured here."""

import gzip
import json
from pathlib import Path
from typing import Any

from detectors import ADWIN, PageHinkley


def alarms(detector: Any, values: list[float]) -> list[int]:
    found = []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found


def records(shared_data: Path, detector: str) -> list[tuple[dict[str, Any], list[float]]]:
    oracle = shared_data / "oracle"
    lines = (oracle / "moa_alarms.jsonl").read_text().splitlines()
    chosen = [one for one in map(json.loads, lines) if one["detector"] == detector]
    return [(one, stream(oracle / f"{one['stream']}.txt.gz")) for one in chosen]


def stream(path: Path) -> list[float]:
    return [float(x) for x in gzip.decompress(path.read_bytes()).split()]


def test_the_first_alarm_of_adwin_is_moa_s_and_later_ones_are_fewer(shared_data: Path) -> None:
    pairs = []
    for record, values in records(shared_data, "MOA ADWIN two-sided"):
        delta = float(record["params"].removeprefix("delta="))
        pairs.append((record["alarms"], alarms(ADWIN(delta=delta), values)))
    assert len(pairs) == 27
    assert all(theirs[:1] == ours[:1] for theirs, ours in pairs)
    assert tuple(sum(map(len, side)) for side in zip(*pairs, strict=True)) == (124, 57)
    assert sum(theirs == ours for theirs, ours in pairs) == 6


def test_page_hinkley_of_moa_is_later(shared_data: Path) -> None:
    later = {}
    for record, values in records(shared_data, "MOA PageHinkleyDM"):
        ours = alarms(PageHinkley(mode="up"), values)
        first = record["alarms"][:1]
        later[record["stream"]] = first[0] - ours[0] if first else None
        if not first:
            assert len(ours) == 9
    assert later.pop("stationary_bern_0.2") is None
    assert sorted(later.values()) == [0, 1, 1, 2, 5, 26, 44, 3_544]
