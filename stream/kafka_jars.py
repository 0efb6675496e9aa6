"""The jars of Apache Kafka: pinned by sha256 in `kafka_jars.lock`, fetched once, checked always.

The lock holds one line a jar, `group:artifact:version sha256 bytes`, in class-path order.
A start needs no dependency resolution and trusts no server: what the lock names is fetched
and must have the pinned bytes.  Only `write_lock` (`make lock`) resolves.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from detectors.errors import ConfigError, ServiceUnreachable, StateRefused

__all__ = ["KAFKA_VERSION", "LOCK", "Jar", "fetch_jars", "read_lock", "write_lock"]

KAFKA_VERSION = "4.4.0"
LOCK = Path(__file__).with_name("kafka_jars.lock")

# Kafka logs through slf4j 1.7 and brings no binding for it.
_ROOTS = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_TIMEOUT_SECONDS = 60
_LOCK_FIELDS = 3
_SHA256_DIGITS = 64


class Jar(msgspec.Struct, frozen=True):
    """Name one jar and the bytes it must have.

    >>> Jar("org.slf4j:slf4j-api:1.7.36", "d3ef", 41125).filename
    'slf4j-api-1.7.36.jar'
    """

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def filename(self) -> str:
        """Name the file of this jar, as Maven does."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Read the pinned jars, in class-path order.

    Raises ConfigError, naming the line, when one does not read
    `group:artifact:version sha256 bytes`.
    """
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        shape = [len(fields), fields[0].count(":"), len(fields[1]) if len(fields) > 1 else 0]
        if shape != [_LOCK_FIELDS, 2, _SHA256_DIGITS] or not fields[2].isdigit():
            raise ConfigError(
                f"{lock}, line {number} should read 'group:artifact:version sha256 bytes': "
                "restore the file from version control."
            )
        jars.append(Jar(fields[0], fields[1], int(fields[2])))
    return tuple(jars)


def fetch_jars(
    directory: Path, on_progress: Callable[[str], None] | None = None, lock: Path = LOCK
) -> tuple[Path, ...]:
    """Check every pinned jar in `directory`, fetching what is not there; return the class path.

    Raises StateRefused when a file's bytes are not the pinned ones, and ServiceUnreachable
    when Maven's repository does not answer.
    """
    jars = read_lock(lock)
    missing = [jar for jar in jars if not (directory / jar.filename).exists()]
    if missing:
        _download(missing, directory, on_progress or (lambda _: None))
    paths = tuple(directory / jar.filename for jar in jars)
    for jar, path in zip(jars, paths, strict=True):
        _check(jar, path, f"Remove {path} and start again: it is then fetched anew.")
    return paths


def write_lock(lock: Path = LOCK) -> None:
    """Resolve KAFKA_VERSION with everything it needs, and pin the bytes that came."""
    from jgo.maven import MavenContext, PythonResolver

    lines = []
    with tempfile.TemporaryDirectory() as staging:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(staging))
        roots = [context.create_dependency(root) for root in _ROOTS]
        inputs, transitive = context.resolver.resolve(roots)
        for one in [*inputs, *sorted(transitive, key=str)]:
            path = one.artifact.resolve()
            name = f"{one.groupId}:{one.artifactId}:{one.version}"
            lines.append(f"{name} {_sha256(path)} {path.stat().st_size}\n")
    lock.write_text("".join(lines))


def _download(jars: Iterable[Jar], directory: Path, on_progress: Callable[[str], None]) -> None:
    from jgo.maven import MavenContext, PythonResolver

    jars = list(jars)
    total = sum(jar.size_bytes for jar in jars)
    what = f"Fetching Apache Kafka {KAFKA_VERSION}, {len(jars)} jars, once"
    fetched = told = 0
    on_progress(f"{what}: 0 of {total / 1e6:.1f} MB")
    directory.mkdir(parents=True, exist_ok=True)
    # Nothing unchecked or half fetched ever has a name that a start would take.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetching-") as staging:
        context = MavenContext(
            resolver=PythonResolver(), repo_cache=Path(staging), timeout=_TIMEOUT_SECONDS
        )
        for jar in jars:
            try:
                path = context.create_dependency(jar.coordinate).artifact.resolve()
            except (OSError, RuntimeError) as error:
                raise ServiceUnreachable(_unreachable(jar, directory, error)) from error
            _check(jar, path, "Nothing of it was kept; does a proxy alter what it passes on?")
            shutil.move(path, directory / jar.filename)
            fetched += jar.size_bytes
            if fetched >= told + total / 5 or fetched == total:
                told = fetched
                on_progress(f"{what}: {fetched / 1e6:.1f} of {total / 1e6:.1f} MB")


def _unreachable(jar: Jar, directory: Path, error: BaseException) -> str:
    # The innermost error says what happened, the ones around it who noticed.
    while error.__context__ is not None:
        error = error.__context__
    return (
        f"{jar.filename} of Apache Kafka could not be fetched: {str(error)[:200]}. "
        "Check the network (HTTPS_PROXY is heeded) and start again; or copy "
        f"{directory} from a machine that has it; or use a Kafka of your own by setting "
        "DRIFTLINE_KAFKA_BOOTSTRAP."
    )


def _check(jar: Jar, path: Path, advice: str) -> None:
    """Raise StateRefused unless `path` holds the pinned bytes."""
    found = _sha256(path)
    if found != jar.sha256:
        raise StateRefused(
            f"{path} is not the file that driftline pins: its sha256 is {found[:16]}…, "
            f"and {jar.sha256[:16]}… is wanted. {advice}"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
