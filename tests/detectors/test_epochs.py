"""A new configuration begins an epoch: streams keep their state, and only its effect is new."""

from collections.abc import Sequence
from functools import cache

import logs
import msgspec
from logs import SEMANTICS, START_MS, Shift

from detectors.alert import Alert, Incident, Metric, encode
from detectors.epochs import Epochs, Semantics
from detectors.monitor import Monitor
from detectors.panes import Part
from detectors.policy import Policy

N = 9_000
BUCKET_MS = 15_000
CHANGE_MS = START_MS + 4_000 * 1_000 // BUCKET_MS * BUCKET_MS
Effects = Sequence[Alert | Incident | Metric]


# What breaks before the change comes back after it; what breaks after it is new.
EARLY = Shift(2_000, 1.5, until=6_000)
LATE = Shift(6_500, 2.0, "DE")


@cache
def parts(*shifts: Shift) -> tuple[Part, ...]:
    """Cut a log in which `amount` breaks."""
    spread = logs.topic(logs.events(N, seed=21, shifts=shifts), 3, seed=1, quiet_ms=400_000)
    return tuple(logs.interleaved(logs.parts_of_topic(spread, logs.book(logs.profile())), 1))


def epochs(second: Semantics) -> Epochs:
    made = Epochs(SEMANTICS)
    made.add(second, CHANGE_MS)
    return made


def run(semantics: Semantics | Epochs, shift: Shift = EARLY, *, restart: bool = False) -> Effects:
    """Judge the log; `restart` from a snapshot now and then."""
    held = logs.book(logs.profile())
    monitor = Monitor(held, semantics)
    found: list[Alert | Incident | Metric] = []
    for number, part in enumerate(parts(shift)):
        found += monitor.apply(part)
        if restart and number % 97 == 0:
            state = monitor.snapshot()
            monitor = Monitor(held, semantics)
            monitor.restore(state)
    return found


def canonical(effects: Effects) -> list[bytes]:
    return sorted(map(encode, effects))


def test_the_same_settings_under_another_hash_change_nothing() -> None:
    once = run(SEMANTICS)
    again = run(epochs(SEMANTICS._replace(config="second")))
    assert any(isinstance(effect, Alert) for effect in once)
    assert canonical(once) == canonical([_as_before(effect) for effect in again])


def _as_before(effect: Alert | Incident | Metric) -> Alert | Incident | Metric:
    assert isinstance(effect, Metric) or effect.config in ("config", "second")
    return (
        effect if isinstance(effect, Metric) else msgspec.structs.replace(effect, config="config")
    )


def test_what_was_open_goes_on_and_resolves_in_the_new_epoch() -> None:
    found = run(epochs(SEMANTICS._replace(config="second")))
    change = [a for a in found if isinstance(a, Alert) and a.channel == "feature:amount"]
    resolved = {a.id for a in change if a.status == "resolved"}
    fired = {a.id for a in change if a.revision == 0 and logs.instant_ms(a.time) < CHANGE_MS}
    assert fired & resolved


def test_a_smaller_budget_holds_from_its_start_on_and_not_before() -> None:
    strict = Semantics(Policy(alarm_budget="1/month"), SEMANTICS.lateness_ms, "strict")
    usual, changed = run(SEMANTICS, LATE), run(epochs(strict), LATE)
    before = [e for e in usual if logs.instant_ms(_end(e)) <= CHANGE_MS]
    assert canonical(before) == canonical(
        [e for e in changed if logs.instant_ms(_end(e)) <= CHANGE_MS]
    )
    later = [a for a in changed if isinstance(a, Alert) and a.config == "strict"]
    assert later, "what breaks after the change alarms by the new budget"
    thresholds = {(a.channel, str(a.slice)): a.threshold for a in usual if isinstance(a, Alert)}
    assert all(a.threshold > thresholds[a.channel, str(a.slice)] for a in later)


def _end(effect: Alert | Incident | Metric) -> str:
    return effect.block.end if isinstance(effect, Metric) else effect.time


def test_a_restart_from_any_snapshot_changes_nothing() -> None:
    second = epochs(SEMANTICS._replace(config="second", detectors=("sr", "cusum")))
    assert canonical(run(second)) == canonical(run(second, restart=True))
