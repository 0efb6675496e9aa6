"""Evidence and wording: an alert says what moved, where, by how much, in the value's own unit."""

import logs
import msgspec
import numpy as np
import pytest
from logs import Shift

from detectors.alert import Alert
from detectors.drift.shiryaev_roberts import Lead
from detectors.events import Event, Scalar
from detectors.evidence import rare_alarm, score_alarm
from detectors.fit import fit
from detectors.policy import Policy
from detectors.profile import Channel, Reference, Statistic, Stream
from detectors.wording import Change, sentence, sentence_resolved


def first_alert(reference: list[Event], log: list[Event], channel: str) -> Alert:
    """Fit one log, judge another, and give the first alert of a channel over all events."""
    profile = fit(reference, msgspec.structs.replace(logs.SHORT, by=()), Policy())
    return next(a for a in logs.alerts(log, logs.book(profile)) if a.channel == channel)


def with_feature(log: list[Event], name: str, values: list[Scalar | None]) -> list[Event]:
    return [
        msgspec.structs.replace(e, features={name: v}) for e, v in zip(log, values, strict=True)
    ]


def two_logs(
    before: list[Scalar | None], now: list[Scalar | None]
) -> tuple[list[Event], list[Event]]:
    reference = with_feature(logs.events(len(before), seed=1), "x", before)
    return reference, with_feature(logs.events(len(now), seed=2), "x", now)


def normal(n: int, seed: int, mean: float = 0.0, sd: float = 1.0) -> list[Scalar | None]:
    return np.random.default_rng(seed).normal(mean, sd, n).tolist()


def flags(n: int, seed: int, share: float) -> list[Scalar | None]:
    return (np.random.default_rng(seed).random(n) < share).tolist()


@pytest.mark.parametrize(
    ("mean", "direction", "word"), [(1.0, "up", "higher"), (-1.0, "down", "lower")]
)
def test_a_level_is_told_in_units_and_sigmas(mean: float, direction: str, word: str) -> None:
    alert = first_alert(*two_logs(normal(6_000, 1), normal(3_000, 2, mean)), "feature:x")
    assert alert.direction == direction
    assert alert.effect.sigma == pytest.approx(mean, abs=0.35)
    assert alert.effect.from_ == pytest.approx(0.0, abs=0.05)
    assert alert.effect.to == pytest.approx(mean, abs=0.35)
    assert f"sigma {word} since 2026-01-01 00:00Z" in alert.summary


@pytest.mark.parametrize(("sd", "direction"), [(1.4, "up"), (0.4, "down")])
def test_a_spread_is_told_as_a_ratio_of_sds(sd: float, direction: str) -> None:
    alert = first_alert(*two_logs(normal(6_000, 1), normal(3_000, 2, 0.0, sd)), "feature:x")
    assert alert.detectors[0] == "sr:spread"
    assert alert.direction == direction
    assert alert.effect.from_ == pytest.approx(1.0, abs=0.1)
    assert (alert.effect.to > 1.2) == (sd > 1)
    assert "times as wide" in alert.summary


def test_a_share_is_told_with_its_category_in_percent() -> None:
    alert = first_alert(*two_logs(flags(6_000, 1, 0.3), flags(3_000, 2, 0.6)), "feature:x")
    assert alert.effect.shares["true"] == pytest.approx((0.3, 0.6), abs=0.12)
    assert "x is 'true' in " in alert.summary
    assert " of events since 2026-01-01 00:00Z, 30 % before" in alert.summary


def test_a_missing_rate_is_told_in_percent() -> None:
    gone = [None if f else 1.0 * i for i, f in enumerate(flags(3_000, 2, 0.5))]
    alert = first_alert(*two_logs(normal(6_000, 1), gone), "missing:x")
    assert alert.detectors[0] == "sr:rare"
    assert alert.direction == "up"
    assert alert.effect.to == pytest.approx(0.5, abs=0.15)
    assert alert.summary.endswith("of events since 2026-01-01 00:00Z, 0 % before")


