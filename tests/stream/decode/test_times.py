"""Event times: both forms of each rule agree, and nothing is rounded the wrong way."""

import datetime
import random

import numpy as np
import pytest

from stream.decode.times import (
    NO_TIME,
    TIME_MAX_MS,
    TIME_MIN_MS,
    number_ms,
    numbers_ms,
    text_ms,
    texts_ms,
)

NOON_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z


def epoch_ms(*clock: int) -> int:
    """Ask the standard library."""
    moment = datetime.datetime(*clock, tzinfo=datetime.UTC)  # type: ignore[misc,arg-type]
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(
        milliseconds=1
    )


def many(text: str) -> int:
    """Read one text by the array form, which takes over where there are many."""
    found = set(texts_ms([text] * 20).tolist())
    assert len(found) == 1
    return int(found.pop())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T12:00:00Z", NOON_MS),
        ("2026-11-23t12:00:00z", NOON_MS),
        ("2026-11-23 12:00:00Z", NOON_MS),
        ("2026-11-23T12:00:00.250Z", NOON_MS + 250),
        ("2026-11-23T12:00:00.2Z", NOON_MS + 200),
        ("2026-11-23T12:00:00.25Z", NOON_MS + 250),
        ("2026-11-23T12:00:00.999999999999Z", NOON_MS + 999),
        ("2026-11-23T12:00:00." + "9" * 60 + "Z", NOON_MS + 999),
        ("2026-11-23T12:00:00.0009Z", NOON_MS),
        ("2026-11-23T13:00:00+01:00", NOON_MS),
        ("2026-11-23T17:30:00.001234+05:30", NOON_MS + 1),
        ("2026-11-22T12:01:00-23:59", NOON_MS),
        ("2026-11-23T12:00:00-00:00", NOON_MS),
        ("1969-12-31T23:59:59.9999Z", -1),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T00:00:00Z", epoch_ms(2024, 2, 29)),
        ("2000-02-29T23:59:59Z", epoch_ms(2000, 2, 29, 23, 59, 59)),
        ("1990-01-01T00:00:00Z", TIME_MIN_MS),
        ("2100-12-31T23:59:59.999Z", TIME_MAX_MS),
        ("9999-12-31T23:59:59Z", epoch_ms(9999, 12, 31, 23, 59, 59)),
        ("0001-01-01T00:00:00Z", epoch_ms(1, 1, 1)),
        ("0000-12-31T00:00:00Z", epoch_ms(1, 1, 1) - 86_400_000),
        ("2016-12-31T23:59:60Z", epoch_ms(2017, 1, 1) - 1),
        ("2016-12-31T23:59:60.75Z", epoch_ms(2017, 1, 1) - 1),
        ("2017-01-01T01:59:60+02:00", epoch_ms(2017, 1, 1) - 1),
    ],
)
def test_a_time_is_read_alike_alone_and_among_many(text: str, expected: int) -> None:
    """The fraction is cut off, never rounded; a leap second ends its minute."""
    assert (expected, expected) == (text_ms(text), many(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00:00.Z",
        "2026-11-23T12:00:00.25",
        "2026-02-29T12:00:00Z",
        "2100-02-29T12:00:00Z",
        "2026-11-31T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:00:60Z",
        "2026-11-23T12:00:00+24:00",
        "2026-11-23T12:00:00+0100",
        "2026-11-23T12:00:00,5Z",
        "2026-11-23T12:00:00.5.5Z",
        "2026-11-23T12:00:00.5+1:00Z",
        "2026-11-23T12:00:00Z\n",
        "\uff12026-11-23T12:00:00Z",
        "2026-11-23T12:00:00.1\u0661Z",
    ],
)
def test_what_is_no_rfc_3339_is_no_time(text: str) -> None:
    """Neither alone nor among many."""
    assert (text_ms(text), many(text)) == (None, NO_TIME)


def test_both_readers_agree_on_mutated_times() -> None:
    """Mixed lengths in one batch, most of them nearly right."""
    rng = random.Random(5)
    texts = []
    for _ in range(20_000):
        moment = f"{rng.randrange(0, 10_000):04}-{rng.randrange(14):02}-{rng.randrange(33):02}"
        clock = f"{rng.randrange(25):02}:{rng.randrange(61):02}:{rng.randrange(62):02}"
        fraction = rng.choice(["", ".5", ".250", ".123456"])
        zone = rng.choice(["Z", "z", "+01:00", "-23:59", "+24:00", "-00:60", ""])
        text = moment + rng.choice("TTTt x") + clock + fraction + zone
        if rng.random() < 0.2:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice("0:-+.Zz Tä٣/") + text[at + 1 :]
        texts.append(text)
    expected = [NO_TIME if time is None else time for time in map(text_ms, texts)]
    assert expected == texts_ms(texts).tolist()
    assert sum(time != NO_TIME for time in expected) > 5_000


def test_the_calendar_is_the_standard_library_s() -> None:
    """Every 13 hours from 1989 to 2101."""
    step = datetime.timedelta(hours=13, minutes=7, milliseconds=501)
    moment = datetime.datetime(1989, 1, 1, tzinfo=datetime.UTC)
    texts = []
    while moment.year < 2102:
        texts.append(moment.isoformat(timespec="milliseconds"))
        moment += step
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    moments = map(datetime.datetime.fromisoformat, texts)
    expected = [(found - epoch) // datetime.timedelta(milliseconds=1) for found in moments]
    assert expected == texts_ms(texts).tolist()


def test_seconds_with_three_places_are_that_millisecond() -> None:
    """No float multiplication moves an event into the millisecond before or after."""
    rng = random.Random(9)
    wanted = [rng.randrange(TIME_MIN_MS, TIME_MAX_MS + 1) for _ in range(20_000)]
    seconds = [float(f"{time // 1000}.{time % 1000:03}") for time in wanted]
    assert wanted == numbers_ms(np.array(seconds)).tolist()
    assert wanted == [number_ms(second) for second in seconds]


def test_both_readers_of_numbers_agree_next_to_a_millisecond() -> None:
    """Also one float below and above each whole millisecond, and for negative times."""
    rng = random.Random(10)
    seconds = []
    for _ in range(5_000):
        near = np.float64(rng.randrange(-(10**13), 10**13) / 1000)
        seconds += [near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)]
    expected = [number_ms(float(second)) for second in seconds]
    assert expected == numbers_ms(np.array(seconds)).tolist()


def test_integers_of_any_size_are_exact() -> None:
    """Beyond what a float can hold."""
    assert number_ms(2**70 + 1) == (2**70 + 1) * 1000
