"""The pinned jars: the lock, what is fetched, and what an unreachable or lying source gets."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from detectors.errors import ConfigError, ServiceUnreachable, StateRefused
from stream import kafka_jars
from stream.kafka_jars import KAFKA_VERSION, fetch_jars, read_lock

GOOD = b"the bytes that were pinned"
LINE = f"org.example:thing:1.0 {hashlib.sha256(GOOD).hexdigest()} {len(GOOD)}\n"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(LINE)
    return path


def serve(monkeypatch: pytest.MonkeyPatch, answer: bytes | Exception) -> None:
    """Let Maven's repository answer with these bytes, or fail so."""

    def download(_: object, artifact: SimpleNamespace) -> Path:
        if isinstance(answer, Exception):
            raise answer
        artifact.cached_path.parent.mkdir(parents=True, exist_ok=True)
        artifact.cached_path.write_bytes(answer)
        return artifact.cached_path

    monkeypatch.setattr("jgo.maven.PythonResolver.download", download)


def test_the_lock_pins_the_version_that_the_code_names() -> None:
    coordinates = [jar.coordinate for jar in read_lock()]
    assert coordinates[0] == f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
    assert len(coordinates) == len(set(coordinates)) > 40
    ours = {c.rpartition(":")[2] for c in coordinates if c.startswith("org.apache.kafka:")}
    assert ours == {KAFKA_VERSION}


def test_what_is_missing_is_fetched_once_and_told(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, GOOD)
    told: list[str] = []
    (path,) = fetch_jars(tmp_path / "jars", told.append, lock)
    assert path.read_bytes() == GOOD
    assert KAFKA_VERSION in told[0]
    serve(monkeypatch, AssertionError("fetched twice"))
    again: list[str] = []
    assert fetch_jars(tmp_path / "jars", again.append, lock) == (path,)
    assert again == []


def test_fetched_bytes_that_are_not_the_pinned_ones_are_not_kept(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, b"something else")
    with pytest.raises(StateRefused, match=r"thing-1\.0\.jar is not the file"):
        fetch_jars(tmp_path / "jars", None, lock)
    assert list((tmp_path / "jars").iterdir()) == []


@pytest.mark.parametrize("error", [ConnectionError("no route"), RuntimeError("not found")])
def test_an_unreachable_source_says_what_to_do(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    serve(monkeypatch, error)
    with pytest.raises(ServiceUnreachable, match=r"thing-1\.0\.jar.*HTTPS_PROXY"):
        fetch_jars(tmp_path / "jars", None, lock)
    assert list((tmp_path / "jars").iterdir()) == []


@pytest.mark.parametrize(
    "line", ["org.example:thing:1.0", "thing 00 1", LINE.replace(" 26", " many"), "a:b:c d 1"]
)
def test_a_broken_lock_is_refused_by_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "jars.lock"
    path.write_text(f"{LINE}\n{line}\n")
    with pytest.raises(ConfigError, match="line 3"):
        read_lock(path)


def test_the_lock_is_read_with_comments_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "jars.lock"
    path.write_text(f"# made by make lock\n{LINE}{LINE.replace('thing', 'other')}")
    assert [jar.filename for jar in read_lock(path)] == ["thing-1.0.jar", "other-1.0.jar"]
    assert kafka_jars.LOCK.exists()
