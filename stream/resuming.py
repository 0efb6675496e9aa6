"""Where a partition goes on: at the group's commit, or behind the last pane in the summaries.

Kafka forgets the commits of a group that was gone for longer than offsets.retention.minutes
(7 days).  The panes are still there, and say what the commit said.
"""

from collections.abc import Mapping

import structlog

from detectors.errors import StateRefused
from detectors.panes import UNSET, Clock, Header
from stream.connection import Connection
from stream.pane_tail import last_in_all
from stream.role import Commit, Partition

__all__ = ["resumed"]

log = structlog.get_logger()


async def resumed(
    commits: Mapping[Partition, Commit | None], connection: Connection, summaries: tuple[str, int]
) -> dict[Partition, Commit | None]:
    """Put the last pane's end in place of each commit that is missing; `summaries`: name, count.

    A partition of which the summaries hold no pane, in one of their partitions at least, stays
    without: it begins with its log.

    Raises
    ------
    StateRefused
        If the last pane does not say how its clock stood.
    """
    missing = [tp for tp, commit in commits.items() if commit is None]
    if not missing:
        return dict(commits)
    found: dict[Partition, Commit | None] = {}
    for tp, header in (await last_in_all(connection, summaries, missing)).items():
        found[tp] = Commit(header.o + 1, _clock(header).render())
        log.warning(
            "no commit; going on behind the last pane",
            topic=tp.topic,
            partition=tp.partition,
            offset=header.o + 1,
        )
    return {**commits, **found}


def _clock(header: Header) -> Clock:
    if header.clock.r == UNSET:
        raise StateRefused(
            f"The group has lost its commit of {header.topic}[{header.partition}], and its last "
            f"pane, up to offset {header.o}, is of a driftline that did not write how its clock "
            "stood. Begin anew with another kafka.prefix."
        )
    return header.clock
