"""What stream.transport relies on inside Faust, mode and aiokafka; no broker is needed.

A failure here means: a pinned library has changed.  Read the override it names again, then
run tests/kafka/test_transport.py, before any of these expectations is edited.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import group_coordinator
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, Subscription, SubscriptionState
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust import App
from faust.serializers.schemas import Schema
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.app import RoleApp
from stream.consumer_thread import BatchConsumerThread
from stream.role import Commit, Partition
from stream.transport import BatchConsumer, BatchSchema, BatchTransport

IN = Partition("in", 0)

DECODER = "app on_key_decode_error on_value_decode_error default_propagate"
FETCH = "consumer active_partitions timeout max_records"
OVERRIDDEN: list[tuple[type, type, str, str]] = [
    (BatchSchema, Schema, "compile", DECODER),
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "_create_worker_consumer", "transport"),
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "on_crash", "msg fmt kwargs"),
    (BatchConsumerThread, driver.AIOKafkaConsumerThread, "on_start", ""),
    (BatchConsumer, driver.Consumer, "_new_consumer_thread", ""),
    (BatchConsumer, driver.Consumer, "getmany", "timeout"),
    (BatchConsumer, driver.Consumer, "perform_seek", ""),
    (BatchConsumer, driver.Consumer, "stop_flow", ""),
    (BatchConsumer, driver.Consumer, "resume_flow", ""),
    (BatchConsumer, driver.Consumer, "on_partitions_revoked", "revoked"),
    (BatchConsumer, driver.Consumer, "on_partitions_assigned", "assigned generation_id"),
    (BatchConsumer, driver.Consumer, "on_buffer_full", "tp"),
    (BatchConsumer, driver.Consumer, "_add_gap", "tp offset_from offset_to"),
    (BatchConsumer, driver.Consumer, "_filter_committable_offsets", "tps"),
    (BatchConsumer, driver.Consumer, "_commit", "offsets"),
    (BatchTransport, driver.Transport, "Consumer", ""),
    (RoleApp, App, "_new_transport", ""),
    (RoleApp, App, "_crash", "reason"),
    (RoleApp, App, "on_first_start", ""),
    (RoleApp, App, "BootStrategy", ""),
]  # fmt: skip
CALLED: list[tuple[Callable[..., Any], str]] = [
    (driver.AIOKafkaConsumerThread._fetch_records, FETCH),
    (driver.AIOKafkaConsumerThread._ensure_consumer, ""),
    (driver.AIOKafkaConsumerThread.call_thread, "fun args kwargs"),
    (driver.Consumer.earliest_offsets, "partitions"),
    (driver.Consumer.highwaters, "partitions"),
    (Consumer.maybe_wait_for_commit_to_finish, ""),
    (Consumer.commit, "topics start_new_transaction"),
    (Consumer._get_active_partitions, ""),
    (GroupCoordinator.check_errors, ""),
    (GroupCoordinator._do_rejoin_group, "subscription"),
    (GroupCoordinator.fetch_committed_offsets, "partitions"),
    (GroupCoordinator._do_commit_offsets, "assignment offsets"),
    (AIOKafkaConsumer.beginning_offsets, "partitions"),
    (AIOKafkaConsumer.end_offsets, "partitions"),
    (AIOKafkaConsumer.seek, "partition offset"),
    (Assignment.state_value, "tp"),
]  # fmt: skip


def parameters(function: Callable[..., Any]) -> str:
    names = list(inspect.signature(function).parameters)
    return " ".join(name for name in names if name != "self")


def tree_of(function: Callable[..., Any]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def in_order(function: Callable[..., Any], *snippets: str) -> bool:
    source = inspect.getsource(function)
    places = [source.find(snippet) for snippet in snippets]
    return -1 not in places and places == sorted(places)


def test_the_versions_are_those_that_were_read() -> None:
    assert version("faust-streaming") == "0.15.3"
    assert version("mode-streaming") == "0.7.1"
    assert version("aiokafka").startswith("0.14.")


@pytest.mark.parametrize(("ours", "base", "name", "expected"), OVERRIDDEN, ids=str)
def test_what_is_overridden_is_there_with_its_parameters(
    ours: type, base: type, name: str, expected: str
) -> None:
    assert name in vars(ours)
    function = getattr(base, name)
    assert inspect.isclass(function) or parameters(function) == expected


def test_nothing_is_overridden_by_accident() -> None:
    known = {(ours, name) for ours, _, name, _ in OVERRIDDEN}
    for ours, base in {(ours, base) for ours, base, _, _ in OVERRIDDEN}:
        names = {n for n in vars(ours) if not n.startswith("__") and hasattr(base, n)}
        # What Service's metaclass-like set-up writes into every subclass.
        names -= {"_tasks", "_init_subclass_logger", "logger", "abstract", "_thread", "_abc_impl"}
        names -= {n for n in names if vars(ours)[n] is getattr(base, n)}
        assert {(ours, n) for n in names} <= known


@pytest.mark.parametrize(("function", "expected"), CALLED, ids=lambda x: getattr(x, "__name__", ""))
def test_what_is_called_has_the_parameters_it_is_called_with(
    function: Callable[..., Any], expected: str
) -> None:
    assert parameters(function) == expected


def test_the_attributes_that_are_touched_are_there() -> None:
    source = inspect.getsource(AIOKafkaConsumer.__init__)
    for name in ("_fetch_max_wait_ms", "_max_poll_records", "_closed", "_fetcher", "_coordinator"):
        assert f"self.{name} = " in source, name
    assert "self._subscription = " in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_max_bytes=self._fetch_max_bytes" in inspect.getsource(AIOKafkaConsumer.start)
    assert "self.generation = " in inspect.getsource(GroupCoordinator.__init__)
    assert isinstance(Fetcher.error_future, property)
    assert isinstance(SubscriptionState.subscription, property)
    assert isinstance(Subscription.assignment, property)
    assert isinstance(Assignment.tps, property)
    assert isinstance(Assignment.active, property)
    source = inspect.getsource(Consumer.__init__) + inspect.getsource(Consumer._reset_state)
    for name in ("_acked", "_acked_index", "_read_offset", "can_resume_flow", "flow_active"):
        assert f"self.{name} = " in source, name


def test_a_partition_is_the_tuple_that_the_libraries_use() -> None:
    assert IN == TP(*IN) == TopicPartition(*IN)
    assert {TP(*IN): 1, TopicPartition(*IN): 2}[IN] == 2
    assert Commit(*OffsetAndMetadata(5, "m")) == Commit(5, "m")
    assert Assignment.state_value is not None


def test_nothing_runs_between_draining_records_and_returning_them() -> None:
    body = tree_of(Fetcher.fetched_records)
    loop = next(n for n in ast.walk(body) if isinstance(n, ast.For))
    outer = next(n for n in ast.walk(body) if isinstance(n, ast.While))
    after = outer.body[outer.body.index(loop) + 1]
    assert not any(isinstance(n, ast.Await) for n in ast.walk(loop))
    assert ast.unparse(after) == "if drained or not timeout:\n    return drained"
    fetch = tree_of(driver.AIOKafkaConsumerThread._fetch_records)
    awaits = [n for n in ast.walk(fetch) if isinstance(n, ast.Await)]
    assert len(awaits) == 1
    assert any(isinstance(n, ast.Return) and n.value is awaits[0] for n in ast.walk(fetch))


def test_a_commit_is_built_before_anything_else_can_run() -> None:
    source = tree_of(GroupCoordinator._do_commit_offsets)
    built = next(n for n in ast.walk(source) if _calls(n, "OffsetCommitRequest"))
    first = min(n.lineno for n in ast.walk(source) if isinstance(n, ast.Await))
    assert built.end_lineno < first
    assert "self.generation" in ast.unparse(built)
    assert "self.member_id" in ast.unparse(built)


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def test_a_lost_member_forgets_its_id_and_joins_by_the_one_way_that_is_guarded() -> None:
    assert "self.member_id = JoinGroupRequest.UNKNOWN_MEMBER_ID" in inspect.getsource(
        GroupCoordinator.reset_generation
    )
    called = "await self._do_rejoin_group(subscription)"
    assert called in inspect.getsource(GroupCoordinator.ensure_active_group)
    assert inspect.getsource(group_coordinator).count("_do_rejoin_group(") == 2
    source = inspect.getsource(GroupCoordinator._maybe_leave_group)
    assert "self.generation > 0 and self._group_instance_id is None" in source


def test_a_rebalance_ends_in_the_order_that_the_lease_needs() -> None:
    # The signal takes the lease; clearing the queues comes before the flow, so that it never
    # drops what the lease has given.
    assert in_order(
        Recovery._resume_streams,
        "await app.on_rebalance_complete.send()",
        "consumer.resume_partitions(",
        "consumer.perform_seek()",
        "app.flow_control.resume()",
        "consumer.resume_flow()",
        "_fetcher.maybe_start()",
    )
    assert "if not self.tables" in inspect.getsource(Recovery._restart_recovery.fun)
    assert in_order(App._on_partitions_revoked, "consumer.stop_flow", "self.flow_control.suspend")
    assert in_order(App._stop_consumer, "consumer.stop_flow()", "self.flow_control.suspend()")


def test_the_generation_is_set_before_faust_learns_of_the_assignment() -> None:
    assigned = driver.ConsumerRebalanceListener.on_partitions_assigned
    assert in_order(
        assigned, "app.consumer_generation_id = generation", "_thread.on_partitions_assigned("
    )


def test_a_topic_known_before_the_start_is_subscribed_at_once() -> None:
    assert Conductor._resubscribe_sleep_lock_seconds == 45.0
    assert in_order(
        Conductor._subscriber.fun, "consumer.subscribe(", "_resubscribe_sleep_lock_seconds"
    )


def test_a_fetch_notes_the_logs_end_before_its_time() -> None:
    assert in_order(
        Fetcher._proc_fetch_request, "tp_state.highwater = highwater", "tp_state.timestamp = now_ms"
    )
