"""The campaign's table, for people and as markdown."""

import re
from collections.abc import Sequence

from tests.chaos.stage import Outcome

__all__ = ["findings", "rows", "table"]

# From the kill of a role or a worker; a broker takes the time that it takes.
RECOVERY_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 10.0
# What a machine that does other things, too, may take for the same.
STOP_ALLOWANCE = 2.0
KILL = re.compile(r"kill(?!.* the broker)")
_HEAD = ("scenario", "events", "faults", "kills", "lost", "doubled", "state equal", "alerts equal")
_HEAD += ("panes told again", "slowest stop", "worst recovery")


def _cells(one: Outcome) -> tuple[str, ...]:
    faults = ", ".join(f"{n} x {name}" if n > 1 else name for name, n in one.faults.items())
    alerts_differ = any(line.startswith("alert ") for line in one.wrong)
    return (
        one.name,
        f"{one.events:,}",
        faults,
        f"{one.kills}",
        f"{one.lost:,}",
        f"{one.doubled:,}",
        "yes" if one.state_equal else "NO",
        "NO" if alerts_differ else f"{one.alerts} of {one.alerts}",
        f"{one.panes_again:,}",
        f"{max(one.stops_seconds, default=0.0):.1f} s",
        f"{one.worst[0]:.1f} s ({one.worst[1]})",
    )


def rows(done: Sequence[Outcome]) -> str:
    """Write the table in markdown."""
    lines = [_HEAD, tuple("---" for _ in _HEAD), *map(_cells, done)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def table(done: Sequence[Outcome]) -> str:
    """Write each scenario in some lines, for a terminal."""
    blocks = []
    for one in done:
        told = zip(_HEAD, _cells(one), strict=True)
        blocks.append("".join(f"{name:18} {cell}\n" for name, cell in told))
    return "\n".join(blocks)


def findings(done: Sequence[Outcome], *, timed: bool) -> list[str]:
    """List whatever is wrong; recoveries that are too slow only where times are to be trusted."""
    found = [f"{one.name}: {line}" for one in done for line in one.wrong]
    if timed:
        found += [
            f"{one.name}: {seconds:.1f} s from {name} to one pane of lag "
            f"(at most {RECOVERY_SECONDS_MAX:g})"
            for one in done
            for seconds, name in one.recoveries
            if seconds > RECOVERY_SECONDS_MAX and KILL.search(name)
        ]
    allowed = STOP_SECONDS_MAX * (1.0 if timed else STOP_ALLOWANCE)
    found += [
        f"{one.name}: a worker took {seconds:.1f} s to stop (at most {allowed:g})"
        for one in done
        for seconds in one.stops_seconds
        if seconds > allowed
    ]
    return found
