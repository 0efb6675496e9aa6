"""A seeded log of a fraud model in service: twelve features, three segments, traffic that breathes.

From one moment on `amount` is wrong in one country, as if a currency were converted twice; the
score follows, since the model knows no better.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from detectors.alert import instant

__all__ = ["BROKEN_CHANNEL", "BROKEN_SLICE", "MODEL", "EventLog"]

MODEL = "fraud"
BROKEN_CHANNEL = "feature:amount"
BROKEN_SLICE = {"country": "DE"}

_COUNTRIES = ("US", "DE", "FR", "GB", "ES", "NL")
_COUNTRY_SHARES = (0.34, 0.22, 0.16, 0.14, 0.08, 0.06)
_DEVICES = ("ios", "android", "web")
_CHANNELS = ("app", "site")
_CARDS = ("visa", "mastercard", "amex", "maestro")
_MERCHANTS = ("grocery", "travel", "games", "fashion", "fuel")
_BREATH_SECONDS = 300.0
_BREATH = 0.3
_BROKEN_FACTOR = 2.2
_CHUNK = 512


@dataclass(frozen=True)
class EventLog:
    """Draw the same events for the same seed, rate (events a second) and start.

    >>> log = EventLog(seed=1, rate=100.0, start_ms=1_700_000_000_000)
    >>> times = [time_ms for time_ms, _ in log.until(1_700_000_010_000)]
    >>> 800 < len(times) < 1_300 and times == sorted(times)
    True
    """

    seed: int
    rate: float
    start_ms: int
    broken_from_ms: int | None = None

    def until(self, end_ms: int) -> Iterator[tuple[int, bytes]]:
        """Yield (event time in ms, event as JSON) in order of time, up to `end_ms`."""
        for time_ms, event in self.forever():
            if time_ms >= end_ms:
                return
            yield time_ms, event

    def forever(self) -> Iterator[tuple[int, bytes]]:
        """Yield events without end."""
        draw = np.random.default_rng(self.seed)
        seconds = 0.0
        number = 0
        while True:
            waits = draw.exponential(1.0, _CHUNK).tolist()
            times = []
            for wait in waits:
                breath = 1 + _BREATH * math.sin(2 * math.pi * seconds / _BREATH_SECONDS)
                seconds += wait / (self.rate * breath)
                times.append(self.start_ms + int(seconds * 1000))
            from_ms = math.inf if self.broken_from_ms is None else self.broken_from_ms
            columns = _Columns.drawn(draw, np.array(times) >= from_ms)
            for i, time_ms in enumerate(times):
                yield time_ms, self._event(number, time_ms, columns.row(i))
                number += 1

    def _event(self, number: int, time_ms: int, row: dict[str, object]) -> bytes:
        """Write one event."""
        named = {"country": "_country", "device": "_device", "channel": "_via"}
        segments = {segment: row.pop(column) for segment, column in named.items()}
        event = {
            "id": f"{self.seed:x}-{number:x}",
            "time": instant(time_ms),
            "model": MODEL,
            "version": "7",
            "prediction": row.pop("_score"),
            "latency_seconds": row.pop("_latency"),
            "segments": segments,
            "features": row,
        }
        return orjson.dumps(event)


@dataclass(frozen=True)
class _Columns:
    """Hold a chunk of drawn values, by name."""

    values: dict[str, list[object]]

    @classmethod
    def drawn(cls, draw: np.random.Generator, broken: NDArray[np.bool_]) -> "_Columns":
        """Draw a row for each of `broken`; the score follows amount, account age and night."""
        n = len(broken)
        country = _choices(draw, _COUNTRIES, _COUNTRY_SHARES, n)
        wrong = broken & (np.array(country) == BROKEN_SLICE["country"])
        amount = np.exp(draw.normal(3.4, 0.7, n)) * np.where(wrong, _BROKEN_FACTOR, 1.0)
        age_days = draw.gamma(2.0, 200.0, n)
        hour = draw.integers(0, 24, n)
        night = (hour < 6).astype(float)
        risk = -3.2 + 0.5 * (np.log(amount) - 3.4) + 0.6 * night - 0.001 * age_days
        score = 1 / (1 + np.exp(-(risk + draw.normal(0, 0.8, n))))
        distance = np.where(draw.random(n) < 0.08, np.nan, draw.exponential(30.0, n))
        values: dict[str, list[object]] = {
            "amount": np.round(amount, 2).tolist(),
            "account_age_days": np.round(age_days, 1).tolist(),
            "hour": hour.tolist(),
            "items": (1 + draw.poisson(1.4, n)).tolist(),
            "payments_today": draw.poisson(0.8, n).tolist(),
            "distance_km": [None if d != d else round(d, 1) for d in distance.tolist()],
            "device_trust": np.round(draw.beta(5, 2, n), 4).tolist(),
            "typing_seconds": np.round(draw.gamma(3.0, 4.0, n), 2).tolist(),
            "card": _choices(draw, _CARDS, (0.5, 0.3, 0.12, 0.08), n),
            "merchant": _choices(draw, _MERCHANTS, (0.35, 0.1, 0.2, 0.2, 0.15), n),
            "new_address": (draw.random(n) < 0.12).tolist(),
            "night": (night > 0).tolist(),
            "_score": np.round(score, 6).tolist(),
            "_latency": np.round(0.004 + draw.gamma(2.0, 0.004, n), 6).tolist(),
            "_country": country,
            "_device": _choices(draw, _DEVICES, (0.4, 0.35, 0.25), n),
            "_via": _choices(draw, _CHANNELS, (0.7, 0.3), n),
        }
        return cls(values)

    def row(self, i: int) -> dict[str, object]:
        """Give one row."""
        return {name: column[i] for name, column in self.values.items()}


def _choices(
    draw: np.random.Generator, names: tuple[str, ...], shares: tuple[float, ...], n: int
) -> list[object]:
    return [names[i] for i in draw.choice(len(names), n, p=shares).tolist()]
