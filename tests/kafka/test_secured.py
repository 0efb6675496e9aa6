"""Over TLS with a CA of its own, SCRAM and ACLs: the roles run, and say why where they cannot."""

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaTimeoutError
from live import as_json, driftline, eventually, records, worker, write_lines
from logs import Shift, events, profile
from secured import ADMIN, SecuredKafka, bindings, config, forget, grant, revoke

from detectors.alert import instant
from detectors.errors import ServiceUnreachable
from detectors.profile import render
from driftline import Emitter, cli
from stream.access import ACCESS, EVERY, TICKS, Need
from stream.config_file import load_config
from stream.connection import Connection, connection_of
from stream.topics import prepare_topics

# What is judged last must be closed by the end of the log.
EVENTS = 6_000
SHIFT = Shift(at=3_000, sigma=3.0)
BEGIN = {"block": {"end": ""}}


@pytest.fixture
def admin(secured: SecuredKafka) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(**secured.client())
    yield client
    client.close()


@pytest.fixture
def topics(secured: SecuredKafka, topic_prefix: str, tmp_path: Path) -> str:
    """Let an admin make a prefix's topics, and say what is in force."""
    by_admin = config(tmp_path, secured, ADMIN, topic_prefix, create_topics=True)
    assert cli.run(["config", "push", str(by_admin)]) == 0
    return topic_prefix


def write_profile(directory: Path) -> Path:
    path = directory / "profile.json"
    path.write_text(render(profile()))
    return path


def test_roles_with_the_rights_of_the_table_run_from_event_to_alert(
    secured: SecuredKafka, admin: KafkaAdminClient, topic_prefix: str, tmp_path: Path
) -> None:
    users = ("observe", "judge", "emit", "alerts", "backtest", "push")
    for user in users:
        grant(admin, bindings(user, topic_prefix, ACCESS[user]))
    of = {user: config(tmp_path, secured, user, topic_prefix) for user in users}
    of["push"] = config(tmp_path, secured, "push", topic_prefix, create_topics=True)
    driftline("config", "push", of["push"])
    driftline("profile", "push", write_profile(tmp_path), "-c", of["push"])
    lines = [as_json(event) for event in events(EVENTS, seed=5, shifts=(SHIFT,))]
    logs = tmp_path / "observe.log", tmp_path / "judge.log"
    with (
        worker(of["observe"], logs[0], "--only", "observe"),
        worker(of["judge"], logs[1], "--only", "judge"),
    ):
        sent = write_lines(tmp_path / "events.jsonl", lines)
        driftline("emit", sent, "-c", of["emit"], "--rate", 1500)
        reader = secured.client("alerts")
        eventually(lambda: bool(records(reader, f"{topic_prefix}.alerts")), "an alert")
        assert records(secured.client(), f"{topic_prefix}.metrics")
    told = logs[0].read_text() + logs[1].read_text()
    assert '"level": "error"' not in told, told
    assert not [word for word in secured.passwords.values() if word in told]
    found = tmp_path / "alerts.jsonl"
    log = f"kafka:{topic_prefix}.events"
    driftline("backtest", log, "-c", of["backtest"], "--alerts", found)
    assert found.read_text()


def test_without_the_right_to_write_events_a_clock_closes_the_windows_of_an_idle_log(
    secured: SecuredKafka, admin: KafkaAdminClient, topic_prefix: str, tmp_path: Path
) -> None:
    def of(user: str, *, create: bool = False) -> Path:
        path = config(tmp_path, secured, user, topic_prefix, create_topics=create)
        path.write_text(path.read_text() + "[time]\nticks = false\n")
        return path

    rights = tuple(need for need in ACCESS["observe"] if need != TICKS)
    assert len(rights) == len(ACCESS["observe"]) - 1
    for user, needs in (("observe", rights), ("judge", ACCESS["judge"])):
        forget(admin, user)
        grant(admin, bindings(user, topic_prefix, needs))
    by_admin, observe = of(ADMIN, create=True), of("observe")
    driftline("config", "push", by_admin)
    driftline("profile", "push", write_profile(tmp_path), "-c", by_admin)
    # The break is in the last block, which no event closes.
    lines = events(EVENTS, seed=5, shifts=(Shift(at=EVENTS - 50, sigma=6.0),))
    end = instant(lines[-1].time_ms + 1)
    sent = write_lines(tmp_path / "events.jsonl", [as_json(event) for event in lines])
    place, reader = tmp_path / "observe.log", secured.client()

    def latest(topic: str) -> str:
        found = [value for _, value in records(reader, f"{topic_prefix}.{topic}")]
        return max((one.get("block") or one["alert"]["block"])["end"] for one in found or [BEGIN])

    with worker(of("judge"), tmp_path / "judge.log", "--only", "judge") as judge:
        with worker(observe, place, "--only", "observe"):
            driftline("emit", sent, "-c", by_admin, "--rate", 3000)
            eventually(lambda: latest("metrics") > BEGIN["block"]["end"], "the first metric")
        with worker(observe, place, "--only", "observe"):
            eventually(lambda: latest("alerts") >= end, "an alert of the last block")
        judge.send_signal(signal.SIGTERM)
        assert judge.wait(15) == 0
    assert len(records(reader, f"{topic_prefix}.events")) == EVENTS  # and none of them a tick
    found = tmp_path / "alerts.jsonl"
    log = f"kafka:{topic_prefix}.summaries"
    assert "ticks" not in driftline("backtest", log, "-c", by_admin, "--alerts", found).stdout
    live = {json.dumps(value["alert"]) for _, value in records(reader, f"{topic_prefix}.alerts")}
    assert live <= {json.dumps(json.loads(line)) for line in found.read_text().splitlines()}
    told = driftline("backtest", f"kafka:{topic_prefix}.events", "-c", by_admin)
    assert told.stdout.count("time.ticks = false") == 1
    refused = driftline("worker", "-c", config(tmp_path, secured, ADMIN, topic_prefix), code=2)
    assert "time.ticks" in refused.stderr + refused.stdout


