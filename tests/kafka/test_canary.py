"""What is planted in events shows in nothing that driftline writes, through roles on real Kafka."""

import random
import signal
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from canaries import PLACES, canaries, leaks
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from live import config_file, driftline, eventually, records, worker
from logs import Shift, events, profile

from detectors.profile import render
from stream import localkafka

EVENTS = 10_000
SHIFT = Shift(at=5_000, sigma=3.0)
REJECTED = ("broken", "time")
TOPICS = ("alerts", "incidents", "metrics", "summaries", "state", "rejects", "control", "feedback",
          "runs", "labels", "outcomes")  # fmt: skip


def planted(event: dict[str, object], place: str, word: str) -> bytes:
    """Put a word into one place of an event."""
    features, segments = dict(event["features"]), dict(event["segments"])
    changes: dict[str, object] = {
        "text": {"features": features | {"plan": word, "age": word}},
        "name": {"features": features | {word: 1.0}},
        "segment": {"segments": segments | {"country": word}},
        "key": {"segments": segments | {word: "DE"}},
        "class": {"prediction": {"score": 0.5, "class": word, "probabilities": {word: 0.5}}},
        "extra": {word: word},
        "attribution": {"attributions": {word: 1.0}},
        "metric": {"metrics": {word: 1.0}},
    }
    value = orjson.dumps(event | changes.get(place, {place: word}))
    return value[: len(value) // 2] + word.encode() if place == "broken" else value


def log_of_events() -> list[bytes]:
    """Write the events of a shop, a canary in every fifth."""
    draw = random.Random(7)
    words = [(place, word) for place in PLACES for word in canaries(place)]
    found = []
    for i, event in enumerate(events(EVENTS, seed=5, shifts=(SHIFT,))):
        plain = {
            "time": event.time_ms / 1000, "model": event.model, "version": event.version,
            "features": event.features, "prediction": event.score, "segments": event.segments,
        }  # fmt: skip
        place, word = draw.choice(words)
        found.append(planted(plain, place, word) if i % 5 == 0 else orjson.dumps(plain))
    return found


def every_byte(bootstrap: str, topic: str) -> Iterator[bytes]:
    """Give keys, values and headers of a topic; what is packed in the state also unpacked."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    while any(consumer.position(one) < ends[one] for one in partitions):
        for batch in consumer.poll(timeout_ms=200).values():
            for record in batch:
                value = record.value or b""
                yield b"\0".join([record.key or b"", value, repr(record.headers).encode()])
                if topic.endswith(".state") and not record.key.endswith(b"/manifest"):
                    yield zlib.decompress(value[1:])
    consumer.close()


@pytest.mark.timeout(240)
def test_no_text_of_an_event_shows_outside_of_the_events(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    config = config_file(tmp_path, bootstrap, topic_prefix, snapshot_seconds=1)
    pushed = tmp_path / "profile.json"
    pushed.write_text(render(profile()))
    driftline("profile", "push", pushed, "-c", config)
    values, log, port = log_of_events(), tmp_path / "worker.log", localkafka.free_port()
    places = [(port + role, page) for role in (0, 1) for page in ("metrics", "readyz")]
    with worker(config, log, "--metrics-port", str(port)) as running:
        producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20)
        for i, value in enumerate(values):
            producer.send(f"{topic_prefix}.events", value, partition=i % 4)
        producer.flush()
        producer.close()
        for topic in ("alerts", "incidents", "rejects", "state"):
            name = f"{topic_prefix}.{topic}"
            eventually(lambda name=name: any(every_byte(bootstrap, name)), f"a record in {name}")
        pages = b"".join(page_of(*place) for place in places)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0
    written = {topic: every_byte(bootstrap, f"{topic_prefix}.{topic}") for topic in TOPICS}
    found = {topic: leaks(b"\n".join(content)) for topic, content in written.items()}
    found |= {"pages": leaks(pages), "log": leaks(log.read_bytes())}
    assert found == {place: set() for place in found}
    # All of it was there to be found, was read, and in the places that were meant.
    assert leaks(b"\n".join(every_byte(bootstrap, f"{topic_prefix}.events"))) == {
        word for place in PLACES for word in canaries(place)
    }
    rejects = records(bootstrap, f"{topic_prefix}.rejects")
    bad = [word.encode() for place in REJECTED for word in canaries(place)]
    assert len(rejects) >= sum(any(word in value for word in bad) for value in values) > 100
    assert b"driftline_events_unprofiled_total 0.0" not in pages
    assert b"driftline_values_folded_total" in pages
    assert '"event": "unprofiled"' in log.read_text()


def page_of(port: int, page: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
        return answer.read()


@pytest.mark.parametrize("write", [bytes, bytes.upper, lambda v: repr(v).encode()])
def test_the_search_finds_what_is_there(write: object) -> None:
    for place in PLACES:
        for word in canaries(place):
            assert leaks(write(b"before " + word.encode() + b" after")) == {word}
