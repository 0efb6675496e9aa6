"""The configuration: one TOML file and environment variables, parsed once, passed down.

    [kafka] where the log is      [time] [slices] [detect] [policy]  what changes an answer
    [columns] how a table is read [limits] what one event may hold   [judge] snapshots, memory

Every field can be overridden by DRIFTLINE_<SECTION>_<KEY>, for example
DRIFTLINE_KAFKA_BOOTSTRAP.  The four sections that change an answer are the *semantic*
configuration: they are published to the control topic, and their hash is in every alert.
"""

from datetime import date
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from detectors.epochs import Semantics
from detectors.events import Limits
from detectors.policy import Policy
from stream.secret import Secret

__all__ = [
    "SEMANTIC",
    "ColumnsConfig",
    "Config",
    "DetectConfig",
    "JudgeConfig",
    "KafkaConfig",
    "SlicesConfig",
    "TimeConfig",
    "semantic_fields",
    "semantic_hash",
    "semantics_of",
]

SEMANTIC = ("time", "slices", "detect", "policy")


class _Section(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Be a section of the file: unknown keys are errors.

    Defaults are not written, so a version that knows more keys writes what this one can read,
    for as long as nobody uses them.  A default, once released, never changes.
    """


class KafkaConfig(_Section, frozen=True):
    """Say where the log is, and how its topics are named and created.

    An empty `bootstrap` means the local Kafka that `driftline kafka start` runs.  What protects
    the way there is in `stream.security`; a password comes from a file or the environment.
    `fetch` = "records" reads events by aiokafka's record objects: slower, with the same answer.
    An `instance_id`, one for each worker and the same after a restart, makes it a static member:
    restarted within the session timeout it takes its partitions back, and no other pauses.
    """

    bootstrap: str = ""
    prefix: str = "driftline"
    events_partitions: int = 4
    summaries_partitions: int = 4
    replication_factor: int = 1
    session_timeout_seconds: float = 10.0
    create_topics: bool = True
    require_append_time: bool = True
    fetch: Literal["auto", "in-place", "records"] = "auto"
    instance_id: str = ""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = "PLAINTEXT"
    allow_plaintext: bool = False
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: Secret = Secret()
    sasl_password_file: str = ""
    tls_ca_file: str = ""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    tls_key_password_file: str = ""


class TimeConfig(_Section, frozen=True):
    """Fix how time is cut and read; None takes the profile's proposal.

    Seasons follow the local time of `zone`; `holidays` are dates that count as Sundays.  Without
    `ticks` nothing is written into events: a worker's clock says how time passes where they idle.
    """

    preset: Literal["default", "realtime", "batchy"] = "default"
    pane_seconds: int = 2
    bucket_seconds: int | None = None
    block_seconds: int | None = None
    lateness_seconds: int = 5
    tick_seconds: int = 2
    ticks: bool = True
    zone: str = "UTC"
    holidays: tuple[date, ...] = ()


class SlicesConfig(_Section, frozen=True):
    """Choose the slices; None takes every key of `segments`, and `version`."""

    by: tuple[tuple[str, ...], ...] | None = None


class DetectConfig(_Section, frozen=True):
    """Choose what alarms, how many events make a block, and what a reference must have.

    Streams whose reference is shorter than `learn_days` or `learn_blocks` are shown, and do not
    alarm.
    """

    detectors: tuple[str, ...] = ("sr",)
    block_events: int = 50
    learn_days: float = 2.0
    learn_blocks: int = 500


class ColumnsConfig(_Section, frozen=True):
    """Map a table's columns to the fields of an event."""

    time: str = "time"
    id: str | None = None
    model: str | None = None
    model_name: str | None = None
    version: str | None = None
    prediction: str | None = None
    class_: str | None = msgspec.field(default=None, name="class")
    label: str | None = None
    latency_seconds: str | None = None
    weight: str | None = None
    record_time: str | None = None
    features: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    attributions: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


class JudgeConfig(_Section, frozen=True):
    """Say how often the judge's state is written, and how much may wait in its memory.

    A partition more than `max_ahead_panes` ahead of the slowest is not read on.  A judge that
    holds `pending_bytes_max` of partials all the same reads nothing more, and says so.
    """

    snapshot_seconds: int = 600
    max_ahead_panes: int = 256
    pending_bytes_max: int = 1 << 30


class Config(_Section, frozen=True):
    """Hold the whole configuration; without a file everything has a default."""

    kafka: KafkaConfig = KafkaConfig()
    time: TimeConfig = TimeConfig()
    slices: SlicesConfig = SlicesConfig()
    detect: DetectConfig = DetectConfig()
    policy: Policy = Policy()
    columns: ColumnsConfig = ColumnsConfig()
    limits: Limits = Limits()
    judge: JudgeConfig = JudgeConfig()


def semantic_fields(config: Config) -> dict[str, Any]:
    """Give the part of the configuration that changes an answer, as plain values."""
    return {name: msgspec.to_builtins(getattr(config, name)) for name in SEMANTIC}


def semantic_hash(config: Config) -> str:
    """Hash the semantic configuration (blake2b-128 of its canonical JSON)."""
    content = msgspec.json.encode(semantic_fields(config), order="sorted")
    return blake2b(content, digest_size=16).hexdigest()


def semantics_of(config: Config) -> Semantics:
    """Take what a judge needs out of the configuration."""
    lateness_ms = config.time.lateness_seconds * 1000
    detectors = config.detect.detectors
    return Semantics(config.policy, lateness_ms, semantic_hash(config), detectors)
