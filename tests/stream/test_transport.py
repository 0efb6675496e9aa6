"""The transport inside a real Faust app that is never started; no broker is needed."""

import asyncio
from collections.abc import Mapping
from typing import Any, NoReturn

import pytest
from aiokafka.consumer.fetcher import OffsetResetStrategy
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.errors import NotCoordinatorForGroupError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.app.base import BootStrategy
from faust.types import TP
from mode import Service

from detectors.errors import StateRefused
from stream.app import RoleApp, make_app
from stream.connection import Connection
from stream.lease import Lease
from stream.role import Commit, KafkaSettings, Partition
from stream.transport import BatchConsumer, BatchSchema

IN = Partition("in", 0)


class Died(BaseException):
    pass


class Owner:
    """Stand for the shell: give durable commits, and die visibly."""

    role = None
    settings = KafkaSettings(connection=Connection("127.0.0.1:1,127.0.0.1:2"))

    def __init__(self, durable: Mapping[Partition, Commit] | None = None) -> None:
        self._durable = durable or {}

    def durable(self) -> Mapping[Partition, Commit]:
        return self._durable

    def fail(self, error: BaseException) -> NoReturn:
        raise Died from error


class NoRole:
    name = "nothing"
    topics = ("in",)
    group = "group"


def made(owner: Owner | None = None) -> RoleApp:
    """Make the app of a role, and its consumer, in a running loop; nothing is started."""
    app = make_app(NoRole(), Owner.settings)  # type: ignore[arg-type]  # it is never run
    app.owner = owner or Owner()
    assert isinstance(app.consumer, BatchConsumer)
    return app


def lease(**changes: Any) -> Lease:
    """Make a lease of one partition, read to offset 10."""
    what: dict[str, Any] = {
        "generation": 7, "assignment": Assignment([TopicPartition(*IN)]), "commits": {IN: None},
        "log_start": {IN: 0}, "log_end": {IN: 10},
    }  # fmt: skip
    made = Lease(**(what | changes))
    made.begin({IN: 10})
    return made


def test_commit_still_asks_for_the_offsets_and_hands_them_to_commit() -> None:
    async def scenario() -> None:
        app = made(Owner({IN: Commit(10, "state")}))
        consumer = app.consumer
        given: list[Any] = []

        async def call_thread(_: Any, lease: Lease, due: Mapping[Partition, Commit]) -> bool:
            given.append((lease, dict(due)))
            return True

        consumer._thread.call_thread = call_thread
        consumer._thread.assignment = lambda: {TP(*IN)}
        consumer.lease = lease()
        consumer._acked[TP(*IN)].extend([1, 2])
        consumer._acked_index[TP(*IN)].update([1, 2])
        assert await consumer.commit()
        assert given == [(consumer.lease, {IN: Commit(10, "state")})]
        assert not consumer._acked[TP(*IN)]
        assert not consumer._acked_index[TP(*IN)]
        assert not await consumer.commit()  # nothing new is durable
        assert len(given) == 1

    asyncio.run(scenario())


def test_a_role_may_start_at_an_end_that_is_newer_than_the_survey() -> None:
    async def scenario() -> None:
        consumer = made().consumer
        end = 15

        async def highwaters(*tps: TP) -> dict[TP, int]:
            assert tps == (IN,)
            return {IN: end}

        consumer.highwaters = highwaters
        late = lease()
        await consumer.start_lease(late, {IN: 15})
        assert late.position == {IN: 15}
        end = 12
        with pytest.raises(StateRefused, match="ends at offset 12"):
            await consumer.start_lease(lease(), {IN: 15})

    asyncio.run(scenario())


class Coordinator:
    def __init__(self, generation: int, error: Exception | None = None) -> None:
        self.generation = generation
        self.error = error
        self.sent: list[Any] = []

    async def _do_commit_offsets(self, _: Any, offsets: Any) -> None:
        self.sent.append(offsets)
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("generation", "error", "done", "sent"),
    [
        (7, None, True, 1),
        (8, None, False, 0),
        (-1, None, False, 0),
        (7, UnknownMemberIdError(), False, 1),
        (7, NotCoordinatorForGroupError(), False, 1),
    ],
)
def test_a_commit_goes_out_only_in_the_generation_of_its_lease(
    generation: int, error: Exception | None, done: bool, sent: int
) -> None:
    async def scenario() -> None:
        thread = made().consumer._thread
        coordinator = Coordinator(generation, error)
        thread._consumer = type("", (), {"_coordinator": coordinator})
        assert done is await thread.commit_in(lease(), {IN: Commit(10, "state")})
        assert coordinator.sent == [{TopicPartition(*IN): OffsetAndMetadata(10, "state")}] * sent

    asyncio.run(scenario())


