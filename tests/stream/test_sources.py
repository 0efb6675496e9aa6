"""Files as logs: a table's row is the event that an emitter would have sent."""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from detectors.channels import FitOptions
from detectors.errors import ConfigError
from detectors.events import Event, Limits
from detectors.fit import fit
from detectors.policy import Policy
from stream.config import ColumnsConfig
from stream.decode.json_events import decode
from stream.sources import Row, read_rows, size_of

SHOP = ColumnsConfig(model_name="shop")


def rows_of(path: Path, columns: ColumnsConfig = SHOP, model: str | None = None) -> list[Row]:
    return [row for rows, _ in read_rows(path, columns, Limits(), model) for row in rows]


def events_of(path: Path, columns: ColumnsConfig = SHOP) -> list[Event]:
    decoded = decode([row.value for row in rows_of(path, columns)], None, Limits())
    assert not decoded.reject_codes
    return decoded.events


def table(tmp_path: Path, text: str, name: str = "log.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def one(tmp_path: Path, header: str, row: str, **columns: Any) -> Event:
    path = table(tmp_path, f"time,{header}\n2026-01-01T00:00:00Z,{row}\n")
    (event,) = events_of(path, ColumnsConfig(**({"model_name": "shop"} | columns)))
    return event


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("-1e3", -1000.0),
        ("true", True),
        ("FALSE", False),
        ("True", True),
        ("DE", "DE"),
        ("60K+ €", "60K+ €"),
        ("", None),
        ("  ", None),
        ("NaN", None),
        ("null", None),
        ("None", None),
        ("N/A", None),
    ],
)
def test_a_cell_is_a_number_a_boolean_a_text_or_missing(
    tmp_path: Path, cell: str, value: object
) -> None:
    assert one(tmp_path, "x", cell).features == {"x": value}
    assert type(one(tmp_path, "x", cell).features["x"]) is type(value)


@pytest.mark.parametrize("cell", ["12_34", "1_000"])
def test_a_code_with_an_underscore_is_a_text(tmp_path: Path, cell: str) -> None:
    assert one(tmp_path, "x", cell).features == {"x": cell}


@pytest.mark.parametrize("cell", ["inf", "Infinity", "1e999"])
def test_a_number_too_large_for_a_float_is_not_taken_for_missing(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path, f"time,x\n2026-01-01T00:00:00Z,{cell}\n")
    decoded = decode([row.value for row in rows_of(path)], None, Limits())
    assert decoded.reject_codes or decoded.events[0].features == {"x": cell}


@pytest.mark.parametrize(
    ("cell", "time_ms"),
    [
        ("2026-01-01T00:00:00Z", 1_767_225_600_000),
        ("2026-01-01 00:00:00", 1_767_225_600_000),
        ("2026-01-01 01:00:00.250+01:00", 1_767_225_600_250),
        ("2026-01-01", 1_767_225_600_000),
        ("1767225600.5", 1_767_225_600_500),
        (" 1767225600 ", 1_767_225_600_000),
    ],
)
def test_a_time_without_a_zone_is_utc_and_a_number_is_seconds(
    tmp_path: Path, cell: str, time_ms: int
) -> None:
    path = table(tmp_path, f"time,x\n{cell},1\n")
    assert [e.time_ms for e in events_of(path)] == [time_ms]


def test_what_is_no_time_is_left_to_the_decoder_to_reject(tmp_path: Path) -> None:
    path = table(tmp_path, "time,x\nyesterday,1\n,2\n")
    decoded = decode([row.value for row in rows_of(path)], None, Limits())
    assert decoded.reject_codes == ["time_type", "time_missing"]


def test_every_field_of_an_event_can_be_mapped(tmp_path: Path) -> None:
    event = one(
        tmp_path,
        "key,m,v,p,c,y,ms,w,amount,country,shap,revenue",
        "k1,fraud,3,0.75,bad,true,0.5,4,12.5,DE,0.3,9",
        id="key",
        model="m",
        version="v",
        prediction="p",
        class_="c",
        label="y",
        latency_seconds="ms",
        weight="w",
        features=("amount",),
        segments=("country",),
        attributions=("shap",),
        metrics=("revenue",),
    )
    assert (event.id, event.model, event.version) == ("k1", "fraud", "3")
    assert (event.score, event.predicted_class, event.label) == (0.75, "bad", True)
    assert (event.latency_seconds, event.weight) == (0.5, 4)
    assert (event.features, event.segments) == ({"amount": 12.5}, {"country": "DE"})
    assert (event.attributions, event.metrics) == ({"shap": 0.3}, {"revenue": 9.0})


def test_columns_that_the_mapping_does_not_name_are_features(tmp_path: Path) -> None:
    event = one(
        tmp_path, "score,a,country,b", "0.5,1,DE,2", prediction="score", segments=("country",)
    )
    assert event.features == {"a": 1.0, "b": 2.0}
    assert event.segments == {"country": "DE"}


