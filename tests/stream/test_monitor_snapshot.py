"""A monitor that was written to the state topic and read back goes on as if nothing had been."""

from functools import cache

import logs
import pytest
from logs import SEMANTICS, Record, Shift

from detectors.errors import StateRefused
from detectors.judge import ModelState
from detectors.monitor import Monitor, MonitorState
from detectors.order import Source
from detectors.panes import Part
from detectors.profile import ProfileBook
from stream.checkpoint import pack, unpack


@cache
def parts() -> list[Part]:
    """Make a log on three partitions: a break, an alert, its end, and an event a minute late."""
    log = logs.events(5_000, seed=21, shifts=(Shift(1_000, 1.5, "DE", until=1_900),))
    spread = logs.topic(log, 3, seed=1, quiet_ms=100_000)
    at = len(spread[0]) // 4
    spread[0].insert(at, Record(spread[0][at - 1].record_ms, log[900]))
    return logs.interleaved(logs.parts_of_topic(spread, logs.book(logs.profile())), 1)


def fresh(book: ProfileBook | None = None) -> Monitor:
    return Monitor(book or logs.book(logs.profile()), SEMANTICS)


def through_bytes(state: MonitorState) -> MonitorState:
    """Write a state as the state topic holds it, and read it back."""
    sources = unpack(pack(state.sources), list[Source])
    models = {digest: unpack(pack(model), ModelState) for digest, model in state.models.items()}
    return MonitorState(sources, models, dict(state.names))


def packed(state: MonitorState) -> list[bytes]:
    return [pack(state.sources), *(pack(model) for model in state.models.values())]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.275, 0.31, 0.5, 0.77, 0.999])
def test_a_restored_monitor_finds_the_same_from_any_point_on(share: float) -> None:
    at = int(share * len(parts()))
    first, second = fresh(), fresh()
    logs.effects(first, parts()[:at])
    second.restore(through_bytes(first.snapshot()))
    assert logs.effects(second, parts()[at:]) == logs.effects(first, parts()[at:])
    assert packed(second.snapshot()) == packed(first.snapshot())


def test_a_monitor_may_be_restored_again_and_again() -> None:
    whole = logs.effects(fresh(), parts())
    found, state = [], fresh().snapshot()
    for low in range(0, len(parts()), 500):
        monitor = fresh()
        monitor.restore(through_bytes(state))
        found += logs.effects(monitor, parts()[low : low + 500])
        state = monitor.snapshot()
    assert found == whole
    assert any(getattr(effect, "status", "") == "resolved" for effect in whole)


@pytest.mark.parametrize("share", [0.3, 0.35, 0.6])
def test_a_snapshot_is_not_changed_by_what_comes_after_it(share: float) -> None:
    at = int(share * len(parts()))
    monitor = fresh()
    logs.effects(monitor, parts()[:at])
    state = monitor.snapshot()
    before = packed(state)
    logs.effects(monitor, parts()[at:])
    assert packed(state) == before


def test_a_snapshot_whose_profile_is_not_known_is_refused() -> None:
    monitor = fresh()
    logs.effects(monitor, parts()[:400])
    with pytest.raises(StateRefused, match=f"shop needs profile {logs.profile().hash}"):
        fresh(ProfileBook()).restore(monitor.snapshot())
