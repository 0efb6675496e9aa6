"""Pushing: a profile that comes into force again has a term, and a judge, of its own."""

import logs
import msgspec

from detectors.alert import Alert
from detectors.monitor import Monitor
from detectors.profile import Profile, seal
from stream.pushing import renewed

FIRST = logs.profile()
SECOND = seal(msgspec.structs.replace(FIRST, parent=FIRST.hash))


def test_a_profile_that_is_new_or_in_force_stays_what_it_is() -> None:
    assert renewed(FIRST, []) == FIRST
    assert renewed(SECOND, [FIRST]) == SECOND
    assert renewed(SECOND, [FIRST, SECOND]) == SECOND


def test_a_profile_of_an_earlier_term_follows_the_one_in_force() -> None:
    again = renewed(FIRST, [FIRST, SECOND])
    assert (SECOND.hash, True) == (again.parent, again.hash not in {FIRST.hash, SECOND.hash})
    assert FIRST.streams == again.streams


def rate_alerts(third: Profile) -> int:
    """Judge a quiet log over which the first profile, the second, and a third are in force."""
    held = logs.book()
    terms = ((0, FIRST), (2_000_000, SECOND), (8_000_000, third))
    for after_ms, profile in terms:
        held.add(profile, logs.START_MS + after_ms if after_ms else 0)
    parts = logs.parts_of_topic(logs.topic(logs.events(12_000, seed=5), 2), held)
    found = logs.effects(Monitor(held, logs.SEMANTICS), logs.interleaved(parts, 1))
    return sum(isinstance(e, Alert) and e.channel == "rate" for e in found)


def test_going_back_to_an_earlier_profile_is_no_silence() -> None:
    assert rate_alerts(renewed(FIRST, [FIRST, SECOND])) == 0
    assert rate_alerts(FIRST) > 0, "the same hash twice is what this guards against"
