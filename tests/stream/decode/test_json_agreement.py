"""Poison is named, and the typed decoders agree with the strict one about everything."""

import json
import math
import random
import re
import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from poison import JSON_POISON, LARGE_JSON, USUAL

from detectors.events import REJECT_CODES, Event, Limits
from stream.decode import json_events
from stream.decode.json_events import Decoded, decode
from stream.decode.strict import RejectedError, decode_strict

RECORD_MS = 1_795_435_200_500  # 2026-11-23T12:00:00.500Z
LIMITS = Limits()
POISON = [*JSON_POISON.values(), *(value for value, _ in LARGE_JSON.values())]


def encoded(**changes: object) -> bytes:
    """Write the usual event with some fields changed."""
    return json.dumps(USUAL | changes).encode()


def decoded(values: list[bytes | None], record_time_ms: int | None = RECORD_MS) -> Decoded:
    """Decode values that were all appended at one time."""
    if record_time_ms is None:
        return decode(values, None, LIMITS)
    return decode(values, np.full(len(values), record_time_ms, np.int64), LIMITS)


def outcomes(found: Decoded) -> list[str]:
    """List what each value of a batch came to, in a form that tells -0.0 from 0.0."""
    outcome = dict(zip(found.rows.tolist(), map(repr, found.events), strict=True))
    outcome |= zip(found.rejected_rows.tolist(), found.reject_codes, strict=True)
    assert sorted(outcome) == list(range(len(outcome)))
    return [outcome[row] for row in range(len(outcome))]


def strict_outcome(value: bytes | None, record_time_ms: int | None = RECORD_MS) -> tuple[str, int]:
    """Ask the strict decoder alone; the second is the number of unknown fields."""
    try:
        event, unknown = decode_strict(value, record_time_ms, LIMITS)
    except RejectedError as refusal:
        return refusal.code, 0
    return repr(event), unknown


def assert_both_agree(values: list[bytes | None], record_time_ms: int | None = RECORD_MS) -> None:
    """Require of every value an event or a known code, the same from both decoders."""
    expected = [strict_outcome(value, record_time_ms) for value in values]
    found = decoded(values, record_time_ms)
    assert [outcome for outcome, _ in expected] == outcomes(found)
    assert sum(unknown for _, unknown in expected) == found.ignored_fields
    assert set(found.reject_codes) <= REJECT_CODES.keys()
    for event in found.events:
        assert_is_sound(event)


def assert_is_sound(event: Event) -> None:
    """Require that an event keeps every promise of its type."""
    numbers = [v for v in event.features.values() if not isinstance(v, bool)]
    numbers += [*event.attributions.values(), *event.metrics.values()]
    numbers += [event.score, event.latency_seconds]
    assert all(v is None or isinstance(v, float | str) for v in numbers)
    assert all(math.isfinite(v) for v in numbers if isinstance(v, float))
    texts = [event.model, event.version, event.predicted_class, event.id]
    texts += [*event.features, *event.segments, *event.segments.values()]
    assert all(text is None or isinstance(text, str) for text in texts)
    "".join(text or "" for text in texts).encode()
    assert isinstance(event.time_ms, int)
    assert 1 <= event.weight <= 4096


DAMAGE = rb'" \ \ud800 \u [[[[[[[[[ ] } , : "a":1, "model":"x", "time":1700000000000,'.split()
DAMAGE += [b'"x":0,', b".", b"e5", b"\xff", b"\xc3\xa4", b"\0", b"\n"]
SWAPS = rb'null true 0 -0.0 2.0 1.5 NaN 1e999 "" "1" "\u00e4" "\ud83d\ude00" "\ude00" {} []'.split()
SWAPS += rb'{"a":1} [1] {"score":1,"class":"a"} {"class":1,"q":[]} 1700000000 1700000000000'.split()
SWAPS += [b"9" * 30, b"7" * 400]
VALUE = re.compile(rb'(?<=:)\s*(?:"[^"]*"|[^,{}"\[\]]+)')


def mutated(rng: random.Random, value: bytes) -> bytes:
    """Swap up to two of the values in an event, or damage its bytes in one to four places."""
    changed = bytearray(value)
    for _ in range(rng.randrange(3)):
        found = list(VALUE.finditer(changed))
        if found:
            start, end = rng.choice(found).span()
            changed[start:end] = rng.choice(SWAPS)
    for _ in range(rng.choice([0, 0, 1, 4])):
        at = rng.randrange(len(changed) + 1)
        end = min(len(changed), at + rng.choice([0, 1, 1, 2, 5, 20]))
        pieces = [b"", bytes([rng.randrange(256)]), rng.choice(DAMAGE)]
        pieces += [bytes([rng.choice(b'0123456789-+.eE"{}[]:,\\ ')])]
        pieces += [bytes(changed[end : end + rng.randrange(30)])]
        changed[at:end] = rng.choice(pieces)
    return bytes(changed)


NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 1e308, 2**63, -(2**63) - 1, 10**400])
TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(["x" * 1024, "ä" * 1025, "\ud800"])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMED = st.dictionaries(TEXTS, SCALARS, max_size=4)
NAMED_NUMBERS = st.dictionaries(TEXTS, st.none() | NUMBERS, max_size=4)
TIMES = st.sampled_from(
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23t12:00:00.123456789z",
        "2026-11-23 12:00:00.5+05:30",
        "2016-12-31T23:59:60Z",
        1795435200,
        1795435200.001,
        1795435200000,
        "2026-11-23",
        "9999-01-01T00:00:00Z",
    ]
)
EVENTS = st.fixed_dictionaries(
    {"time": TIMES | TIMES | JUNK, "model": TEXTS | st.just("m")},
    optional={
        "version": SCALARS | JUNK,
        "features": NAMED | JUNK,
        "prediction": SCALARS
        | st.fixed_dictionaries(
            {},
            optional={
                "score": SCALARS,
                "class": SCALARS,
                "probabilities": NAMED_NUMBERS,
                "q": JUNK,
            },
        ),
        "segments": NAMED | JUNK,
        "label": SCALARS | JUNK,
        "latency_seconds": NUMBERS | JUNK,
        "attributions": NAMED_NUMBERS | JUNK,
        "metrics": NAMED_NUMBERS | JUNK,
        "weight": st.integers(0, 4097) | st.sampled_from([1.0, 2.5]) | JUNK,
        "id": SCALARS | JUNK,
        "other": JUNK,
    },
)


class TestPoison:
    """What is wrong is named, one code each."""

    def test_the_strict_decoder_says_the_same_of_all_poison(self) -> None:
        """Each alone, and all of it in one batch."""
        for value in POISON:
            assert_both_agree([value])
        assert_both_agree([encoded(), *POISON, encoded()])

    def test_the_codes_are_a_closed_set(self) -> None:
        """At most 20, each with a sentence."""
        assert len(REJECT_CODES) <= 20
        assert all(sentence.endswith(".") for sentence in REJECT_CODES.values())

    def test_poison_changes_nothing_about_its_neighbours(self) -> None:
        """The same events come out of any batches, with and without poison among them."""
        rng = random.Random(3)
        good = [encoded(id=str(i), time=1795435200 - i, x=[1]) for i in range(50)]
        good += [encoded(id=str(i)) for i in range(50, 300)]
        mixed: list[bytes | None] = []
        for value in good:
            mixed += [value, *rng.sample(POISON, 2)]
        expected = decoded([*good]).events
        for size in (1, 7, 900):
            batches = [decoded(mixed[at : at + size]) for at in range(0, len(mixed), size)]
            assert expected == [event for batch in batches for event in batch.events]


class TestAgreement:
    """The typed decoders and the strict one give the same answer to everything."""

    def test_the_typed_decoders_take_what_is_usual(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """None of these may need the slow way: this is what makes decoding fast."""

        def never(*_: object) -> None:
            raise AssertionError("The strict decoder was asked.")

        monkeypatch.setattr(json_events, "decode_strict", never)
        values = [
            encoded(),
            encoded(trace_id="abc", x={"y": [1]}),
            encoded(version=3, id=17, segments={"a": 1, "b": True, "c": None}),
            encoded(time=1795435200.25, prediction={"score": 1, "class": 2, "extra": 0}),
            encoded(time="2026-11-23T13:00:00+01:00", features={"Größe": "ä" * 1024}),
            json.dumps(dict.fromkeys(USUAL) | {"time": 1795435200, "model": "m"}).encode(),
        ]
        assert len(decoded([*values]).events) == len(values)

    def test_numbers_are_read_as_python_reads_them(self) -> None:
        """To the last bit: random doubles, their halfway points, long and tiny literals."""
        rng = random.Random(17)
        literals = ["0.1e-400000000000", "-0", "-0.0", "5e-324", "2.5e-324", "1e22", "1e23"]
        for _ in range(3000):
            number = abs(struct.unpack("d", rng.randbytes(8))[0])
            if not math.isfinite(number) or number > 1e300:
                continue
            halfway = (Decimal(number) + Decimal(math.nextafter(number, math.inf))) / 2
            literals += [repr(number)]
            literals += [f"{number:.25e}", f"{halfway:.40e}", f"{halfway:.18e}"]
            literals += [str(rng.getrandbits(rng.randrange(1, 200)))]
        shell = '{"time": 1795435200, "model": "m", "features": {"a": %s}}'
        values: list[bytes | None] = [(shell % literal).encode() for literal in literals]
        found = decoded(values)
        assert [float(literal) for literal in literals] == [e.features["a"] for e in found.events]
        assert_both_agree(values)

    def test_twenty_thousand_mutations_are_events_or_rejects(self) -> None:
        """Never an exception, always one outcome a value, the same both ways."""
        rng = random.Random(20_000)
        seeds = [encoded(), encoded(x={"y": [1, "]"]}), encoded(segments={"a": 1, "b": None})]
        seeds += [encoded(time=1795435200.25, prediction={"score": 0.5, "class": "a\u00e4"})]
        seeds += [json.dumps(USUAL | {"id": "ä😀"}, ensure_ascii=False).encode()] * 2
        seeds = seeds * 30 + [value for value in JSON_POISON.values() if len(value) < 600]
        kinds: set[str] = set()
        for _ in range(100):
            values: list[bytes | None] = [mutated(rng, rng.choice(seeds)) for _ in range(200)]
            assert_both_agree(values, rng.choice([RECORD_MS, None]))
            kinds.update(decoded(values).reject_codes)
        rare = {"too_large", "depth", "limit", "quarantine", "arrow"}
        assert kinds >= REJECT_CODES.keys() - rare

    @settings(max_examples=400, deadline=None, derandomize=True)
    @given(st.data())
    def test_any_event_shaped_json_gets_the_same_answer(self, data: st.DataObject) -> None:
        """Each field is drawn from what it may be and from what it may not."""
        values: list[bytes | None] = []
        for _ in range(data.draw(st.integers(1, 5))):
            fields = data.draw(EVENTS)
            ascii_only = data.draw(st.booleans())
            text = json.dumps(fields, ensure_ascii=ascii_only)
            values.append(text.encode("utf-8", "surrogatepass"))
        assert_both_agree(values)