def test_a_column_may_be_a_feature_and_a_segment(tmp_path: Path) -> None:
    event = one(tmp_path, "country", "DE", features=("country",), segments=("country",))
    assert (event.features, event.segments) == ({"country": "DE"}, {"country": "DE"})


def test_names_keep_their_digits_as_written(tmp_path: Path) -> None:
    event = one(tmp_path, "key,v,zip", "007,1.0,01234", id="key", version="v", segments=("zip",))
    assert (event.id, event.version, event.segments) == ("007", "1.0", {"zip": "01234"})


def test_a_short_row_has_missing_values_and_an_empty_one_is_none(tmp_path: Path) -> None:
    path = table(tmp_path, "time,a,b\n2026-01-01T00:00:00Z,1\n\n2026-01-01T00:00:01Z,1,2\n")
    assert [e.features["b"] for e in events_of(path)] == [None, 2.0]


def test_a_quoted_cell_may_hold_a_comma_and_a_line_break(tmp_path: Path) -> None:
    assert one(tmp_path, "x", '"a, b\nc"').features == {"x": "a, b\nc"}


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    assert len(events_of(table(tmp_path, "\ufefftime,x\n2026-01-01T00:00:00Z,1\n"))) == 1


def test_a_model_may_come_from_the_command_line(tmp_path: Path) -> None:
    path = table(tmp_path, "time,x\n2026-01-01T00:00:00Z,1\n")
    (row,) = rows_of(path, ColumnsConfig(), "fraud")
    assert orjson.loads(row.value)["model"] == "fraud"


def test_a_table_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    path = table(tmp_path, "time,x\n2026-01-01T00:00:00Z,1\n")
    with pytest.raises(ConfigError, match=r"does not say which model .* give --model NAME"):
        rows_of(path, ColumnsConfig())


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = table(tmp_path, "when,x\n2026-01-01T00:00:00Z,1\n")
    with pytest.raises(ConfigError, match=r"has no column 'time'; its columns are: when, x"):
        rows_of(path)


def test_a_record_time_column_gives_record_times(tmp_path: Path) -> None:
    path = table(tmp_path, "time,seen,x\n2026-01-01T00:00:00Z,2026-01-01 00:00:01.5,1\n")
    columns = ColumnsConfig(model_name="shop", record_time="seen")
    assert [row.record_ms for row in rows_of(path, columns)] == [1_767_225_601_500]
    assert [row.record_ms for row in rows_of(path)] == [None]


@pytest.mark.parametrize("cell", ["soon", "", "inf", "1e300", "-1", "true", "2026-13-01"])
def test_a_record_time_that_is_none_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path, f"time,seen\n2026-01-01T00:00:00Z,{cell}\n")
    columns = ColumnsConfig(model_name="shop", record_time="seen")
    with pytest.raises(ConfigError, match=r"Line 2 of .* no record time in 'seen'"):
        rows_of(path, columns)


LINES = [
    f'{{"time": {1_767_225_600 + i}, "model": "shop", "features": {{"x": {i}}}}}'
    for i in range(9_000)
]


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson", "log.jsonl.gz"])
def test_json_lines_are_read_as_they_are_plain_or_gzipped(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = ("\n".join([*LINES[:5], "", "  ", *LINES[5:]]) + "\n").encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert [row.value.decode() for row in rows_of(path)] == LINES
    assert list(read_rows(path, SHOP, Limits()))[-1][1] == size_of(path)


def test_a_gzipped_table_gives_the_same_events(tmp_path: Path) -> None:
    text = "time,x\n" + "".join(f"{1_767_225_600 + i},{i}\n" for i in range(100))
    plain = table(tmp_path, text)
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert events_of(packed) == events_of(plain)


@pytest.mark.parametrize("name", ["log.parquet", "log.txt", "log", "log.gz"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match="neither JSONL"):
        rows_of(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no file .*none\.csv"):
        rows_of(tmp_path / "none.csv")


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        rows_of(table(tmp_path, ""))


def test_a_gzipped_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(LINES).encode())[:-50])
    with pytest.raises(ConfigError, match=r"cut off|broken"):
        rows_of(path)


def test_a_file_that_is_not_gzipped_though_it_says_so_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(b"{}")
    with pytest.raises(ConfigError):
        rows_of(path)


def test_a_column_of_two_numbers_is_two_valued_and_of_true_and_false_boolean(
    tmp_path: Path,
) -> None:
    lines = [f"{1_767_225_600 + i},{i % 2},{i % 3 == 0!s},{i}" for i in range(400)]
    path = table(tmp_path, "time,flag,known,number\n" + "\n".join(lines) + "\n")
    profile = fit(events_of(path), FitOptions(), Policy())
    kinds = {c.name: (c.kind, c.categories) for c in profile.channels}
    assert kinds["feature:flag"] == ("categorical", ("0", "1"))
    assert kinds["feature:known"] == ("categorical", ("false", "true"))
    assert kinds["feature:number"][0] == "numeric"
