"""An accepted level is the reference from then on: silent while it stays, seen when it goes."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import logs
import msgspec
import numpy as np
import pytest
from logs import START_MS, Shift

from detectors.accept import accepted
from detectors.columns import Extractor
from detectors.errors import ConfigError
from detectors.events import Event
from detectors.layout import layout_of
from detectors.policy import Policy
from detectors.profile import Profile, Reference, seal
from detectors.summary.cells import Cell
from detectors.summary.sums import summarise

Change = Callable[[dict[str, Any], np.random.Generator], dict[str, Any]]
AMOUNT, PLAN, ACTIVE = "feature:amount", "feature:plan", "feature:active"
AGES = "missing:age"
DE = {"country": "DE"}


def times(factor: float) -> Change:
    return lambda f, _: f | {"amount": f["amount"] * factor}


def wider(f: dict[str, Any], _: np.random.Generator) -> dict[str, Any]:
    return f | {"amount": float(np.exp(3 + 3 * (np.log(f["amount"]) - 3)))}


def upgraded(f: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    return f | {"plan": "pro"} if draw.random() < 0.3 else f


def with_gold(f: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    return f | {"plan": "gold"} if draw.random() < 0.2 else f


def all_free(f: dict[str, Any], _: np.random.Generator) -> dict[str, Any]:
    return f | {"plan": "free"}


def all_active(f: dict[str, Any], _: np.random.Generator) -> dict[str, Any]:
    return f | {"active": True}


def often_missing(f: dict[str, Any], draw: np.random.Generator) -> dict[str, Any]:
    return f | {"age": None} if draw.random() < 0.3 else f


def always_missing(f: dict[str, Any], _: np.random.Generator) -> dict[str, Any]:
    return f | {"age": None}


def changed(log: Sequence[Event], change: Change, seed: int = 5) -> list[Event]:
    draw = np.random.default_rng(seed)
    return [msgspec.structs.replace(e, features=change(e.features, draw)) for e in log]


def later(n: int, seed: int, shifts: Sequence[Shift] = ()) -> list[Event]:
    return logs.events(n, seed=seed, start_ms=START_MS + 10**9, shifts=shifts)


def cells(log: Sequence[Event], profile: Profile | None = None) -> list[Cell]:
    known = profile or logs.profile()
    return summarise(Extractor(known).columns(log), layout_of(known))


def index(profile: Profile, channel: str, where: dict[str, str] | None = None) -> int:
    for j, stream in enumerate(profile.streams):
        named = profile.stream_name(stream), profile.slices[stream.slice]
        if named == (channel, where or {}):
            return j
    raise AssertionError(f"no stream {channel} in {where}")


@cache
def with_level(channel: str, change: Change, n: int = 3_000) -> Profile:
    """Accept the level of a channel over all events."""
    chosen = [index(logs.profile(), channel)]
    return accepted(logs.profile(), chosen, cells(changed(later(n, 77), change)), Policy())


def moved(old: Profile, new: Profile) -> set[tuple[str, tuple[str, ...]]]:
    return {
        (old.stream_name(a), tuple(old.slices[a.slice].values()))
        for a, b in zip(old.streams, new.streams, strict=True)
        if a != b
    }


CHANGES = [
    (AMOUNT, times(1.6)),
    (AMOUNT, times(4.0)),
    (AMOUNT, wider),
    (PLAN, upgraded),
    (PLAN, with_gold),
    (PLAN, all_free),
    (ACTIVE, all_active),
    (AGES, often_missing),
    (AGES, always_missing),
]


@pytest.mark.parametrize("n", [700, 3_000])
@pytest.mark.parametrize(("channel", "change"), CHANGES)
def test_an_accepted_level_raises_no_alert_while_it_stays(
    channel: str, change: Change, n: int
) -> None:
    new = with_level(channel, change, n)
    log = changed(later(20_000, 200), change)
    assert logs.alerts(log, logs.book(logs.profile())) != []
    assert logs.alerts(log, logs.book(new)) == []


@pytest.mark.parametrize(
    ("channel", "change", "more"),
    [
        (AMOUNT, times(1.6), times(1.6 * 1.6)),
        (AMOUNT, times(1.6), times(1.0)),
        (PLAN, upgraded, all_free),
        (AGES, often_missing, always_missing),
    ],
)
def test_a_further_change_is_found_and_told_from_the_new_level(
    channel: str, change: Change, more: Change
) -> None:
    new = with_level(channel, change)
    log = [*changed(later(3_000, 201), change), *changed(later(6_000, 202)[3_000:], more)]
    found = [a for a in logs.alerts(log, logs.book(new)) if a.channel == channel and not a.slice]
    assert found
    assert found[0].effect.from_ == pytest.approx(_level(new, channel, found[0].effect.shares))
    assert found[0].n_reference == 2_990


def _level(profile: Profile, channel: str, shares: dict[str, Any]) -> float:
    """Give what an alert of the channel must call the level before."""
    stream = profile.streams[index(profile, channel)]
    reference = stream.reference
    if channel == AMOUNT:
        return reference.mean
    if channel == AGES:
        return reference.counts[1] / reference.n
    at = profile.channels[stream.channel].categories.index(next(iter(shares)))
    return reference.counts[at] / reference.n_scored


def test_only_what_moved_is_touched() -> None:
    old = logs.profile()
    shift = (Shift(0, 1.5, "DE"),)
    new = accepted(old, [index(old, AMOUNT, DE)], cells(later(3_000, 77, shift)), Policy())
    assert moved(old, new) == {(AMOUNT, ("DE",)), (AMOUNT, ())}
    assert new.parent == old.hash
    assert new == seal(new) != old


def test_a_slice_that_has_not_moved_keeps_its_reference_when_all_events_are_accepted() -> None:
    old = logs.profile()
    shift = (Shift(0, 3.0, "DE"),)
    new = accepted(old, [index(old, AMOUNT)], cells(later(3_000, 77, shift)), Policy())
    assert moved(old, new) == {(AMOUNT, ("DE",)), (AMOUNT, ())}


def test_what_a_few_blocks_cannot_show_stays() -> None:
    old, new = logs.profile(), with_level(AMOUNT, times(1.6))
    before, after = (p.streams[index(p, AMOUNT)].reference for p in (old, new))
    kept = ("scores", "rare", "blocks_per_week", "learning")
    assert [getattr(before, name) for name in kept] == [getattr(after, name) for name in kept]
    for one, other in zip(before.statistics, after.statistics, strict=True):
        still = ("name", "between", "sd", "kappa3", "kappa4", "season", "phi", "theta", "delta")
        assert [getattr(one, name) for name in still] == [getattr(other, name) for name in still]
        assert other.within >= one.within


def test_the_reference_stands_on_the_blocks_and_events_since_the_change() -> None:
    new = with_level(AMOUNT, times(1.6))
    reference = new.streams[index(new, AMOUNT)].reference
    assert (reference.blocks, reference.n, reference.block_n) == (50, 2_990, 59.8)
    values = [1.6 * e.features["amount"] for e in later(3_000, 77)]
    assert reference.mean == pytest.approx(np.mean(values), rel=1e-3)


def test_a_slice_with_too_few_blocks_at_the_new_level_is_learning() -> None:
    new = with_level(AMOUNT, times(1.6), 700)
    rare = new.streams[index(new, AMOUNT, {"country": "US"})].reference
    assert rare.learning == f"{rare.blocks} blocks of 10 needed at its accepted level"
    assert new.streams[index(new, AMOUNT)].reference.learning == ""


def test_a_value_that_vanished_is_rare_and_its_share_no_statistic() -> None:
    new = with_level(PLAN, all_free)
    reference = new.streams[index(new, PLAN)].reference
    free = new.channels[new.streams[index(new, PLAN)].channel].categories.index("free")
    assert reference.statistics == ()
    assert set(reference.rare) == set(range(len(reference.counts))) - {free}
    assert 0 < reference.rare_rate < 0.01


def test_an_accepted_rate_is_the_rate_from_then_on() -> None:
    old = logs.profile()
    half = [e for i, e in enumerate(later(20_000, 77)) if i % 2]
    new = accepted(old, [index(old, "rate")], cells(half), Policy())
    reference: Reference = new.streams[index(new, "rate")].reference
    assert reference.mean == pytest.approx(0.5)
    stay = [e for i, e in enumerate(later(40_000, 78)) if i % 2]
    assert [a for a in logs.alerts(stay, logs.book(new)) if a.channel == "rate"] == []


def test_too_few_blocks_are_refused_with_how_long_to_wait() -> None:
    log = changed(later(400, 77), times(1.6))
    with pytest.raises(ConfigError, match=r"7 blocks of events .* 10\. Accept it in about 3 min"):
        accepted(logs.profile(), [index(logs.profile(), AMOUNT)], cells(log), Policy())


def test_a_level_for_which_the_profile_has_no_bins_is_refused() -> None:
    log = changed(later(2_000, 77), times(1_000.0))
    with pytest.raises(ConfigError, match=r"shop: feature:amount has most of .* profile fit"):
        accepted(logs.profile(), [index(logs.profile(), AMOUNT)], cells(log), Policy())


def test_accepting_twice_gives_the_same_profile() -> None:
    log = changed(later(3_000, 77), times(1.6))
    again = accepted(logs.profile(), [index(logs.profile(), AMOUNT)], cells(log), Policy())
    assert again.hash == accepted(logs.profile(), [index(again, AMOUNT)], cells(log), Policy()).hash
