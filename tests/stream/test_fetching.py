"""How records are read: the setting, and what is relied upon inside aiokafka's fetcher.

A contract that fails here means that aiokafka has changed: read `_proc_fetch_request`,
`FetchResult` and `PartitionRecords` again, run tests/kafka/test_fetching.py, then name the new
version in stream/fetching.py.  Until then "auto" reads by record objects.
"""

import ast
import inspect
import textwrap
from importlib.metadata import version

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from structlog.testing import capture_logs

from detectors.errors import ConfigError
from stream import fetching
from stream.config import Config
from stream.fetching import parses_in_place
from stream.observe import ObserveRole
from stream.role import takes_records


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("aiokafka") == fetching._AIOKAFKA


def test_the_setting_decides_and_falls_back_where_the_version_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert parses_in_place(Config().kafka.fetch)
    assert parses_in_place("in-place")
    assert not parses_in_place("records")
    monkeypatch.setattr(fetching, "_AIOKAFKA", "0.13.9")
    with capture_logs() as logged:
        assert not parses_in_place("records")
        assert not logged
        assert not parses_in_place("auto")
    assert [entry["log_level"] for entry in logged] == ["warning"]
    with pytest.raises(ConfigError, match=r"needs aiokafka 0\.13\.9; 0\.14\.0 is installed"):
        parses_in_place("in-place")


def test_the_setting_is_no_part_of_what_changes_an_answer() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kafka": {"fetch": "else"}}, Config)
    assert msgspec.convert({"kafka": {"fetch": "records"}}, Config).kafka.fetch == "records"


def test_only_observe_takes_records() -> None:
    assert ObserveRole.records_in_place
    assert not takes_records(type("Other", (), {})())


def tree_of(function: object) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def test_a_fetch_is_parsed_by_the_two_names_that_are_replaced_and_nowhere_else() -> None:
    code = Fetcher._proc_fetch_request
    assert not code.__code__.co_freevars  # so that it runs with other globals
    assert {"MemoryRecords", "PartitionRecords", "FetchResult"} <= set(code.__code__.co_names)
    tree = ast.parse(inspect.getsource(fetcher))
    for name in ("MemoryRecords", "PartitionRecords"):
        used = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name]
        here = [n for n in ast.walk(tree_of(code)) if isinstance(n, ast.Name) and n.id == name]
        assert len(used) == len(here) == 1, name
    assert "self._proc_fetch_request(" in inspect.getsource(Fetcher._fetch_requests_routine)
    assert "self._fetcher = " in inspect.getsource(AIOKafkaConsumer.start)


def test_of_the_bytes_only_their_size_and_whether_a_batch_is_whole_are_asked_for() -> None:
    tree = tree_of(Fetcher._proc_fetch_request)
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "records"
    }
    assert asked == {"has_next", "size_in_bytes"}


def test_a_result_counts_chunks_and_takes_its_position_from_the_iterator() -> None:
    assert list(inspect.signature(PartitionRecords.__init__).parameters) == [
        "self", "tp", "records", "aborted_transactions", "fetch_offset",
        "key_deserializer", "value_deserializer", "check_crcs", "isolation_level",
    ]  # fmt: skip
    used = {
        node.attr
        for node in ast.walk(tree_of(FetchResult))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._partition_records"
    }
    assert used == {"next_fetch_offset"}
    source = inspect.getsource(FetchResult.getall)
    assert "for msg in self._partition_records:" in source
    assert "len(ret_list) >= max_records" in source
    assert "max_records -= len(drained[tp])" in inspect.getsource(Fetcher.fetched_records)


def test_what_is_inherited_is_there() -> None:
    source = inspect.getsource(PartitionRecords.__init__)
    for name in (
        "_tp", "_records", "_aborted_producers", "_check_crcs", "_isolation_level",
        "next_fetch_offset",
    ):  # fmt: skip
        assert f"self.{name} = " in source, name
    assert "self._records_iterator = self._unpack_records()" in source
    parameters = inspect.signature(PartitionRecords._contains_abort_marker).parameters
    assert list(parameters) == ["self", "next_batch"]
    assert "self._aborted_producers.add" in inspect.getsource(
        PartitionRecords._consume_aborted_up_to
    )
