"""Columns: what the profile names is taken out of the events, value by value."""

import logs
import numpy as np
import pytest

from detectors.columns import Columns, Extractor, error_of, raw_values, slice_values
from detectors.events import Event
from detectors.profile import Channel, Profile, Span

PROFILE = Profile(
    model="shop",
    reference=Span(0, 0, 0),
    bucket_seconds=10,
    block_events=50,
    block_seconds=600,
    channels=(
        Channel("prediction", "numeric", edges=(0.0, 1.0)),
        Channel("feature:amount", "numeric", edges=(0.0, 1.0)),
        Channel("feature:plan", "categorical", categories=("3", "free", "true")),
    ),
    slices=(
        {},
        {"country": "DE"},
        {"version": "1"},
        {"country": "DE", "device": "ios"},
        {"country": "FR"},
    ),
    streams=(),
)


def event(time_ms: int = 25_000, **fields: object) -> Event:
    return Event(time_ms, "shop", **fields)


def columns(*events: Event) -> Columns:
    return Extractor(PROFILE).columns(events)


def test_an_event_belongs_to_the_bucket_of_its_time() -> None:
    assert columns(event(9_999), event(10_000), event(25_000)).buckets.tolist() == [0, 1, 2]


def test_numbers_and_booleans_are_numbers_and_texts_and_nulls_are_missing() -> None:
    given = [1.5, True, None, "12", 0.0]
    found = columns(*(event(features={"amount": v}) for v in given), event()).values[:, 1]
    np.testing.assert_array_equal(found, [1.5, 1.0, np.nan, np.nan, 0.0, np.nan])


@pytest.mark.parametrize(
    ("value", "code"),
    [("free", 1), (True, 2), ("true", 2), (3.0, 0), (3, 0), ("gold", 3), (None, -1)],
)
def test_categories_have_the_code_of_their_canonical_name(value: object, code: int) -> None:
    assert columns(event(features={"plan": value})).codes.tolist() == [[code]]


def test_a_category_has_the_same_code_in_a_batch_of_mixed_types() -> None:
    mixed = columns(*(event(features={"plan": v}) for v in ("free", 3.0, None, True, "x")))
    assert mixed.codes[:, 0].tolist() == [1, 0, -1, 2, 3]


def test_an_event_is_in_at_most_one_slice_of_each_set_of_keys() -> None:
    found = columns(
        event(version="1", segments={"country": "DE", "device": "ios"}),
        event(version="2", segments={"country": "FR", "device": "ios"}),
        event(segments={"country": "US"}),
        event(),
    ).slices
    assert found.tolist() == [[1, 2, 3], [4, -1, -1], [-1, -1, -1], [-1, -1, -1]]


def test_a_segment_named_version_wins_over_the_built_in_one() -> None:
    assert slice_values([event(version="1", segments={"version": "9"})], "version") == ["9"]
    assert slice_values([event(version="1")], "version") == ["1"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"label": 1.0}, None),
        ({"score": 0.9}, None),
        ({"score": 0.75, "label": 1.0}, 0.25),
        ({"score": 0.75, "label": True}, 0.25),
        ({"score": 0.75, "label": "ok"}, None),
        ({"score": 0.75, "predicted_class": "ok", "label": "ok"}, "0"),
        ({"predicted_class": "fraud", "label": "ok"}, "1"),
        ({"predicted_class": "1", "label": True}, "1"),
        ({"predicted_class": "1", "label": 1.0}, "0"),
        ({"score": 1.7e308, "label": -1.7e308}, None),
    ],
)
def test_an_error_is_a_class_missed_or_the_distance_of_a_number(
    fields: dict, error: object
) -> None:
    assert error_of(event(**fields)) == error


def test_a_class_is_the_prediction_where_there_is_no_score() -> None:
    events = [event(score=0.5, predicted_class="a"), event(predicted_class="b"), event()]
    assert raw_values(events, "prediction") == [0.5, "b", None]


@pytest.mark.parametrize("channel", ["attribution:x", "metric:x", "latency", "error"])
def test_every_kind_of_channel_is_missing_where_an_event_has_none(channel: str) -> None:
    assert raw_values([event()], channel) == [None]


def test_an_unknown_channel_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="no channel named 'volume'"):
        raw_values([event()], "volume")


def test_pieces_of_a_pane_join_in_order() -> None:
    log = logs.events(30, seed=1)
    extractor = Extractor(logs.profile())
    joined = Columns.joined([extractor.columns(log[:7]), extractor.columns(log[7:])])
    whole = extractor.columns(log)
    for name in ("buckets", "values", "codes", "slices", "weights"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))


def test_what_the_profile_does_not_name_is_counted() -> None:
    found = columns(
        event(features={"amount": 1.0, "plan": "free"}, segments={"country": "DE"}, version="1"),
        event(features={"amount": None, "x": 1.0, "y": "a"}, segments={"country": "SE"}),
        event(features={"plan": "gold", "z": None}, segments={"country": "DE", "device": "tv"}),
        event(features={"plan": "gold"}, segments={"device": "ios"}, version="9"),
    )
    # SE; DE with a tv; version 9.
    assert found.folded == {"feature": 3, "category": 2, "segment": 3}
    assert columns().folded == {"feature": 0, "category": 0, "segment": 0}
