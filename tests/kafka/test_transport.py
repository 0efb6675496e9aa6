"""Workers as processes on a real Kafka: killed, stopped, frozen, poisoned; nothing lost."""

import random
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from workers import PARTITIONS, SESSION_SECONDS, Log, Worker, eventually, numbered


@pytest.fixture
def log(bootstrap: str, topic_prefix: str) -> Iterator[Log]:
    log = Log(bootstrap, topic_prefix)
    yield log
    log.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("take", ["objects", "records"])
def test_workers_killed_stopped_and_added_under_load_count_every_record_once(
    log: Log, take: str
) -> None:
    load = threading.Thread(target=log.write, args=(numbered(60_000), 4_000))
    load.start()
    running = [log.worker(take=take), log.worker(take=take)]
    eventually(lambda: all(worker.calls("assigned") for worker in running))
    rng = random.Random(1)
    for _ in range(3):
        time.sleep(rng.uniform(1, 2))
        killed = running.pop(rng.randrange(len(running)))
        killed.process.kill()
        running.append(log.worker(take=take))
        eventually(lambda: running[-1].calls("assigned"))
    code, seconds = running.pop(0).terminate()
    assert (code, seconds < 5) == (0, True)
    running.append(log.worker(take=take))
    load.join()
    eventually(log.exact, 60)
    assert [worker.process.poll() for worker in running] == [None, None]
    assert sum(count for count, _ in log.truth.values()) == 60_000


def test_what_was_committed_comes_back_with_its_metadata(log: Log) -> None:
    log.write(numbered(5_000))
    first = log.worker()
    eventually(lambda: first.calls("caught up"))
    code, seconds = first.terminate()
    assert (code, seconds < 5) == (0, True)
    assert log.exact()
    second = log.worker()
    eventually(lambda: second.calls("assigned"))
    restored = second.calls("assigned")[0]["commits"]
    assert {str(p): [count, count, mix] for p, (count, mix) in log.truth.items()} == restored


def test_a_worker_that_leaves_commits_what_is_durable_before_its_partitions_go(log: Log) -> None:
    log.write(numbered(5_000))
    first = log.worker(commit_interval=3600)
    eventually(lambda: first.calls("caught up"))
    assert log.committed() == {}
    second = log.worker(commit_interval=3600)
    eventually(lambda: second.calls("assigned") and len(first.calls("assigned")) > 1)
    assert log.exact()
    shared = [worker.calls("assigned")[-1]["commits"] for worker in (first, second)]
    assert [len(commits) for commits in shared] == [2, 2]
    handed = shared[0] | shared[1]
    assert {str(p): count for p, (count, _) in log.truth.items()} == {
        p: offset for p, (offset, _, _) in handed.items()
    }


@pytest.mark.parametrize(
    ("kind", "exit_code", "says"),
    # A crash tells where; what the error says may be the text of an event.
    [("poison", 70, "RuntimeError"), ("refuse", 3, "the deadly record")],
)
def test_an_exception_in_the_role_ends_the_process_and_commits_nothing_after_it(
    log: Log, kind: str, exit_code: int, says: str
) -> None:
    values = numbered(3_000)
    values[1_000] = b"deadly"
    log.write(values)
    broken = log.worker(**{kind: "deadly"})
    assert exit_code == broken.ends(30)
    assert says in str(broken.last_log)
    assert ("deadly" in str(broken.last_log)) == ("deadly" in says)
    assert exit_code == broken.last_log["exit_code"]
    where = 1_000 // 8 * 3
    assert log.committed().get(0, (0, ""))[0] <= where
    mended = log.worker()
    eventually(log.exact)
    assert mended.process.poll() is None


def test_offsets_deleted_before_they_were_read_are_refused_by_name(log: Log) -> None:
    log.write(numbered(4_000))
    first = log.worker()
    eventually(lambda: first.calls("caught up"))
    first.terminate()
    log.write(numbered(4_000, "more"))
    log.admin.delete_records({TopicPartition(log.topic, 3): 600})
    second = log.worker()
    assert second.ends(30) == 3
    assert f"{log.topic}/3: offset 500" in second.last_log["event"]
    assert "begins at offset 600" in second.last_log["event"]


