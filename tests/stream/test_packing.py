"""Events that `emit --format arrow` packs are the events that they were."""

import json
import random

from detectors.events import Limits
from detectors.profile import ProfileBook
from stream.decode.arrow.reader import ArrowReader
from stream.decode.json_events import decode
from stream.packing import packed

NAMES = ("amount", "city", "active")


def event(rng: random.Random, at: int) -> bytes:
    """Write an event with a bit of everything."""
    features = {"amount": rng.gauss(0, 1), "city": rng.choice(["Köln", None]), "active": True}
    of = {
        "id": f"e{at}",
        "time": 1_700_000_000 + at / 8,
        "model": "shop",
        "features": {name: features[name] for name in rng.sample(NAMES, 2)},
        "prediction": {"score": 0.5, "class": "x"},
        "segments": {"country": rng.choice(["DE", "FR"])},
        "label": rng.choice([1.0, None]),
        "weight": rng.choice([1, 7]),
    }
    return json.dumps(of).encode()


def test_packed_events_are_read_as_they_were() -> None:
    rng = random.Random(2)
    values = [event(rng, i) for i in range(100)]
    values[30], values[31], values[99] = b"{", b"", b"[]"
    messages = list(packed(values, 40, Limits()))
    assert [m for m in messages if m[:1] != b"\xff"] == [b"{", b"", b"[]"]
    assert [m[:1] == b"\xff" for m in messages] == [True, False, False, *[True] * 3, False]
    reader = ArrowReader(ProfileBook(), Limits())
    read = [e for m in messages if m[:1] == b"\xff" for e in reader.read(m, None).events]
    expected = decode(values, None, Limits()).events
    for mine, theirs in zip(read, expected, strict=True):
        assert {n: v for n, v in mine.features.items() if v is not None} == {
            n: v for n, v in theirs.features.items() if v is not None
        }
        mine.features.clear()
        theirs.features.clear()
        assert mine == theirs


def test_events_with_a_column_of_two_kinds_stay_json() -> None:
    values = [
        json.dumps({"time": 1_700_000_000, "model": "m", "features": {"a": a}}).encode()
        for a in ("x", 1)
    ]
    assert list(packed(values, 2, Limits())) == values
    assert len(list(packed(values, 1, Limits()))) == 2
