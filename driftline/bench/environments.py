"""Environments for what driftline is compared with: made once, each apart from all others.

They lie under `DRIFTLINE_HOME/bench`.  Whatever cannot be had here is not run, and the result
says why; nothing is left out in silence.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from driftline.bench.results import Told
from stream.localkafka import driftline_home

__all__ = ["NotRunError", "built_with_maven", "environment", "sources"]

_INSTALL_SECONDS = 900
_BUILD_SECONDS = 900
_REASON_LENGTH = 160


class NotRunError(Exception):
    """Say why a contender is not run; the bench goes on without it."""


def sources() -> Path:
    """Give the repository's `bench` folder; NotRunError where only the wheel is installed."""
    folder = Path(__file__).parents[2] / "bench"
    if not (folder / "peers").is_dir():
        raise NotRunError("its source is in the repository's folder bench, which is not here")
    return folder


def environment(
    name: str, requirements: tuple[str, ...], told: Told, python: Path | None = None
) -> Path:
    """Give the Python of a virtual environment with exactly these requirements.

    Another `python` is taken as it is.  The name of the folder holds a hash of the requirements,
    so a changed version is a new environment.
    """
    if python is not None:
        return python.absolute()
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    folder = driftline_home() / "bench" / "environments" / f"{name}-{digest}"
    found = folder / "bin" / "python"
    done = folder / "installed"
    if done.exists():
        return found
    told.progress(f"Installing {', '.join(requirements)} for the bench (once)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)], _INSTALL_SECONDS)
    _run([str(found), "-m", "pip", "install", "--quiet", *requirements], _INSTALL_SECONDS)
    done.touch()
    return found


def built_with_maven(told: Told) -> Path:
    """Build the Java peers; give the folder they are built in."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        raise NotRunError("there is no Maven (mvn) or no Java here")
    source = sources() / "peers"
    files = sorted(p for p in source.rglob("*") if p.suffix in {".java", ".xml"})
    digest = hashlib.sha256(b"\0".join(p.read_bytes() for p in files)).hexdigest()[:8]
    folder = driftline_home() / "bench" / f"peers-{digest}"
    done = folder / "built"
    if not done.exists():
        told.progress("Building the Java peers with Maven (once)")
        shutil.rmtree(folder, ignore_errors=True)
        skipped = shutil.ignore_patterns("target", "python")
        shutil.copytree(source, folder, ignore=skipped)
        _run([maven, "-q", "-B", "package"], _BUILD_SECONDS, folder)
        done.touch()
    return folder


def _run(command: list[str], seconds: float, folder: Path | None = None) -> None:
    """Run a command quietly; NotRunError with the last thing it said if it fails."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotRunError(f"{Path(command[0]).name} failed: {error}"[:_REASON_LENGTH]) from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        last = said[0] if said else done.stderr.strip().rpartition("\n")[2]
        raise NotRunError(f"{Path(command[0]).name} failed: {last}"[:_REASON_LENGTH])
