"""What the scanner takes, the slow way takes too, and gives the same columns for."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scans
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.profile import ProfileBook
from stream.decode.scan.scanner import Scanner
from stream.records import Records

POISON = sorted((Path(__file__).parents[1] / "poison").rglob("*.json"))
EVENT: dict[str, Any] = {
    "time": "2026-11-23T11:59:00.250Z",
    "model": "shop",
    "features": {"amount": 1.5, "hour": 3, "plan": "free"},
    "prediction": 0.5,
    "segments": {"country": "DE"},
}


def written(**changes: object) -> bytes:
    """Write an event with some fields changed."""
    return json.dumps(EVENT | changes, ensure_ascii=False).encode()


def long_lived() -> Scanner:
    """Give a scanner that keeps what it learns from one check to the next."""
    return Scanner(scans.book(), scans.LIMITS)


def test_events_of_every_shape() -> None:
    writer, scanner = scans.Writer(1), long_lived()
    taken = 0
    for _ in range(100):
        values = [writer.event() for _ in range(200)]
        taken += len(scans.assert_same(values, scanner=scanner, held=scanner._book))
    assert taken > 10_000


def test_files_have_no_record_times() -> None:
    writer = scans.Writer(2)
    assert len(scans.assert_same([writer.event() for _ in range(500)], None)) > 200


@settings(max_examples=200, deadline=None)
@given(st.integers(), st.integers(1, 30), st.floats(0, 1))
def test_events_of_any_seed(seed: int, count: int, plain: float) -> None:
    writer = scans.Writer(seed)
    scans.assert_same([writer.event(plain) for _ in range(count)])


@pytest.mark.parametrize(
    "value",
    [
        written(),
        written(id="ä😀", trace={"a": [1, {"b": "]}"}]}, x=None),
        written(version=3, id=17, segments={"country": 3, "tier": True, "x": None}),
        written(time=1795431600.25, prediction={"score": 1, "class": 2, "extra": [0]}),
        written(time="2026-11-23T13:00:00+01:00", features={"Größe": 1, "city": "São Paulo"}),
        written(features=None, prediction=None, segments=None, label=None, weight=None),
        written(features={}, prediction={}, segments={}, metrics={}, attributions={}),
        written(prediction={"class": "ok", "probabilities": {"ok": 0.5, "": None}}, label="no"),
        written(time=1795431600, attributions={"amount": -0.0}, metrics={"revenue": 1e300}),
        written(features={scans.LONG_NAME: 1, "": 2, "new": 3}, weight=4096, label=True),
        written(model="Klasse ä", prediction="fraud", label="fraud", latency_seconds=1),
        json.dumps(EVENT, indent=2).encode() + b"\r\n",
        json.dumps(
            EVENT | {"id": 'a"\\\n😀\u07ff\u0800', "features": {"city": "São Paulo"}}
        ).encode(),
        json.dumps(EVENT | {"features": {"Größe": 1, 'a"b': "x"}, "é": [{"ü": "\0ß"}]}).encode(),
        rb'{"\u0074ime": "2026\u002d11-23T11:59:00\u005A", "model": "\u0073hop", "label": "\/"}',
    ],
)
def test_what_is_usual_is_taken(value: bytes) -> None:
    """None of these may need the slow way: this is what makes the scanner worth having."""
    assert scans.assert_same([value, value]).tolist() == [0, 1]


def test_keys_in_any_order_are_taken() -> None:
    rng = random.Random(5)
    values = []
    for _ in range(200):
        fields = list((EVENT | {"version": "1", "label": 1, "id": "a"}).items())
        rng.shuffle(fields)
        values.append(json.dumps(dict(fields)).encode())
    assert len(scans.assert_same(values)) == len(values)


def test_poison_is_left_and_changes_nothing_about_its_neighbours() -> None:
    good = [written(id=str(i)) for i in range(3)]
    for path in POISON:
        values = [good[0], path.read_bytes(), good[1], None, b"", good[2]]
        assert scans.assert_same([*values]).tolist() == [0, 2, 5], path


def test_every_byte_of_an_event_may_be_any_other_byte() -> None:
    scanner, event = long_lived(), written(version="São", weight=2, label=False)
    for at in range(len(event)):
        values = [event[:at] + bytes([byte]) + event[at + 1 :] for byte in range(256)]
        scans.assert_same([*values, event], scanner=scanner, held=scanner._book)


def test_an_event_may_be_cut_off_or_repeated_anywhere() -> None:
    event = written(x={"y": [1, "]"]}, prediction={"score": 1, "class": "a"})
    values = [event[:at] for at in range(len(event))]
    values += [event[:at] + event[at - 3 :] for at in range(3, len(event))]
    values += [event[:at] + event[at + 1 :] for at in range(len(event))]
    scans.assert_same([*values, event])


@pytest.mark.parametrize(("name", "most"), [("features", 20), ("segments", 8), ("metrics", 20)])
def test_a_limit_is_the_same_limit(name: str, most: int) -> None:
    for count, taken in ((most, [0]), (most + 1, [])):
        value = written(**{name: {f"k{i}": i for i in range(count)}})
        assert scans.assert_same([value]).tolist() == taken
    for length in (64, 65):
        scans.assert_same([written(**{name: {"x" * length: 1}}), written(id="ä" * (length // 2))])


def test_models_and_profiles_may_change_from_row_to_row() -> None:
    scanner, values = long_lived(), []
    for i in range(2_000):
        time_ms = scans.SWITCH_MS + (i * 7919) % 5_000 - 2_500
        model = ("shop", "Klasse ä", "toys")[i % 3]
        values.append(written(time=time_ms / 1000, model=model, features={"hour": i, "amount": 1}))
    taken = scans.assert_same([*values], scanner=scanner, held=scanner._book)
    assert len(taken) == sum(i % 3 < 2 for i in range(2_000))


def test_more_models_than_are_looked_at_are_left() -> None:
    values = [written(model=f"m{i}") for i in range(200)]
    assert len(scans.assert_same([*values, written()])) <= 1


def test_a_profile_that_comes_is_used_and_one_that_is_replaced_is_not() -> None:
    held = scans.ProfileBook()
    scanner = Scanner(held, scans.LIMITS)
    values: list[bytes | None] = [written(), written(label=1)]
    assert not len(scans.assert_same(values, scanner=scanner, held=held))
    for profile in (scans.shop(), scans.later(), scans.shop()):
        held.add(profile, 0)
        assert len(scans.assert_same(values, scanner=scanner, held=held)) == len(values)


@pytest.mark.parametrize("held", [scans.book(), ProfileBook()])
def test_records_that_are_all_ticks_leave_nothing(held: ProfileBook) -> None:
    records, none = Records.of_values([b"", b""]), np.zeros(0, np.int64)
    pieces, left = Scanner(held, scans.LIMITS).scan(records, none, np.zeros(2, np.int64))
    assert (pieces, left.tolist()) == ([], [])