def test_an_envelope_passes_the_schema_untouched() -> None:
    async def scenario() -> None:
        app = made()
        decode = BatchSchema().compile(app, on_key_decode_error=None, on_value_decode_error=None)
        message = type("", (), {"value": ["an envelope"], "headers": ()})()
        event = await decode(message, propagate=True)
        assert event.value is message.value
        assert event.message is message

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "which", ["consumer", "_thread", "topics", "tables", "recovery", "agents", "_fetcher"]
)
def test_a_crash_of_any_service_ends_the_process(which: str) -> None:
    async def scenario() -> None:
        app = made()
        for service in app.on_init_dependencies():  # as the app does when it starts
            app.add_dependency(service)
        places = {"_thread": app.consumer, "recovery": app.tables}
        broken: Service = getattr(places.get(which, app), which)
        with pytest.raises(Died):
            await broken.crash(ValueError("a bug"))

    asyncio.run(scenario())


def test_the_settings_are_those_that_the_transport_counts_on() -> None:
    async def scenario() -> None:
        conf = made().conf
        assert conf.consumer_auto_offset_reset == "none"
        assert OffsetResetStrategy.from_str("none") == OffsetResetStrategy.NONE
        assert not conf.stream_wait_empty
        assert not conf.topic_allow_declare
        assert conf.topic_disable_leader
        assert conf.table_standby_replicas == 0
        assert conf.broker_heartbeat_interval <= conf.broker_session_timeout / 3
        assert conf.broker_session_timeout <= conf.broker_request_timeout
        assert conf.broker_rebalance_timeout < conf.broker_request_timeout
        assert [str(url) for url in conf.broker] == ["kafka://127.0.0.1:1", "kafka://127.0.0.1:2"]
        assert conf.processing_guarantee.value == "at_least_once"

    asyncio.run(scenario())


def test_neither_a_web_server_nor_a_producer_of_fausts_is_started() -> None:
    async def scenario() -> None:
        app = made()
        services = [type(s).__name__ for s in app.boot_strategy.server()]
        assert "Web" not in services
        assert "Producer" not in services
        assert {"BatchConsumer", "Conductor", "TableManager", "AgentManager"} <= set(services)
        assert isinstance(app.boot_strategy, BootStrategy)

    asyncio.run(scenario())


def test_the_lease_decides_whether_the_flow_resumes() -> None:
    async def scenario() -> None:
        consumer = made().consumer
        consumer.stop_flow()
        consumer.resume_flow()
        assert not consumer.flow_active  # Faust would resume here without a seek
        consumer.lease = lease()
        consumer.resume_flow()
        assert consumer.flow_active
        consumer.stop_flow()
        assert consumer.lease.ended
        consumer.resume_flow()
        assert not consumer.flow_active

    asyncio.run(scenario())


def test_of_what_was_drained_only_the_records_of_the_lease_are_given() -> None:
    async def scenario() -> None:
        consumer = made().consumer
        old, new = lease(), lease(generation=8)
        consumer._active_partitions = {TP(*IN)}
        consumer.lease = new
        consumer.resume_flow()
        drained = iter([(old, {IN: [[record(3)]]}, {IN: 4}), (None, {IN: [[record(3)]]}, {}),
                        (new, {IN: [[record(10), record(12)]]}, {IN: 14})])  # fmt: skip

        async def fetch(*_: Any) -> Any:
            return next(drained)

        consumer._fetch = fetch
        given = [[message async for message in consumer.getmany(1.0)] for _ in range(3)]
        assert [len(messages) for messages in given] == [0, 0, 1]
        ((tp, message),) = given[2]
        assert (tp, message.offset, message.generation_id) == (IN, 13, 8)
        assert message.value.next_offset == 14
        assert [r.offset for r in message.value.records] == [10, 12]

    asyncio.run(scenario())


def test_what_was_drained_before_the_flow_resumed_is_kept_for_it() -> None:
    async def scenario() -> None:
        consumer = made().consumer
        consumer._active_partitions = {TP(*IN)}
        consumer.lease = now = lease()
        consumer.resume_flow()

        async def fetch(*_: Any) -> Any:
            consumer.flow_active = False  # as if a rebalance had come and gone meanwhile
            consumer.can_resume_flow.clear()
            asyncio.get_running_loop().call_later(0.05, consumer.resume_flow)
            return now, {IN: [[record(10)]]}, {IN: 11}

        consumer._fetch = fetch
        assert len([message async for message in consumer.getmany(1.0)]) == 1

    asyncio.run(scenario())


def test_nothing_is_fetched_while_too_much_is_undone() -> None:
    async def scenario() -> None:
        consumer = made().consumer
        consumer.lease = now = lease()
        consumer.resume_flow()
        now.undone = Owner.settings.envelopes_max + 1
        asyncio.get_running_loop().call_later(0.05, consumer.room.set)
        assert [message async for message in consumer.getmany(1.0)] == []

    asyncio.run(scenario())


def record(offset: int) -> Any:
    return type("", (), {"offset": offset, "timestamp": 1000, "timestamp_type": 1})()
