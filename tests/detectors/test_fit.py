"""Fit: what a reference fixes, whatever its order and units, and that it is silent about itself."""

from collections.abc import Callable
from functools import cache

import logs
import msgspec
import numpy as np
import pytest
from logs import Shift

from detectors.channels import BINS
from detectors.events import Event, Scalar
from detectors.fit import NothingToFit, fit, propose_bucket_seconds
from detectors.policy import Policy
from detectors.profile import Channel, Profile, Stream, load, render
from detectors.references import BLOCKS_MIN


def fitted(events: list[Event], **options: object) -> Profile:
    return fit(events, msgspec.structs.replace(logs.SHORT, **options), Policy())


@cache
def small_log() -> tuple[Event, ...]:
    return tuple(logs.events(4_000, seed=41))


def with_feature(name: str, value: Callable[[int], Scalar | None]) -> list[Event]:
    """Add a feature to the small log."""
    return [
        msgspec.structs.replace(e, features={**e.features, name: value(i)})
        for i, e in enumerate(small_log())
    ]


def channel(profile: Profile, name: str) -> Channel:
    (found,) = (c for c in profile.channels if c.name == name)
    return found


def stream(profile: Profile, name: str, slice_: int = 0) -> Stream:
    (found,) = (s for s in profile.streams if profile.stream_name(s) == name and s.slice == slice_)
    return found


def test_any_order_of_the_events_gives_the_same_profile() -> None:
    expected = fitted(list(small_log()))
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(len(small_log()))
        assert fitted([small_log()[i] for i in order.tolist()]) == expected


def test_a_number_has_32_bins_of_equal_share_between_its_least_and_its_largest_value() -> None:
    amount = channel(logs.profile(), "feature:amount")
    counts = np.array(stream(logs.profile(), "feature:amount").reference.counts)
    assert len(amount.edges) == BINS + 1
    assert (counts[0], counts[-1]) == (0, 0)
    np.testing.assert_allclose(counts[1:-1] / counts.sum(), 1 / BINS, rtol=0.05)


def test_a_number_that_is_often_at_its_largest_has_no_empty_bin_there() -> None:
    profile = fitted(with_feature("capped", lambda i: float(min(i % 100, 60))))
    assert (np.diff(channel(profile, "feature:capped").edges) > 0).all()
    assert stream(profile, "feature:capped").reference.counts[-2] > 1_000


def test_normal_scores_have_mean_0_and_variance_1_under_the_reference() -> None:
    reference = stream(logs.profile(), "feature:amount").reference
    p = np.array(reference.counts) / sum(reference.counts)
    x = np.array(reference.scores)
    assert p @ x == pytest.approx(0, abs=1e-6)
    assert p @ x**2 == pytest.approx(1, abs=1e-6)
    assert (np.diff(x[1:-1]) > 0).all()


def test_channels_are_of_the_kind_that_their_values_are() -> None:
    kinds = {c.name: c.kind for c in logs.profile().channels}
    assert kinds == {
        "prediction": "numeric",
        "error": "numeric",
        "latency": "numeric",
        "feature:age": "numeric",
        "feature:amount": "numeric",
        "feature:active": "categorical",
        "feature:plan": "categorical",
        "rate": "rate",
    }


def test_missing_values_of_features_are_streams_of_their_own() -> None:
    reference = stream(logs.profile(), "missing:age").reference
    present, missing = reference.counts
    assert missing / (present + missing) == pytest.approx(0.1, abs=0.01)


def test_a_missing_rate_of_zero_is_watched_as_rare() -> None:
    reference = stream(logs.profile(), "missing:amount").reference
    assert reference.statistics == ()
    assert reference.rare == (1,)
    assert 0 < reference.rare_rate < 0.01


def test_a_constant_feature_has_one_category_and_no_score() -> None:
    profile = fitted(with_feature("constant", lambda _: 7.5))
    assert channel(profile, "feature:constant").categories == ("7.5",)
    reference = stream(profile, "feature:constant").reference
    assert reference.statistics == ()
    assert reference.rare == (1,)


def test_a_feature_that_is_always_missing_is_no_channel() -> None:
    profile = fitted(with_feature("nothing", lambda _: None))
    assert "feature:nothing" not in {c.name for c in profile.channels}


def test_a_number_of_two_values_is_two_valued() -> None:
    profile = fitted(with_feature("flag", lambda i: float(i % 3 == 0)))
    assert channel(profile, "feature:flag").categories == ("0", "1")
    assert [s.name for s in stream(profile, "feature:flag").reference.statistics] == ["share"]


def test_a_number_of_three_values_is_scored_by_shares() -> None:
    profile = fitted(with_feature("small", lambda i: float(i % 3)))
    assert channel(profile, "feature:small").kind == "numeric"
    statistics = stream(profile, "feature:small").reference.statistics
    assert [s.name for s in statistics] == ["share"] * 3


def test_a_text_that_never_repeats_is_no_channel() -> None:
    profile = fitted(with_feature("note", lambda i: f"note {i}"))
    assert "feature:note" not in {c.name for c in profile.channels}


@pytest.mark.parametrize(("n", "known"), [(9, False), (10, True)])
def test_a_name_that_fewer_than_10_events_carry_is_no_channel(n: int, known: bool) -> None:
    log = with_feature("rare", lambda i: float(i) if i < n else None)
    assert ("feature:rare" in {c.name for c in fitted(log).channels}) is known


def test_names_without_end_are_no_channels() -> None:
    log = [
        msgspec.structs.replace(e, features={**e.features, f"own {i}": float(i)})
        for i, e in enumerate(small_log())
    ]
    assert fitted(log) == fitted(list(small_log()))


