"""Every right in the table is needed: without it, the broker refuses a role at its work."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from live import ROOT, as_json, driftline, eventually, kill, records, worker
from logs import PANE_MS, Record, Shift, book, events, panes, profile, topic
from secured import ADMIN, SecuredKafka, bindings, config, forget, grant

from detectors.observe import Observer
from detectors.panes import Part, decode_part
from stream.access import ACCESS, CLOCK, Need
from stream.config_file import load_config
from stream.connection import connection_of
from stream.control import config_record, profile_record
from stream.routing import parts_of
from stream.topics import ensure_topics, specs
from tests.accounts import read_all

ROLES = ("observe", "judge", "learn")
ONE = {"events_partitions": 1, "summaries_partitions": 1}
AT_ONCE = 4
REFUSED_SECONDS_MAX = 60.0
# Five events a second; the fourth step of ten minutes ends what a profile is learnt from.
STEP_MS, LEARNT_FROM, ALL = 200, 9_600, 12_000


@pytest.fixture
def admin(secured: SecuredKafka) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(**secured.client())) as client:
        yield client


def parts(spread: Sequence[Record], *, known: bool) -> list[Part]:
    """Observe one partition, with the profile in force or without any."""
    observer = Observer(("events", 0, 1), book(profile()) if known else book(), PANE_MS)
    return [part for pane in panes(spread, observer) for part in parts_of(pane, 1)[0]]


def stock(role: str) -> tuple[list[bytes], list[Part]]:
    """Give the events and summaries that a role finds, so that it has all of its work to do."""
    if role == "observe":
        spread = [Record(event.time_ms, event) for event in events(3, step_ms=PANE_MS)]
        return [as_json(r.event) for r in spread if r.event] + [b"{"], parts(spread, known=True)
    if role == "judge":
        (spread,) = topic(events(3_000, seed=5, shifts=(Shift(at=1_500, sigma=4.0),)), 1)
        return [], parts(spread, known=True)
    log = events(LEARNT_FROM, seed=5, step_ms=STEP_MS)
    spread = [Record(event.time_ms, event) for event in log]
    return list(map(as_json, log)), parts(spread, known=False)


def prepared(
    secured: SecuredKafka, by_admin: Path, stocked: tuple[list[bytes], list[Part]], role: str
) -> None:
    """Make the topics of a prefix, and write what is in force and what is to be read."""
    settings = load_config(by_admin, {})
    prefix = settings.kafka.prefix
    ensure_topics(connection_of(settings.kafka), specs(prefix, **ONE))
    control = [config_record(settings), profile_record(profile(), 0)]
    with closing(KafkaProducer(**secured.client(), max_request_size=1 << 25)) as producer:
        for one in control[: 1 if role == "learn" else 2]:
            producer.send(f"{prefix}.control", msgspec.json.encode(one), one.key)
        for value in stocked[0]:
            producer.send(f"{prefix}.events", value)
        for part in stocked[1]:
            header = msgspec.structs.replace(part.header, topic=f"{prefix}.events")
            producer.send(f"{prefix}.summaries", Part(header, part.entries).encode())
        # No snapshot: but the topic has to be read to know that.
        producer.send(f"{prefix}.state", None, b"none")
        producer.flush()


def ended(role: str, path: Path) -> tuple[int | None, str]:
    """Run a role that does not ask first; give its code, None if it goes on, and its last words."""
    log = path.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unchecked", role, str(path)],
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            code = process.wait(REFUSED_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            kill(process)
    return code, (log.read_text().splitlines() or [""])[-1]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("role", ROLES)
def test_without_any_one_of_its_rights_the_broker_ends_a_role(
    secured: SecuredKafka, admin: KafkaAdminClient, topic_prefix: str, tmp_path: Path, role: str
) -> None:
    stocked = stock(role)
    paths: dict[Need, Path] = {}
    for number, missing in enumerate(ACCESS[role]):
        prefix = f"{topic_prefix}-{number}"
        by_admin = config(tmp_path, secured, ADMIN, prefix, create_topics=True, **ONE)
        prepared(secured, by_admin, stocked, role)
        needs = [need for need in ACCESS[role] if need != missing]
        if missing.kind == "topic":
            # To see a topic is not to use it: what is used in vain is refused, else nothing is.
            needs.append(missing._replace(operation="DESCRIBE"))
        grant(admin, bindings("nobody", prefix, tuple(needs)))
        paths[missing] = config(tmp_path, secured, "nobody", prefix, **ONE)
        text = paths[missing].read_text()
        paths[missing].write_text(f"{text}[judge]\nsnapshot_seconds = 1\n")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(lambda path: ended(role, path), paths.values()))
    for number, (need, (code, words)) in enumerate(zip(paths, found, strict=True)):
        # What configures a topic is asked for, and its absence refused as a wrong setting.
        assert code == (2 if need == CLOCK else 4), (need, code, words)
        assert f"{topic_prefix}-{number}.{need.name}" in words, (need, words)


@pytest.mark.timeout(300)
def test_learn_with_its_rights_alone_puts_a_profile_in_force(
    secured: SecuredKafka, admin: KafkaAdminClient, topic_prefix: str, tmp_path: Path
) -> None:
    by_admin = config(tmp_path, secured, ADMIN, topic_prefix, create_topics=True, **ONE)
    driftline("config", "push", by_admin)
    of = {}
    for user in ("observe", "learn"):
        forget(admin, user)
        grant(admin, bindings(user, topic_prefix, ACCESS[user]))
        of[user] = config(tmp_path, secured, user, topic_prefix, **ONE)
    values = list(map(as_json, events(ALL, seed=5, step_ms=STEP_MS)))
    control, logs = f"{topic_prefix}.control", [tmp_path / f"{user}.log" for user in of]

    def learnt() -> list[str]:
        found = [value for _, value in records(secured.client(), control)]
        return [str(value["hash"]) for value in found if value["kind"] == "profile"]

    def at_work() -> set[str]:
        connection = connection_of(load_config(by_admin, {}).kafka)
        summaries = asyncio.run(read_all(connection, f"{topic_prefix}.summaries"))
        return {entry.profile for r in summaries for entry in decode_part(r.value).entries}

    with (
        closing(KafkaProducer(**secured.client())) as producer,
        worker(of["observe"], logs[0], "--only", "observe"),
        worker(of["learn"], logs[1], "--only", "learn"),
    ):
        for value in values[:LEARNT_FROM]:
            producer.send(f"{topic_prefix}.events", value)
        eventually(lambda: '"event": "learnt"' in logs[1].read_text(), "a profile is learnt")
        for value in values[LEARNT_FROM:]:
            producer.send(f"{topic_prefix}.events", value)
        eventually(lambda: at_work() == set(learnt()), "observe goes by it")
    assert len(learnt()) == 1
    assert '"level": "error"' not in "".join(log.read_text() for log in logs)