@pytest.mark.parametrize("role", ["observe", "judge", "learn", "emit", "worker"])
def test_a_role_without_one_of_its_rights_on_topics_names_it(
    secured: SecuredKafka, admin: KafkaAdminClient, topics: str, tmp_path: Path, role: str
) -> None:
    kafka = load_config(config(tmp_path, secured, "nobody", topics), {}).kafka
    connection = connection_of(kafka)
    needs = tuple(need for need in ACCESS[role] if need.kind == "topic")
    assert needs

    def refused() -> str:
        try:
            prepare_topics(kafka, connection, role)
        except ServiceUnreachable as error:
            return str(error)
        return ""

    for missing in needs:
        forget(admin, "nobody")
        grant(admin, bindings("nobody", topics, tuple(need for need in needs if need != missing)))
        what = f"Kafka does not allow this user {missing.operation} on the topic {topics}."
        eventually(lambda what=what, m=missing: refused().startswith(f"{what}{m.name}: "), what)
    grant(admin, bindings("nobody", topics, needs))
    eventually(lambda: not refused(), "all that is needed is enough")


@pytest.mark.parametrize("role", ["observe", "judge", "learn"])
def test_a_role_without_its_group_ends_with_4_and_names_it(
    secured: SecuredKafka, admin: KafkaAdminClient, topics: str, tmp_path: Path, role: str
) -> None:
    needs = tuple(need for need in ACCESS[role] if need.kind == "topic")
    grant(admin, bindings("nobody", topics, needs))
    log = tmp_path / "role.log"
    with worker(config(tmp_path, secured, "nobody", topics), log, "--only", role) as refused:
        assert refused.wait(60) == 4
    last = json.loads(log.read_text().splitlines()[-1])
    assert f"READ on the group {topics}.{role}" in last["event"]


# Into events it writes ticks.
@pytest.mark.parametrize("name", ["events", "summaries"])
def test_a_role_that_loses_a_right_ends_with_4_and_names_the_topic(
    secured: SecuredKafka, admin: KafkaAdminClient, topics: str, tmp_path: Path, name: str
) -> None:
    grant(admin, bindings("nobody", topics, ACCESS["observe"]))
    log = tmp_path / "role.log"
    with worker(config(tmp_path, secured, "nobody", topics), log, "--only", "observe") as role:
        eventually(lambda: '"event": "assigned"' in log.read_text(), "observe has begun")
        revoke(admin, "nobody", topics, Need("topic", name, "WRITE"))
        assert role.wait(60) == 4
    last = json.loads(log.read_text().splitlines()[-1])
    assert f"WRITE on the topic {topics}.{name}" in last["event"]


@pytest.mark.parametrize(
    ("command", "role", "missing"),
    [
        (("emit", "{file}"), "emit", Need("group", "observe", "DESCRIBE")),
        (("alerts", "tail"), "alerts", Need("topic", "alerts", "READ")),
        (("alerts", "tail"), "alerts", Need("topic", "incidents", "READ")),
        (("backtest", "kafka:{prefix}.events"), "backtest", Need("topic", "events", "READ")),
        (("backtest", "kafka:{prefix}.events"), "backtest", Need("topic", "control", "READ")),
        (("backtest", "kafka:{prefix}.events"), "backtest", Need("topic", "summaries", "DESCRIBE")),
        (("profile", "push", "{profile}"), "push", Need("topic", "control", "READ")),
        (("profile", "push", "{profile}"), "push", Need("topic", "control", "WRITE")),
        (("profile", "push", "{profile}"), "push", Need("topic", "summaries", "READ")),
    ],
)  # fmt: skip
def test_a_command_without_one_of_its_rights_ends_with_4_and_names_it(
    secured: SecuredKafka,
    admin: KafkaAdminClient,
    topics: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    role: str,
    missing: Need,
) -> None:
    needs = tuple(need for need in ACCESS[role] if need != missing)
    assert len(needs) == len(ACCESS[role]) - 1
    forget(admin, "nobody")
    grant(admin, bindings("nobody", topics, needs))
    file, pushed = tmp_path / "events.jsonl", write_profile(tmp_path)
    write_lines(file, [as_json(event) for event in events(10)])
    words = [word.format(file=file, profile=pushed, prefix=topics) for word in command]
    assert cli.run([*words, "-c", str(config(tmp_path, secured, "nobody", topics))]) == 4
    told = capsys.readouterr().err
    assert f"the {missing.kind} {topics}.{missing.name}" in told
    assert missing.operation in told
    assert "Traceback" not in told


