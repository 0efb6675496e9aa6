"""The container files, checked without an engine: pinned, hashed, not root, wired together."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from stream.access import ACCESS, EVERY, Need
from stream.config_file import load_config
from stream.kafka_jars import KAFKA_VERSION
from stream.metrics import JudgeSeries, ObserveSeries
from stream.security import PLAINTEXT, security_of

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
# Continued lines joined, so that one line is one instruction.
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
LOCKS = ("requirements.lock", "requirements-dev.lock", "deploy/requirements-build.lock")


def environment() -> dict[str, str]:
    """Return every NAME: value of the compose file."""
    pairs = re.findall(r"^ +([A-Z][A-Z_]+): (.+)$", COMPOSE, re.MULTILINE)
    return {name: value.strip('"') for name, value in pairs}


def listeners(value: str) -> dict[str, str]:
    return dict(one.split("://") for one in value.split(","))


def test_every_image_is_pinned_to_a_version() -> None:
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) >= 3
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+", image)] == []


def test_the_kafka_of_the_containers_is_the_kafka_of_the_tests() -> None:
    assert f"image: apache/kafka:{KAFKA_VERSION}\n" in COMPOSE


def test_the_worker_is_pointed_at_a_listener_that_kafka_advertises() -> None:
    found = environment()
    kafka = load_config(None, found).kafka
    assert security_of(kafka) is PLAINTEXT
    bootstrap = kafka.bootstrap
    advertised = listeners(found["KAFKA_ADVERTISED_LISTENERS"])
    assert bootstrap == advertised["INSIDE"]
    bound = listeners(found["KAFKA_LISTENERS"])
    protocols = dict(
        pair.split(":") for pair in found["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")
    )
    assert bound.keys() == protocols.keys() == {*advertised, "CONTROLLER"}
    for name, address in advertised.items():
        assert address.rpartition(":")[2] == bound[name].rpartition(":")[2]
    assert found["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@kafka{bound['CONTROLLER']}"


def test_only_this_machine_reaches_the_published_port() -> None:
    advertised = listeners(environment()["KAFKA_ADVERTISED_LISTENERS"])
    published = re.findall(r"^ +- (\S+:\d+:\d+)$", COMPOSE, re.MULTILINE)
    assert published == [f"{advertised['OUTSIDE']}:9092"]


def test_the_command_line_has_the_command_of_the_image_and_of_compose() -> None:
    (command,) = re.findall(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert command.replace('"', "") == "[worker, --metrics-port, 9464]"
    assert 'command: [worker, --metrics-port, "9464"]' in COMPOSE
    help_command = [sys.executable, "-m", "driftline", "worker", "--help"]
    done = subprocess.run(help_command, capture_output=True, text=True, check=True)
    assert "--metrics-port" in done.stdout


def test_the_image_is_installed_by_hash_and_run_by_nobody_in_particular() -> None:
    installs = re.findall(r"\S*pip install ([^&\n]*)", DOCKERFILE)
    assert installs
    for arguments in installs:
        assert "--require-hashes" in arguments or "--no-deps --no-index" in arguments
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d*$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*/livez", last_stage, re.MULTILINE)


def test_what_the_image_copies_is_there_and_let_through() -> None:
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copied for source in line.split()]
    assert sorted(sources) == sorted(allowed)
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_of_a_lock_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[a-zA-Z])", text)
    assert len(blocks) > 3
    assert [block for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert "index-url" not in text


def acls(role: str, environ: dict[str, str]) -> set[tuple[str, ...]]:
    """Run the script, and read the commands it would give to Kafka's tool."""
    script = str(ROOT / "deploy" / "acls.sh")
    command = ["sh", script, "shop", role, "me"]
    environ = {"PATH": "/usr/bin:/bin", "KAFKA_ACLS": "echo"} | environ
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return {tuple(line.split()) for line in done.stdout.splitlines()}


@pytest.mark.parametrize("role", sorted(ACCESS.keys() - {"worker"}))
def test_the_script_gives_a_role_the_rights_that_it_needs_and_no_other(role: str) -> None:
    given = {"BOOTSTRAP": "kafka:9093", "COMMAND_CONFIG": "a.properties"}
    expected = set()
    for need in ACCESS[role]:
        every = need.name == EVERY
        words = "--bootstrap-server kafka:9093 --command-config a.properties --add "
        words += f"--allow-principal User:me --operation {need.operation} --{need.kind} shop."
        words += "" if every else need.name
        words += f" --resource-pattern-type {'prefixed' if every else 'literal'}"
        expected.add(tuple(words.split()))
    assert acls(role, given) == expected


def test_the_guide_shows_the_rights_that_roles_need() -> None:
    guide = (ROOT / "docs" / "guides" / "security.md").read_text()
    rows = re.findall(
        r"^\| (?:`(\w+)`)? ?\| .*?\| (topic|group) `(.+)` \| (.+) \|$", guide, re.MULTILINE
    )
    shown: dict[str, list[Need]] = {}
    role = ""
    for named, kind, name, operations in rows:
        role = named or role
        shown.setdefault(role, []).extend(Need(kind, name, one) for one in operations.split(", "))
    assert {r: set(needs) for r, needs in shown.items()} == {
        r: set(needs) for r, needs in ACCESS.items() if r != "worker"
    }


@pytest.mark.parametrize("path", ["deploy/prometheus/rules.yml", "docs/guides/watching.md"])
def test_series_that_are_spoken_of_are_there(path: str) -> None:
    kinds: tuple[type[JudgeSeries | ObserveSeries], ...] = (JudgeSeries, ObserveSeries)
    pages = "".join(kind().render().decode() for kind in kinds)
    there = set(re.findall(r"^# TYPE (driftline_\w+)", pages, re.MULTILINE))
    named = set(re.findall(r"driftline_\w+", (ROOT / path).read_text()))
    assert len(named) >= 7
    assert named - there == set()


def test_every_alert_has_a_row_that_says_what_to_do() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "rules.yml").read_text()
    guide = (ROOT / "docs" / "guides" / "watching.md").read_text()
    alerts = re.findall(r"alert: (\w+)", rules)
    assert alerts == re.findall(r"^\| `(\w+)` \|", guide, re.MULTILINE)[: len(alerts)]
    assert len(alerts) >= 6
