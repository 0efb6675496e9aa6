"""Files that are broken, or without end: bounded, told with their line, and read on."""

from pathlib import Path

import pytest

from detectors.errors import ConfigError
from detectors.events import Limits
from detectors.panes import UNSET
from stream.config import ColumnsConfig
from stream.decode.json_events import decode
from stream.sources import Row, read_rows

SHOP = ColumnsConfig(model_name="shop")


def rows_of(path: Path, content: bytes, columns: ColumnsConfig = SHOP) -> list[Row]:
    path.write_bytes(content)
    return [row for rows, _ in read_rows(path, columns, Limits()) for row in rows]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"time,caf\xe9\n", "Line 1 of .* is not UTF-8: convert the file first"),
        ("time,x\n".encode("utf-16"), "Line 1 of .* is not UTF-8"),
        (b'time,"x\n', "Line 1 of .* is no line of column names"),
        (b"time," + b"x" * 300_000 + b"\n", "Line 1 of .* is no line of column names"),
        (b"time,x,x\n", "has two columns 'x'"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        rows_of(tmp_path / "log.csv", content + b"2026-01-01T00:00:00Z,1\n")


def test_the_lines_that_an_open_quote_swallowed_are_read_again(tmp_path: Path) -> None:
    lines = [f"{1_767_225_600 + i},{i}\n" for i in range(40_000)]
    lines[7] = '1767225607,"7\n'
    rows = rows_of(tmp_path / "log.csv", ("time,x\n" + "".join(lines)).encode())
    decoded = decode([row.value for row in rows], None, Limits())
    assert (decoded.reject_codes, decoded.rejected_rows.tolist()) == (["json"], [7])
    assert len(decoded.events) == len(lines) - 1


def test_a_row_that_is_none_has_the_record_time_before_it(tmp_path: Path) -> None:
    content = b'time,seen\n"5"5\n1767225600,1767225601\na\rb\n1767225600,1767225602\n'
    columns = ColumnsConfig(model_name="shop", record_time="seen")
    times = [row.record_ms for row in rows_of(tmp_path / "log.csv", content, columns)]
    assert times == [UNSET, 1_767_225_601_000, 1_767_225_601_000, 1_767_225_602_000]


def test_lines_without_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    """A chunk is bounded by bytes as well as by rows."""
    path = tmp_path / "log.jsonl"
    path.write_bytes((b"[" * 60_000 + b"\n") * 1_000)
    chunks = [sum(len(row.value) for row in rows) for rows, _ in read_rows(path, SHOP, Limits())]
    assert sum(chunks) == 60_000_000
    assert max(chunks) < 9 << 20