def test_topics_are_made_by_whom_is_allowed_to(
    secured: SecuredKafka, admin: KafkaAdminClient, topic_prefix: str, tmp_path: Path
) -> None:
    forget(admin, "nobody")
    by = config(tmp_path, secured, "nobody", topic_prefix, create_topics=True)
    needs = tuple(n for n in ACCESS["push"] if n != Need("topic", EVERY, "CREATE"))
    grant(admin, bindings("nobody", topic_prefix, needs))
    told = driftline("config", "push", by, code=4).stderr
    assert "could not be created" in told
    assert f"--create --topic {topic_prefix}.control --partitions 1" in told
    unseen = tuple(n for n in ACCESS["push"] if n.name != EVERY)
    forget(admin, "nobody")
    grant(admin, bindings("nobody", topic_prefix, unseen))
    told = driftline("config", "push", by, code=4).stderr
    assert f"DESCRIBE (which READ and WRITE imply) on the topic {topic_prefix}.events" in told


WRONG = {
    "password": ({"sasl_password_file": "{wrong}"}, "refused the login of nobody by SCRAM-SHA-512"),
    "user": ({"sasl_username": "stranger"}, "refused the login of stranger by SCRAM-SHA-512"),
    "ca": ({"tls_ca_file": "{other_ca}"}, "kafka.tls_ca_file to the CA that signed it"),
    "name": ({"bootstrap": "localhost:{port}"}, "use a name that it holds in kafka.bootstrap"),
    "mechanism": ({"sasl_mechanism": "SCRAM-SHA-256"}, "it does not offer SCRAM-SHA-256"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_login_is_said_in_a_sentence_at_once(
    secured: SecuredKafka, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "wrong").write_text("another-password")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other_ca")
    places = {"wrong": tmp_path / "wrong", "other_ca": tmp_path / "other_ca", "port": secured.port}
    fields, sentence = WRONG[wrong]
    given = {key: value.format(**places) for key, value in fields.items()}
    path = config(tmp_path, secured, "nobody", "p", **given)
    told = driftline("worker", "--only", "judge", "-c", path, code=4).stderr
    assert "is there, but" in told
    assert sentence in told
    assert "another-password" not in told
    connection = connection_of(load_config(path, {}).kafka)
    # Every kind of client says the same.
    for connect in (connection.producer, connection.consumer, lambda: connection.reach(20.0)):
        with pytest.raises(ServiceUnreachable, match=re.escape(sentence)):
            asyncio.run(connect())


def test_a_client_without_tls_gets_nowhere(secured: SecuredKafka) -> None:
    with pytest.raises(ServiceUnreachable, match="does not answer"):
        asyncio.run(Connection(secured.bootstrap).reach(1.0))


def test_the_emitter_sends_over_tls_and_counts_what_it_may_not_send(
    secured: SecuredKafka, admin: KafkaAdminClient, topics: str
) -> None:
    way = {
        "security_protocol": "SASL_SSL",
        "sasl_username": "emitter",
        "sasl_password": secured.passwords["emitter"],
        "tls_ca_file": str(secured.ca_file),
        "prefix": topics,
    }
    with Emitter(secured.bootstrap, "fraud", **way) as emitter:
        emitter.emit({"amount": 1.0})
        emitter.flush()
    assert (emitter.sent, emitter.failed) == (0, 1)
    grant(admin, bindings("emitter", topics, ACCESS["emitter"]))
    eventually(lambda: sent_one(secured, way), "an event is sent")
    assert [value["model"] for _, value in records(secured.client(), f"{topics}.events")]
    with pytest.raises(KafkaTimeoutError):
        Emitter(
            secured.bootstrap, "fraud", **way | {"tls_ca_file": None, "bootstrap_timeout_ms": 500}
        )


def sent_one(secured: SecuredKafka, way: dict[str, str]) -> bool:
    with Emitter(secured.bootstrap, "fraud", **way) as emitter:
        emitter.emit({"amount": 1.0})
    return emitter.sent == 1
