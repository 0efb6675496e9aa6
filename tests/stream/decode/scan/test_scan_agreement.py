"""What the scanner takes, the slow way takes too, and gives the same columns for."""

import json
import math
import random
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scans
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.decode.scan import codes
from stream.decode.scan.plan import Tables
from stream.decode.scan.scanner import Scanner

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


def literals() -> list[str]:
    """List numbers that are hard to read: halfway points, subnormals, long and huge ones."""
    rng = random.Random(17)
    found = ["0.1e-400", "-0", "-0.0", "0e5", "-0e0", "5e-324", "2.5e-324", "1e22", "1e23", "1e-22"]
    found += ["9007199254740993", "9007199254740993.0", "9007199254740992e3", "1e308", "1.8e308"]
    found += ["0." + "0" * 30 + "123456789012345678", "123456789012345678901234567890", "1e-5000"]
    found += ["0.000000000000000000000000000000000000", "1e+05", "1E-05", "00", "01", "-", "1.", ".1"]
    found += ["1e", "1e+", "+1", "0x1", "1_0", "1e00000000000000000005", "2.2250738585072011e-308"]
    for _ in range(20_000):
        number = abs(struct.unpack("d", rng.randbytes(8))[0])
        if math.isfinite(number) and number < 1e308:
            halfway = (Decimal(number) + Decimal(math.nextafter(number, math.inf))) / 2
            found += [repr(number), f"{halfway:.18e}", f"{halfway:.16e}", f"{-number:.17g}"]
    for _ in range(20_000):
        number = rng.gauss(0, 1) * 10.0 ** rng.randrange(-5, 6)
        halfway = (Decimal(number) + Decimal(math.nextafter(number, math.inf))) / 2
        found += [repr(number), f"{halfway:.18g}", str(rng.getrandbits(rng.randrange(1, 70)))]
        found.append(f"{rng.getrandbits(63)}e{rng.randrange(-30, 30)}")
    return found


def test_numbers_are_read_to_the_last_bit() -> None:
    shell = '{"time": 1795431600, "model": "shop", "features": {"amount": %s}}'
    values: list[bytes | None] = [(shell % literal).encode() for literal in literals()]
    taken = len(scans.assert_same(values))
    assert taken > 0.95 * len(values)


def test_times_are_read_to_the_millisecond() -> None:
    rng, texts = random.Random(3), []
    for _ in range(3_000):
        parts = [rng.choice([1989, 1990, 1999, 2000, 2024, 2100, 2101]), rng.randrange(14)]
        parts += [rng.choice([0, 1, 28, 29, 30, 31, 32]), rng.randrange(25), rng.randrange(61)]
        text = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}".format(*parts, rng.randrange(61))
        text += rng.choice(["", ".", ".1", ".12", ".123", ".999999", "." + "9" * 30])
        texts.append(text + rng.choice(["Z", "z", "+00:00", "-23:59", "+14:00", "+24:00", "", "Zz"]))
    shell = '{"time": %s, "model": "shop"}'
    values: list[bytes | None] = [(shell % f'"{text}"').encode() for text in texts]
    numbers = [rng.randrange(6 * 10**11, 42 * 10**11) / 1000 for _ in range(3_000)]
    values += [(shell % repr(number)).encode() for number in numbers]
    values += [(shell % f"{number:.6f}").encode() for number in numbers]
    assert len(scans.assert_same(values, None)) > 5_000


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


def clumsy(tables: Tables, what: str) -> None:
    """Plant one bug in what a scanner knows."""
    keys, entries, choices = tables.keys, tables.names[0], tables.choices
    if what == "names are compared by their length":
        keys[:, [codes.MASK, codes.WORD, codes.LAST]] = 0
    elif what == "a category has the next one's code":
        entries[entries[:, 3] == codes.FIRST_PART, 4] += 1
    elif what == "numbers are no categories":
        entries[entries[:, 2] == 1 << 62, 2] = 0
    elif what == "strings may be longer":
        choices[codes.STRING_BYTES_MAX] = 80
    elif what == "there may be more features":
        choices[codes.FEATURE_KEYS_MAX] = 30
    elif what == "deeper is not too deep":
        choices[codes.LEVELS_MAX] = 60
    elif what == "a version is no segment":
        choices[codes.VERSION_KEY] = -1
    elif what == "what is in no slice is in the first":
        tables.groups[:, codes.OTHERWISE] = 0
    elif what == "two columns are swapped":
        row = keys[:, codes.ACTION] == codes.FEATURE
        keys[row, codes.ARGUMENT] = np.roll(keys[row, codes.ARGUMENT], 1)


@pytest.mark.parametrize(
    "what",
    [
        "names are compared by their length",
        "a category has the next one's code",
        "numbers are no categories",
        "strings may be longer",
        "there may be more features",
        "deeper is not too deep",
        "a version is no segment",
        "what is in no slice is in the first",
        "two columns are swapped",
    ],
)
def test_the_check_finds_a_planted_bug(what: str) -> None:
    writer, scanner = scans.Writer(1), long_lived()
    values: list[bytes | None] = [writer.event() for _ in range(2_000)]
    values += [written(id="x" * 70), written(x=[[[[[[[[[[[]]]]]]]]]]])]
    values += [written(features={f"k{i}": i for i in range(25)})]
    scans.assert_same(values, scanner=scanner, held=scanner._book)
    for _, plan in scanner._plans.values():
        clumsy(plan.tables, what)
    with pytest.raises(AssertionError):
        scans.assert_same(values, scanner=scanner, held=scanner._book)
