"""What a bench ran on: processor, cores, versions."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

from stream import localkafka
from stream.kafka_jars import KAFKA_VERSION

__all__ = ["machine"]

_LIBRARIES = ("faust-streaming", "aiokafka", "river", "numba", "numpy", "msgspec", "orjson")


def machine(bootstrap: str, core: int | None) -> tuple[str, str]:
    """Describe in two lines the machine, and the versions that were measured."""
    local = localkafka.status()
    kafka = f"Kafka {KAFKA_VERSION}, "
    if not local or local.bootstrap != bootstrap:
        kafka = f"Kafka at {bootstrap}, " if bootstrap else ""
    pinned = "workers not pinned" if core is None else f"workers pinned to core {core}"
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {pinned}",
        f"{kafka}Python {platform.python_version()}, driftline {version('driftline')}, {libraries}",
    )


def _processor() -> str:
    """Name the processor; Python does not know it on Linux."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