def test_only_frequent_categories_are_named_and_the_rest_is_unseen() -> None:
    profile = fitted(with_feature("city", lambda i: "Bonn" if i % 2 else f"village {i}"))
    assert channel(profile, "feature:city").categories == ("Bonn",)
    assert stream(profile, "feature:city").reference.counts[1] == pytest.approx(2_000, abs=60)


def test_categories_are_bounded_and_the_most_frequent_kept() -> None:
    profile = fitted(with_feature("code", lambda i: f"c{(i + 20) % 50 % 40}"), categories_max=10)
    assert channel(profile, "feature:code").categories == tuple(f"c{k}" for k in range(10))


def test_numbers_among_texts_make_categories() -> None:
    profile = fitted(with_feature("mixed", lambda i: (1.0, "one", True)[i % 3]))
    assert channel(profile, "feature:mixed").categories == ("1", "one", "true")


def test_a_segment_with_one_value_is_no_slice() -> None:
    assert {} in logs.profile().slices
    keys = {key for where in logs.profile().slices for key in where}
    assert keys == {"country", "version"}
    assert "1" not in {where.get("version") for where in logs.profile().slices}


def test_a_rare_segment_value_is_no_slice() -> None:
    log = [
        msgspec.structs.replace(e, segments={"shop": "small" if i % 1_000 == 0 else f"s{i % 2}"})
        for i, e in enumerate(small_log())
    ]
    assert fitted(log).slices[:-1] == ({}, {"shop": "s1"}, {"shop": "s0"})


def test_slices_may_be_chosen_as_crosses_of_segments() -> None:
    log = [
        msgspec.structs.replace(e, segments={**e.segments, "device": ("ios", "web")[i % 2]})
        for i, e in enumerate(small_log())
    ]
    slices = fitted(log, by=(("country", "device"),)).slices
    assert len(slices) == 1 + 3 * 2
    assert {"country": "DE", "device": "ios"} in slices


def test_a_handful_of_events_is_a_profile_that_never_alarms() -> None:
    profile = fitted(logs.events(200, seed=1))
    assert all(s.reference.blocks < BLOCKS_MIN for s in profile.streams)
    log = logs.events(2_000, seed=2, shifts=(Shift(0, 5.0),))
    assert logs.alerts(log, logs.book(profile)) == []


def test_nothing_to_fit_is_refused() -> None:
    with pytest.raises(NothingToFit, match="holds no events"):
        fitted([])
    with pytest.raises(NothingToFit, match="no feature, prediction or metric"):
        fitted([Event(1_767_225_600_000, "shop")] * 100)


def test_a_reference_is_silent_about_itself() -> None:
    assert logs.alerts(logs.events(30_000, seed=1), logs.book(logs.profile())) == []


@pytest.mark.parametrize(("scale", "offset"), [(1e6, 0.0), (1.0, 1e9), (1e-9, 0.0), (-2.0, 0.0)])
def test_the_unit_of_a_number_does_not_matter(scale: float, offset: float) -> None:
    found = []
    for factor, shift in ((1.0, 0.0), (scale, offset)):
        both = [
            _rescaled(logs.events(n, seed=seed, shifts=shifts), factor, shift)
            for n, seed, shifts in ((8_000, 1, ()), (4_000, 2, (Shift(2_000, 1.0),)))
        ]
        profile = fitted(both[0])
        found.append(
            [
                (a.channel, a.slice, a.time, a.onset, a.revision, a.status, a.detectors[0], a.score)
                for a in logs.alerts(both[1], logs.book(profile))
            ]
        )
    assert len(found[0]) > 0
    if scale > 0:
        assert found[1] == found[0]
    else:
        assert [a[:3] for a in found[1]] == [a[:3] for a in found[0]]


def _rescaled(log: list[Event], factor: float, shift: float) -> list[Event]:
    return [
        msgspec.structs.replace(
            e, features={**e.features, "amount": e.features["amount"] * factor + shift}
        )
        for e in log
    ]


def test_a_number_far_from_zero_keeps_its_mean_and_sd() -> None:
    log = _rescaled(list(small_log()), 1.0, 1_234_567_895_555.0)
    reference = stream(fitted(log), "feature:amount").reference
    plain = stream(fitted(list(small_log())), "feature:amount").reference
    assert reference.sd == pytest.approx(plain.sd, rel=1e-3)


@pytest.mark.parametrize("extreme", [1e300, -1.7e308])
def test_one_absurd_value_spoils_neither_the_profile_nor_its_file(extreme: float) -> None:
    log = with_feature("wild", lambda i: extreme if i == 5 else float(i % 7 == 0) * (1 + i % 11))
    profile = fitted(log)
    reference = stream(profile, "feature:wild").reference
    assert 0 < channel(profile, "feature:wild").scale < 100
    assert reference.sd < 100
    assert load(render(profile), "memory") == profile


def test_values_at_both_ends_of_the_floats_have_a_finite_scale() -> None:
    profile = fitted(with_feature("huge", lambda i: (-1.7e308, 0.0, 1.7e308)[i % 3]))
    assert np.isfinite(channel(profile, "feature:huge").scale)
    assert load(render(profile), "memory") == profile


@pytest.mark.parametrize(
    ("events", "span_seconds", "seconds"),
    [(1_000_000, 10_000, 10), (30_000, 30_000, 15), (100, 86_400, 10_800), (2, 10**8, 86_400)],
)
def test_a_bucket_is_proposed_to_hold_a_quarter_of_a_block(
    events: int, span_seconds: int, seconds: int
) -> None:
    assert propose_bucket_seconds(events, span_seconds * 1_000, 50) == seconds