def test_offsets_deleted_while_a_slow_worker_reads_are_refused_by_name(log: Log) -> None:
    log.write(numbered(40_000, "x" * 100))
    slow = log.worker(pause=0.5, fetch_bytes=20_000)
    eventually(lambda: slow.calls("assigned"))
    time.sleep(1)
    log.admin.delete_records({TopicPartition(log.topic, 0): 14_000})
    assert slow.ends(40) == 3
    assert f"{log.topic}/0: offset " in slow.last_log["event"]
    assert "begins at offset 14000" in slow.last_log["event"]


def test_under_a_lasting_backlog_every_partition_is_read(log: Log) -> None:
    log.write(numbered(40_000, "x" * 100))
    slow = log.worker(pause=0.05, fetch_bytes=20_000)
    eventually(lambda: len(slow.calls("assigned")) > 0)
    eventually(lambda: sum(offset for offset, _ in log.committed().values()) > 8_000)
    counts = [offset for offset, _ in log.committed().values()]
    assert len(counts) == PARTITIONS
    assert min(counts) > max(counts) / 3


def test_a_log_made_anew_below_the_commit_is_refused(log: Log) -> None:
    log.write(numbered(4_000))
    first = log.worker()
    eventually(lambda: first.calls("caught up"))
    first.terminate()
    moved = log.admin.alter_group_offsets(
        log.group, {TopicPartition(log.topic, 0): OffsetAndMetadata(9_999, "9999 1", -1)}
    )
    assert moved
    second = log.worker()
    assert second.ends(30) == 3
    assert "offset 9999" in second.last_log["event"]
    assert "ends at offset 1500" in second.last_log["event"]


def test_a_frozen_worker_that_wakes_after_its_session_starts_anew(log: Log) -> None:
    log.write(numbered(4_000))
    zombie = log.worker()
    eventually(lambda: zombie.calls("caught up"))
    zombie.process.send_signal(signal.SIGSTOP)
    other = log.worker()
    eventually(lambda: other.calls("assigned"), SESSION_SECONDS + 15)
    log.write(numbered(4_000, "more"))
    eventually(log.exact)
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: len(zombie.calls("assigned")) > 1)
    log.write(numbered(4_000, "last"))
    eventually(log.exact)
    assert [zombie.process.poll(), other.process.poll()] == [None, None]
    anew = zombie.calls("assigned")[-1]["commits"]
    assert len(anew) == 2
    assert all(offset > 500 for offset, _, _ in anew.values())


def test_a_frozen_worker_cannot_overwrite_the_commits_of_a_group_that_is_empty(log: Log) -> None:
    log.write(numbered(4_000))
    zombie = log.worker(commit_interval=3600)
    eventually(lambda: zombie.calls("caught up"))
    zombie.process.send_signal(signal.SIGSTOP)
    other = log.worker()
    eventually(lambda: other.calls("assigned"), SESSION_SECONDS + 15)
    log.write(numbered(4_000, "more"))
    eventually(log.exact)
    other.terminate()
    before = log.committed()
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: len(zombie.calls("assigned")) > 1)
    restored = zombie.calls("assigned")[-1]["commits"]
    assert {str(p): offset for p, (offset, _) in before.items()} == {
        p: offset for p, (offset, _, _) in restored.items()
    }
    assert log.exact()


def test_a_role_that_does_not_stop_is_ended(log: Log) -> None:
    hanging = log.worker(hang=1, stop_timeout=2)
    eventually(lambda: hanging.calls("assigned"))
    code, seconds = hanging.terminate()
    assert (code, 1.5 < seconds < 5) == (70, True)
    assert "did not stop in 2 s" in hanging.last_log["event"]


def test_without_a_broker_a_sentence_and_exit_4() -> None:
    lonely = Worker("127.0.0.1:1", "topic", "group", "start_timeout=1")
    assert lonely.ends(20) == 4
    assert "Kafka does not answer at 127.0.0.1:1" in lonely.last_log["event"]
