"""A shift is found, answered and accepted: its alerts resolve, and the new level is the usual."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from live import as_json, config_file, driftline, eventually, records, worker, write_lines
from logs import Shift, events, instant_ms, profile

from detectors.events import Event
from detectors.profile import render

BEFORE, SINCE, AFTER = 1_500, 2_500, 6_000
RATE = 4_000
# Time goes on in the topic while nothing is sent: what is sent then lies behind that.
GAP_MS = 120_000


def emit(directory: Path, config: Path, log: Sequence[Event]) -> None:
    path = write_lines(directory / "events.jsonl", [as_json(event) for event in log])
    driftline("emit", path, "-c", config, "--rate", RATE)


def later(log: Sequence[Event]) -> list[Event]:
    return [msgspec.structs.replace(e, time_ms=e.time_ms + GAP_MS) for e in log]


def published(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    """Give the latest revision of each alert."""
    found = [value["alert"] for _, value in records(bootstrap, f"{prefix}.alerts")]
    return list({a["id"]: a for a in sorted(found, key=lambda a: a["revision"])}.values())


def test_a_level_is_accepted(bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    reference = tmp_path / "profile.json"
    reference.write_text(render(profile()))
    log = events(BEFORE + SINCE + AFTER, seed=5, shifts=(Shift(at=BEFORE, sigma=1.0),))
    with worker(config, tmp_path / "w.log"):
        driftline("profile", "push", reference, "-c", config)
        emit(tmp_path, config, log[: BEFORE + SINCE])
        eventually(
            lambda: len(published(bootstrap, topic_prefix)) == 4,
            "alerts on amount over all events and in the three countries",
        )
        (incident,) = {a["incident"] for a in published(bootstrap, topic_prefix)}
        shown = driftline("alerts", "show", incident[:12], "-c", config).stdout
        assert f"incident {incident}" in shown
        assert "No feedback yet" in shown

        said = driftline("alerts", "feedback", incident[:12], "expected", "-c", config)
        assert f"incident {incident} is expected" in said.stdout

        accepted = driftline("alerts", "accept", incident[:12], "-c", config).stdout
        in_force_ms = instant_ms(re.findall(r"In force from (\S+) ", accepted)[0])
        assert in_force_ms >= log[BEFORE + SINCE - 1].time_ms + 60_000

        emit(tmp_path, config, later(log[BEFORE + SINCE :]))
        eventually(
            lambda: all(a["status"] == "resolved" for a in published(bootstrap, topic_prefix)),
            "all alerts resolve",
        )
        table = driftline("alerts", "budget", "-c", config).stdout
    found = published(bootstrap, topic_prefix)
    assert len(found) == 4, [a["summary"] for a in found]
    assert {instant_ms(a["time"]) for a in found} == {in_force_ms}
    assert all("is accepted as the new level" in a["summary"] for a in found)
    last = [i for _, i in records(bootstrap, f"{topic_prefix}.incidents")][-1]
    assert (last["id"], last["status"]) == (incident, "resolved")
    assert re.search(r"shop +1 +1 +1 +0 +1 +0 +0 +0\s", table), table


def test_what_is_not_there_or_not_clear_is_refused(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix)
    reference = tmp_path / "profile.json"
    reference.write_text(render(profile()))
    driftline("profile", "push", reference, "-c", config)
    for command in (("show", "3f9a"), ("feedback", "3f9a", "real"), ("accept", "3f9a")):
        refused = driftline("alerts", *command, "-c", config, code=2)
        assert "There is no alert or incident whose id begins with 3f9a" in refused.stderr
    assert (
        "no verdict" in driftline("alerts", "feedback", "3f9a", "so", "-c", config, code=2).stderr
    )
    assert "shop" in driftline("alerts", "budget", "-c", config).stdout
