"""Traffic that tempts a monitor to remember it: values and names without end, beside the usual.

Of every event the user is one of 1,000,000 (one of them has a fifth of the traffic), one feature
has one of 10,000 names, and now and then the plan or the version is one that nobody has seen.
Before the event that is the first odd one, they are a few that come again and again.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from detectors.channels import FitOptions
from detectors.events import Event, Limits
from detectors.fit import fit
from detectors.policy import Policy
from detectors.profile import Profile
from stream.decode.json_events import decode
from stream.records import Records

__all__ = ["HEAVY_USER", "START_MS", "Stencil", "Traffic", "appended", "decoded", "profile"]

START_MS = 1_767_225_600_000
USERS = 1_000_000
NAMES = 10_000
HEAVY_USER = "u0"
RING = 1 << 16
REFERENCE_EVENTS = 30_000
ORDINARY = 10
PLANS = ("free", "pro", "team")
# Seconds with three places: where their 13 digits stand, and what each is worth in milliseconds.
_TIME = re.compile(rb'"time":([0-9]{10}\.[0-9]{3})')
_DIGITS = np.array([*range(10), 11, 12, 13])
_POWERS = 10 ** np.arange(12, -1, -1)


class Traffic:
    """Write numbered events, so many a second, and count what is odd about them."""

    def __init__(self, per_second: float, seed: int = 1, odd_from: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.counts: Counter[str] = Counter()
        self._odd_from = odd_from
        self._step_ms = 1000 / per_second
        self._amounts = np.exp(draw.normal(3.0, 0.5, RING))
        self._plans = draw.choice(len(PLANS), RING, p=(0.6, 0.3, 0.1)).tolist()
        self._heavy = (draw.random(RING) < 0.2).tolist()

    def time_ms(self, number: int) -> int:
        """Say when an event is."""
        return START_MS + int(number * self._step_ms)

    def batch(self, first: int, n: int, factor: float = 1.0) -> list[bytes]:
        """Write events `first` to `first + n`; `factor` moves the amount."""
        counts = self.counts
        values = []
        for i in range(first, first + n):
            at = i * 7919 % RING
            heavy = self._heavy[at]
            is_odd = i >= self._odd_from
            number = i if is_odd else i % ORDINARY
            user = HEAVY_USER if heavy else f"u{1 + number % (USERS - 1)}"
            odd_plan, odd_version = is_odd and i % 97 == 0, is_odd and i % 1_009 == 0
            plan = f"plan {i}" if odd_plan else PLANS[self._plans[at]]
            counts["heavy"] += heavy
            counts["category"] += odd_plan
            counts["segment"] += (not heavy) + odd_version
            values.append(
                b'{"time":%.3f,"model":"shop","version":"%s","features":{"amount":%.4f,'
                b'"plan":"%s","f%d":1.5},"segments":{"user":"%s"},"prediction":0.5}'
                % (
                    self.time_ms(i) / 1000,
                    b"v%d" % i if odd_version else b"1",
                    self._amounts[at] * factor,
                    plan.encode(),
                    number % NAMES,
                    user.encode(),
                )
            )
        counts["feature"] += n
        return values


def appended(values: Sequence[bytes | None], times_ms: Sequence[int], first: int) -> Records:
    """Give values as a log has them: appended by the broker at these times, from this offset on."""
    return _appended(Records.of_values(values), times_ms, first)


def _appended(records: Records, times_ms: Sequence[int], first: int) -> Records:
    return replace(
        records,
        offsets=np.arange(first, first + len(records)),
        times_ms=np.array(times_ms, np.int64),
        append_times=np.ones(len(records), np.bool_),
    )


class Stencil:
    """Hold records whose event times are written in anew each time that they are used."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._records = Records.of_values(values)
        found = [_TIME.search(value or b"") for value in values]
        self._rows = np.flatnonzero([match is not None for match in found])
        within = np.array([match.start(1) for match in found if match is not None], np.int64)
        self._places = (self._records.starts[self._rows] + within)[:, None] + _DIGITS

    def records(self, event_ms: Sequence[int], record_ms: Sequence[int], first: int) -> Records:
        """Give the records with these times, from this offset on."""
        buffer = self._records.buffer.copy()
        times = np.array(event_ms, np.int64)[self._rows, None]
        buffer[self._places] = times // _POWERS % 10 + ord("0")
        return _appended(replace(self._records, buffer=buffer), record_ms, first)


def decoded(values: list[bytes]) -> list[Event]:
    """Decode values that are all events."""
    found = decode(values, None, Limits())
    assert not found.reject_codes
    return found.events


@cache
def profile(per_second: float) -> Profile:
    """Fit a profile to the same traffic: the heavy user has a slice, the others have none."""
    reference = decoded(Traffic(per_second, seed=2).batch(0, REFERENCE_EVENTS))
    return fit(reference, FitOptions(learn_days=0.0, learn_blocks=30), Policy())
