"""What workers may log as errors under chaos, each with its reason; all else is a finding."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

__all__ = ["ALLOWED", "Allowed", "errors_of"]


class Allowed(NamedTuple):
    """Allow lines (event, then fields), where one of these faults happened, for a reason."""

    line: str
    faults: str
    reason: str


ALLOWED = (
    Allowed(
        r"^role ended role=\w+ code=-9$",
        r"kill",
        "the supervisor says that its role was killed, and it was",
    ),
    Allowed(
        r"^Heartbeat session expired - marking coordinator dead ",
        r"broker|zombie",
        "aiokafka heard nothing of the broker for a session's length, and looks for it again",
    ),
    Allowed(
        r"^(Failed fetch messages from 1|Error sending HeartbeatRequest to node 1"
        r"|Heartbeat send request failed|Group Coordinator Request failed"
        r"|Unable connect to node with id 1|Unable to update metadata from \[1\])"
        r".* logger=aiokafka",
        r"the broker|broker stopped",
        "aiokafka finds no broker, says so, and asks again until there is one",
    ),
    Allowed(
        r"^OffsetCommit failed for group \S+ due to group error \(\[Error 25\]",
        r"broker|zombie",
        "the group went on without a member that was silent; it commits nothing, and joins anew",
    ),
    Allowed(
        r"^\[\^-+BatchConsumerThread\]: Thread keepalive is not responding",
        r"zombie",
        "mode finds that its thread stood still: so did the whole process",
    ),
)


def errors_of(logs: Sequence[Path], faults: Iterable[str]) -> list[str]:
    """List the lines that nothing allows, each kind once with its count."""
    happened = " ".join(faults)
    allowed = [re.compile(one.line) for one in ALLOWED if re.search(one.faults, happened)]
    found: Counter[str] = Counter()
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            told = _error(line)
            if told and not any(pattern.search(told) for pattern in allowed):
                found[told] += 1
    return [f"log: {told} ({count} times)" for told, count in found.items()]


def _error(line: str) -> str:
    """Give the gist of an error line; nothing of any other."""
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return f"not JSON: {line[:300]}"
    if fields.get("level") not in ("error", "critical"):
        return ""
    told = [f"{k}={fields[k]}" for k in ("role", "logger", "code", "error") if k in fields]
    return f"{fields.get('event')} {' '.join(told)}"[:400]
