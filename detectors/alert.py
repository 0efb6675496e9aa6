"""What leaves the judge: alerts, incidents and metrics as values, in the published format.

Only what follows from summaries, profile and semantic configuration is in them, and floats
carry 9 significant digits: this is what *byte for byte* means.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import msgspec

__all__ = [
    "SEVERITIES",
    "STATUSES",
    "Alert",
    "AlertEffect",
    "Block",
    "CauseShare",
    "Incident",
    "Member",
    "Metric",
    "alert_id",
    "encode",
    "instant",
    "instant_ms",
    "nine_digits",
]

SEVERITIES = ("info", "warning", "critical")
STATUSES = ("firing", "resolved")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS_END_MS = 253_402_300_799_999


def instant(time_ms: int) -> str:
    """Write a time in RFC 3339, in UTC, with milliseconds where there are any.

    >>> instant(1_700_000_000_250), instant(1_700_000_000_000)
    ('2023-11-14T22:13:20.250Z', '2023-11-14T22:13:20Z')
    """
    time = _EPOCH + timedelta(milliseconds=min(time_ms, _YEARS_END_MS))
    digits = "milliseconds" if time.microsecond else "seconds"
    return time.isoformat(timespec=digits).replace("+00:00", "Z")


def instant_ms(text: str) -> int:
    """Read a time in RFC 3339, in milliseconds.

    Raises ValueError if it is none; one without a zone would be another on another machine.

    >>> instant_ms("2023-11-14T22:13:20.250Z")
    1700000000250
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return round(time.timestamp() * 1000)


def nine_digits(value: float) -> float:
    """Round to 9 significant digits, the precision of every float in a record.

    >>> nine_digits(1 / 3)
    0.333333333
    """
    return float(f"{value:.9g}")


class Block(msgspec.Struct, frozen=True, gc=False):
    """Give a block's span in event time, as text; the end is excluded."""

    start: str
    end: str


class AlertEffect(msgspec.Struct, frozen=True):
    """Say how large a change is: in standard deviations, and in the value's own unit."""

    sigma: float
    from_: float = msgspec.field(name="from")
    to: float = 0.0
    unit: str | None = None
    shares: dict[str, tuple[float, float]] = {}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one revision of an alarm of one stream, in the published order of fields."""

    schema: int = 1
    id: str
    revision: int
    status: str
    time: str
    severity: str
    incident: str
    summary: str
    model: str
    version: str | None
    channel: str
    slice: dict[str, str]
    detectors: tuple[str, ...]
    direction: str
    block: Block
    onset: str
    score: float
    threshold: float
    expected_false_alarms_per_week: float
    effect: AlertEffect
    n: int
    n_reference: int
    distances: dict[str, float]
    causes: tuple[str, ...] = ()
    profile: str
    config: str
    labels: dict[str, str] = {}

    @property
    def key(self) -> str:
        """Give the key of the revision's record."""
        return f"{self.id}/{self.revision}"


class Metric(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Hold what one stream was like in one finalised block, in the published order of fields.

    There are thousands at once, and no cycle can come of them: the collector need not look.
    """

    schema: int = 1
    model: str
    version: str | None
    channel: str
    slice: dict[str, str]
    block: Block
    n: int
    missing: int
    mean: float | None = None
    sd: float | None = None
    quantiles: dict[str, float] = {}
    distances: dict[str, float] = {}
    scores: dict[str, float] = {}
    detectors: dict[str, float | bool] = {}
    late: int = 0
    learning: str = ""
    profile: str


class CauseShare(msgspec.Struct, frozen=True):
    """Name a channel that changed, the slice that explains it, and its share of the change."""

    slice: dict[str, str]
    channel: str
    share: float


class Member(msgspec.Struct, frozen=True):
    """Name a stream that takes part, and its evidence in units of what would be an alarm."""

    channel: str
    slice: dict[str, str]
    strength: float


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one revision of an incident, in the published order of fields."""

    schema: int = 1
    id: str
    revision: int
    status: str
    time: str
    severity: str
    summary: str
    model: str
    alerts: tuple[str, ...]
    causes: tuple[CauseShare, ...]
    onset: str
    members: tuple[Member, ...] = ()
    profile: str
    config: str

    @property
    def key(self) -> str:
        """Give the key of the revision's record."""
        return f"{self.id}/{self.revision}"


def alert_id(*identity: object) -> str:
    """Hash an alert's identity: the same log gives the same id, whoever judges it.

    The identity is (model, version, channel, slice, onset bucket, profile, configuration).
    """
    return blake2b(msgspec.json.encode(identity), digest_size=16).hexdigest()


def encode(value: Alert | Incident | Metric) -> bytes:
    """Write an alert, incident or metric as canonical JSON: fields in their published order."""
    return msgspec.json.encode(value)
