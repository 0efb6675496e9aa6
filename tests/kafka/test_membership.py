"""Static members on a real Kafka: a restart disturbs nobody, and a name has one holder."""

import signal
from collections.abc import Iterator

import pytest
from workers import SESSION_SECONDS, Log, Worker, eventually, numbered


@pytest.fixture
def log(bootstrap: str, topic_prefix: str) -> Iterator[Log]:
    log = Log(bootstrap, topic_prefix)
    yield log
    log.close()


def pair(log: Log) -> tuple[Worker, Worker]:
    """Start two static members, and wait until they share the partitions."""
    first = log.worker(instance="one", take="records", session=30)
    eventually(lambda: first.calls("assigned"))
    second = log.worker(instance="two", take="records", session=30)
    eventually(lambda: second.calls("assigned"))
    eventually(lambda: all(len(held(worker)) == 2 for worker in (first, second)))
    return first, second


def held(worker: Worker) -> list[str]:
    """Name the partitions that a worker was assigned at last."""
    return sorted(worker.calls("assigned")[-1]["commits"])


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_member_that_is_restarted_takes_its_partitions_back_and_nobody_pauses(
    log: Log, how: str
) -> None:
    log.write(numbered(4_000))
    first, second = pair(log)
    eventually(log.exact)
    undisturbed = len(first.calls("assigned"))
    for instance, goes in (("two", second), ("one", first)):
        getattr(goes.process, how)()
        goes.ends(15)
        again = log.worker(instance=instance, take="records", session=30)
        eventually(lambda: again.calls("assigned"))  # noqa: B023  it is asked in this turn
        log.write(numbered(4_000, instance))
        eventually(log.exact)
        assert held(goes) == held(again)
        assert len(first.calls("assigned")) == undisturbed


def test_of_two_workers_by_one_name_the_earlier_one_ends_with_a_sentence(log: Log) -> None:
    log.write(numbered(4_000))
    earlier = log.worker(instance="one")
    eventually(lambda: earlier.calls("caught up"))
    later = log.worker(instance="one")
    assert earlier.ends(SESSION_SECONDS + 20) == 2
    assert "has joined" in earlier.last_log["event"]
    assert "kafka.instance_id 'one'" in earlier.last_log["event"]
    log.write(numbered(4_000, "more"))
    eventually(log.exact)
    assert later.process.poll() is None


def test_a_frozen_member_that_was_replaced_commits_nothing_and_ends(log: Log) -> None:
    log.write(numbered(4_000))
    zombie = log.worker(instance="one", commit_interval=3600)
    eventually(lambda: zombie.calls("caught up"))
    zombie.process.send_signal(signal.SIGSTOP)
    other = log.worker(instance="one")
    eventually(lambda: other.calls("assigned"))
    log.write(numbered(4_000, "more"))
    eventually(log.exact)
    zombie.process.send_signal(signal.SIGCONT)
    assert zombie.ends(20) == 2
    assert log.exact()
    assert other.process.poll() is None


def test_a_frozen_member_whose_name_nobody_took_joins_again(log: Log) -> None:
    log.write(numbered(4_000))
    frozen = log.worker(instance="one")
    eventually(lambda: frozen.calls("caught up"))
    frozen.process.send_signal(signal.SIGSTOP)
    other = log.worker(instance="two")
    eventually(lambda: other.calls("assigned"), SESSION_SECONDS + 20)
    frozen.process.send_signal(signal.SIGCONT)
    eventually(lambda: len(frozen.calls("assigned")) > 1)
    log.write(numbered(4_000, "more"))
    eventually(log.exact)
    assert [frozen.process.poll(), other.process.poll()] == [None, None]
