"""A file that is sent as if it were now: only the times change."""

import json

import pytest

from detectors.events import Limits
from stream.decode.json_events import decode
from stream.emitting import retimed

NOON_MS = 1_795_435_200_000


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b', "id": 1208925819614629174706177',
        b', "x": 1e999',
        b', "x": 1%s' % (b"0" * 400),
        b', "features": {"a": 0.1000000000000000055, "b": "\\ud83d\\ude00"}',
        b', "time": 1795435200.25',
    ],
)
def test_everything_but_the_time_stays_as_it_was_written(rest: bytes) -> None:
    value = b'{"time": 1795435200.25, "model": "m"' + rest + b"}"
    (before,) = decode([value], None, Limits()).events
    assert before.time_ms == NOON_MS + 250
    (moved,) = retimed([value], 1_000, Limits())
    (after,) = decode([moved], None, Limits()).events
    before.time_ms += 1_000
    assert before == after
    assert {k: v for k, v in json.loads(value).items() if k != "time"} == {
        k: v for k, v in json.loads(moved).items() if k != "time"
    }


def test_what_is_no_event_stays_as_it_is() -> None:
    assert retimed([b"{", b""], 1_000, Limits()) == [b"{", b""]
