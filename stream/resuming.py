"""Where a partition goes on: at the group's commit, or behind the last pane in the summaries.

Kafka forgets the commits of a group that was gone for longer than offsets.retention.minutes
(7 days).  The panes are still there, and say what the commit said.
"""

from collections.abc import Mapping

import structlog

from detectors.errors import StateRefused
from detectors.panes import UNSET, Clock, End, Header
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
    without: it begins with its log.  A pane that is in some of them ends once more where it did.

    Raises
    ------
    StateRefused
        If the last pane does not say how its clock stood.
    """
    missing = [tp for tp, commit in commits.items() if commit is None]
    if not missing:
        return dict(commits)
    found: dict[Partition, Commit | None] = {}
    for tp, extent in (await last_in_all(connection, summaries, missing)).items():
        if (commit := _commit(*extent)) is not None:
            found[tp] = commit
            log.warning(
                "no commit; going on behind the last pane",
                topic=tp.topic,
                partition=tp.partition,
                offset=commit.offset,
            )
    return {**commits, **found}


def _commit(whole: Header | None, begun: Header) -> Commit | None:
    """Make the commit that is missing: behind what is whole, with the end of what was begun."""
    end = None if begun == whole else End(begun.o, begun.clock.r)
    if whole is not None:
        return Commit(whole.o + 1, _clock(whole).render(end))
    # The very first pane, or a log of which more is gone.
    return Commit(begun.a, Clock().render(end)) if begun.w_before == UNSET else None


def _clock(header: Header) -> Clock:
    if header.clock.r == UNSET:
        raise StateRefused(
            f"The group has lost its commit of {header.topic}[{header.partition}], and its last "
            f"pane, up to offset {header.o}, is of a driftline that did not write how its clock "
            "stood. Begin anew with another kafka.prefix."
        )
    return header.clock
