"""Native JSON events: what their fields mean, and which limits hold."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.events import Event, Limits, canonical
from stream.decode.json_events import Decoded, decode

NOON_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z
RECORD_MS = NOON_MS + 500
LIMITS = Limits()
USUAL: dict[str, Any] = json.loads((Path(__file__).parent / "usual.json").read_text())


def encoded(**changes: object) -> bytes:
    """Write the usual event with some fields changed."""
    return json.dumps(USUAL | changes).encode()


def decoded(values: list[bytes | None], record_time_ms: int | None = RECORD_MS) -> Decoded:
    """Decode values that were all appended at one time."""
    if record_time_ms is None:
        return decode(values, None, LIMITS)
    return decode(values, np.full(len(values), record_time_ms, np.int64), LIMITS)


def event_of(**changes: object) -> Event:
    """Decode the usual event with some fields changed; it must be one."""
    found = decoded([encoded(**changes)])
    assert found.reject_codes == []
    return found.events[0]


class TestMeaning:
    """What the fields of an event mean."""

    def test_the_usual_event_is_read_in_full(self) -> None:
        """Every field of DESIGN's example arrives."""
        assert event_of() == Event(
            time_ms=NOON_MS + 250,
            model="fraud",
            version="3",
            features={"amount": 12.5, "hour": 13.0, "country": "DE", "new": True, "note": None},
            score=0.93,
            predicted_class=None,
            segments={"country": "DE", "device": "ios"},
            label=1.0,
            latency_seconds=0.012,
            attributions={"amount": 0.31, "hour": None},
            metrics={"revenue": 12.0},
            weight=1,
            id="c0ffee-1",
        )

    def test_time_and_model_are_enough(self) -> None:
        """All else may be absent or null, which is the same."""
        absent = {"time": USUAL["time"], "model": "fraud"}
        null = dict.fromkeys(USUAL) | absent
        events = decoded([json.dumps(absent).encode(), json.dumps(null).encode()]).events
        assert events == [Event(time_ms=NOON_MS + 250, model="fraud")] * 2

    @pytest.mark.parametrize("version", ["3", 3, 3.0])
    def test_version_3_is_one_version(self, version: object) -> None:
        """A number and its digits name the same version."""
        assert event_of(version=version).version == "3"

    def test_segment_values_become_strings_and_null_is_absent(self) -> None:
        """Integers keep all their digits."""
        segments = {"a": 1, "b": 1.0, "c": 0.5, "d": False, "e": None, "f": "x", "g": 2**60 + 1}
        expected = {"a": "1", "b": "1", "c": "0.5", "d": "false", "f": "x", "g": str(2**60 + 1)}
        assert event_of(segments=segments).segments == expected

    def test_integers_beyond_64_bits_keep_their_digits_too(self) -> None:
        """The typed decoder leaves them to the strict one."""
        event = event_of(id=2**80 + 1, segments={"a": -(2**80) - 1})
        assert (event.id, event.segments) == (str(2**80 + 1), {"a": str(-(2**80) - 1)})

    @pytest.mark.parametrize(
        ("prediction", "expected"),
        [
            (0.93, (0.93, None)),
            (1, (1.0, None)),
            ("fraud", (None, "fraud")),
            (None, (None, None)),
            ({}, (None, None)),
            ({"score": 1, "class": "fraud"}, (1.0, "fraud")),
            ({"class": 1}, (None, "1")),
            ({"class": True, "score": None}, (None, "true")),
            ({"score": 0.5, "probabilities": {"a": 0.5, "b": 1, "c": None}}, (0.5, None)),
            ({"score": 0.5, "threshold": [0.4]}, (0.5, None)),
        ],
    )
    def test_a_prediction_is_a_score_a_class_or_both(
        self, prediction: object, expected: object
    ) -> None:
        """Probabilities are checked and not kept."""
        event = event_of(prediction=prediction)
        assert (event.score, event.predicted_class) == expected

    @pytest.mark.parametrize(("label", "kind"), [(1, float), ("ok", str), (True, bool)])
    def test_a_label_keeps_its_kind(self, label: object, kind: type) -> None:
        """Truth values are no numbers."""
        assert type(event_of(label=label).label) is kind

    @pytest.mark.parametrize("weight", [4096, 4.096e3])
    def test_a_whole_weight_may_be_written_as_a_float(self, weight: object) -> None:
        """JSON has one kind of number."""
        assert event_of(weight=weight).weight == 4096

    def test_the_last_of_two_equal_keys_counts(self) -> None:
        """At the top, in features, and where the first one is of a wrong type."""
        value = (
            b'{"time": [], "time": 1795435200, "model": "a", "model": "b",'
            b'"features": {"x": 1, "x": 2, "x": "z"}}'
        )
        expected = Event(time_ms=NOON_MS, model="b", features={"x": "z"})
        assert decoded([value]).events == [expected]

    def test_unknown_top_level_fields_are_ignored_and_counted(self) -> None:
        """Unknown fields inside a prediction are ignored only; rejects count nothing."""
        values = [
            encoded(x=[{"y": 1e3}], trace="a"),
            encoded(),
            encoded(y=None, prediction={"z": 1}),
            encoded(z=1, model=7),
            encoded(z=1, time="2099-01-01T00:00:00Z"),
        ]
        found = decoded([*values])
        assert (found.ignored_fields, found.rows.tolist()) == (3, [0, 1, 2])
        assert found.events[0] == found.events[1]

    def test_a_number_too_large_in_an_ignored_field_does_no_harm(self) -> None:
        """Only what is used must be finite."""
        assert event_of(x=10**400) == event_of()

    def test_escapes_and_other_scripts_arrive_as_characters(self) -> None:
        """An escaped pair of surrogates is one character."""
        features = {"Grö\u00dfe": "😀", 'quote"d': "a\\b", "nul": "\0", "b": "\\ud800"}
        plain = json.dumps(USUAL | {"features": features}, ensure_ascii=False).encode()
        assert features == event_of(features=features).features
        assert features == decoded([plain]).events[0].features
        assert features == event_of(features=features, weight=1.0).features

    def test_limits_count_characters_and_include_the_last(self) -> None:
        """1,024 umlauts, 1,000 features, 32 segments and 65,536 bytes are allowed."""
        text = "ä" * 1024
        assert event_of(id=text, features={text: text}).id == text
        assert len(event_of(features={f"f{i}": i for i in range(1000)}).features) == 1000
        assert len(event_of(segments={f"s{i}": "x" for i in range(32)}).segments) == 32
        assert decoded([encoded().ljust(65_536)]).reject_codes == []
        assert decoded([encoded().ljust(65_537)]).reject_codes == ["too_large"]
        assert decoded([encoded(x=[[[[[[[1]]]]]]])]).reject_codes == []

    def test_other_limits_hold_when_they_are_configured(self) -> None:
        """Both decoders follow the configuration."""
        limits = Limits(event_bytes=500, depth=3, features=5, segments=2, string_length=24)
        cases = {
            encoded(): [],
            encoded(x="y" * 200): ["too_large"],
            encoded(x=[[[1]]]): ["depth"],
            encoded(features={f"f{i}": 1 for i in range(6)}): ["limit"],
            encoded(segments={"a": "x", "b": "y", "c": "z"}): ["limit"],
            encoded(model="m" * 25): ["limit"],
            encoded(features={"f" * 25: 1}): ["limit"],
        }
        for value, codes in cases.items():
            assert codes == decode([value], None, limits).reject_codes

    def test_time_future_is_held_against_the_record(self) -> None:
        """60 s ahead is allowed; a file has no record times."""
        allowed, refused = encoded(time="2026-11-23T12:01:00.500Z"), encoded(time=1795435260.501)
        found = decoded([allowed, refused, allowed])
        assert (found.rows.tolist(), found.reject_codes) == ([0, 2], ["time_future"])
        assert decoded([allowed, refused], None).reject_codes == []
        assert decoded([encoded(time="2026-11-23T12:01:00.500Z", weight=2.0)]).reject_codes == []

    def test_an_empty_batch_is_nothing(self) -> None:
        """No values, no events."""
        found = decode([], np.empty(0, np.int64), LIMITS)
        assert (found.events, found.reject_codes, len(found.rows)) == ([], [], 0)


class TestCanonical:
    """The names of categories."""

    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("3.0", "3.0"),
            ("", ""),
            (True, "true"),
            (False, "false"),
            (3, "3"),
            (3.0, "3"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (1e22, "10000000000000000000000"),
            (-2.5e-7, "-2.5e-07"),
            (np.float64(0.5), "0.5"),
        ],
    )
    def test_a_value_has_one_name(self, value: float | str, name: str) -> None:
        """However a whole number is written, its digits are its name."""
        assert name == canonical(value)

    @given(st.integers(-(2**53), 2**53))
    def test_an_integer_and_its_float_are_one_category(self, value: int) -> None:
        """Within the range where a float is exact."""
        assert canonical(value) == canonical(float(value))