def test_values_that_turn_up_where_all_were_missing_are_told_as_fewer_missing() -> None:
    rare = [1.5 if i % 400 == 0 else None for i in range(6_000)]
    alert = first_alert(
        *two_logs(rare, [1.5 if i % 3 == 0 else None for i in range(3_000)]), "missing:x"
    )
    assert alert.direction == "down"
    assert alert.effect.from_ == pytest.approx(1.0, abs=0.01)
    assert alert.effect.to == pytest.approx(2 / 3, abs=0.1)
    assert alert.effect.sigma < 0
    assert "is missing in 6" in alert.summary


def test_an_unknown_category_is_told_as_hardly_known() -> None:
    before = ["a" if i % 2 else "b" for i in range(6_000)]
    now = ["c" if i % 5 == 0 else "a" if i % 2 else "b" for i in range(3_000)]
    found = first_alert(*two_logs(before, now), "feature:x")
    assert found.detectors[0] == "sr:rare"
    assert "takes values the profile hardly knows in 2" in found.summary


def test_numbers_outside_the_known_range_are_told_so() -> None:
    before = np.random.default_rng(1).random(6_000).tolist()
    now = [
        x if i % 10 else 7.0 for i, x in enumerate(np.random.default_rng(2).random(3_000).tolist())
    ]
    found = first_alert(*two_logs(before, now), "feature:x")
    assert "lies outside its known range in " in found.summary


def test_a_slice_is_named_in_the_sentence() -> None:
    log = logs.events(4_000, seed=5, shifts=(Shift(1_000, 1.5, "US"),))
    found = [a for a in logs.alerts(log, logs.book(logs.profile())) if a.slice]
    assert found[0].slice == {"country": "US"}
    assert found[0].summary.startswith("shop: amount in country=US is ")


def reference(**changed: object) -> Reference:
    plain = {
        "counts": (0, 10, 20, 30, 40, 0),
        "mean": 5.0,
        "sd": 0.0,
        "blocks": 100,
        "blocks_per_week": 1.0,
        "block_n": 50.0,
        "statistics": (Statistic("spread", 0.0, 2.0, 0.0, 1.0, 0.0, 0.0),),
        "scores": (),
        "rare": (0, 5),
        "rare_rate": 0.01,
        "dispersion": 1.0,
    }
    return Reference(**(plain | changed))


NUMBER = Channel("feature:x", "numeric", edges=(0.0, 1.0, 2.0, 3.0, 4.0))


def change_of(statistic: str, before: float, now: float) -> Change:
    return Change(
        model="shop",
        channel="feature:x",
        where={},
        statistic=statistic,
        category=None,
        direction="up",
        sigma=1.0,
        before=before,
        now=now,
        onset_ms=logs.START_MS,
    )


def test_a_spread_from_nothing_can_be_told() -> None:
    stream = Stream(0, 0, False, reference())
    stat = stream.reference.statistics[0]
    alarm = score_alarm(NUMBER, stream, stat, Lead(0, 0, 7, 100, 150.0, 0, 0))
    assert (alarm.before, alarm.now) == (0.0, 0.0)
    assert "times as wide" in sentence(change_of("spread", alarm.before, alarm.now))


def test_sigma_is_in_sds_of_one_events_contribution() -> None:
    stream = Stream(0, 0, False, reference())
    alarm = score_alarm(
        NUMBER, stream, stream.reference.statistics[0], Lead(0, 1, 7, 100, -150.0, 0, 0)
    )
    assert alarm.sigma == pytest.approx(-1.5 / np.sqrt(2.0))
    assert (alarm.direction, alarm.onset, alarm.n) == ("down", 7, 100)


def test_a_rare_rate_is_compared_with_what_the_reference_had() -> None:
    stream = Stream(0, 0, False, reference(counts=(2, 10, 20, 30, 36, 2)))
    alarm = rare_alarm(NUMBER, stream, Lead(-1, 0, 7, 200, 30.0, 30, 0))
    assert (alarm.before, alarm.now) == (0.04, 0.15)
    assert alarm.category is None


@pytest.mark.parametrize("channel", ["feature:x", "missing:x", "prediction"])
def test_the_end_of_a_change_can_be_told(channel: str) -> None:
    change = msgspec.structs.replace(change_of("level", 1.0, 2.0), channel=channel)
    text = sentence_resolved(change, logs.START_MS)
    assert text.endswith("its reference again, as of 2026-01-01 00:00Z")
