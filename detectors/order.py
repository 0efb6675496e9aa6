"""The order in which panes count: exactly once by arithmetic, and the same for everybody.

Contiguity.  For each partition `next` is the first offset not yet applied: a pane with
`a == next` is new, one with `o < next` is a repeat and dropped, anything else is a lie in the
log and refused.  The first pane of an unknown partition may start anywhere.  An empty pane, by a
clock where no ticks may be written, leaves `next` where it is: it always crosses, and is a repeat
if its number has been reached.

Order.  Panes are applied by (number, topic, partition, a), and a number only when every
partition of its topic has crossed into it or beyond.  A pane that did not cross (cut by its
length, or by a tick) takes the number of the crossing pane that follows it.
"""

from collections import deque
from collections.abc import Iterator, Sequence

import msgspec

from detectors.errors import StateRefused
from detectors.panes import UNSET, Header, Part

__all__ = ["OrderedPane", "PaneOrder", "Source"]


class OrderedPane(msgspec.Struct, frozen=True, array_like=True):
    """Hold a whole pane: its header and the parts of it that came to this summaries partition."""

    header: Header
    parts: tuple[Part, ...]


class Source(msgspec.Struct, array_like=True):
    """Hold where the judge stands with one partition of an input topic."""

    topic: str
    partition: int
    partitions: int
    next: int
    crossed: int = UNSET
    w: int = UNSET
    uncrossed: list[OrderedPane] = []
    waiting: list[tuple[int, OrderedPane]] = []
    incomplete: list[Part] = []


class PaneOrder:
    """Take parts as they come; give panes in the one order that the log prescribes."""

    def __init__(self, sources: Sequence[Source] = ()) -> None:
        """Start empty, or from a snapshot's sources; `pending_bytes` counts what waits."""
        self._sources = {(s.topic, s.partition): s for s in sources}
        uncrossed = [pane for s in sources for pane in s.uncrossed]
        self.pending_bytes = sum(map(_bytes, [*self.pending(), *uncrossed]))

    @property
    def sources(self) -> list[Source]:
        """Give the state to snapshot, in a fixed order; later panes do not change it."""
        return [_copied(self._sources[key]) for key in sorted(self._sources)]

    def offer(self, part: Part) -> Iterator[list[OrderedPane]]:
        """Take one part; yield the panes of each number that is now complete, in order.

        Raises
        ------
        StateRefused
            At a gap, a lost part, a re-cut pane, or a changed partition count.
        """
        pane = self._whole(part)
        if pane is None:
            return
        source = self._sources[part.header.topic, part.header.partition]
        header = pane.header
        source.next = header.o + 1
        source.uncrossed.append(pane)
        self.pending_bytes += _bytes(pane)
        if header.number > source.crossed:
            source.crossed = header.number
            source.waiting += [(header.number, p) for p in source.uncrossed]
            source.uncrossed = []
            yield from self._complete(header.topic, header.partitions)

    def _whole(self, part: Part) -> OrderedPane | None:
        """Check the part's place in its partition's log, and wait for the pane's other parts."""
        header = part.header
        source = self._source(header)
        is_old = header.a < source.next or header.number <= source.crossed
        if header.o < source.next and is_old:
            return None
        _check_contiguous(header, source.next)
        _check_part(header, source.incomplete)
        if header.part < len(source.incomplete):
            return None
        source.incomplete.append(part)
        if len(source.incomplete) < header.parts:
            return None
        pane = OrderedPane(header, tuple(source.incomplete))
        source.incomplete = []
        return pane

    def _source(self, header: Header) -> Source:
        """Find or begin a partition's state; all of a topic's agree on how many there are."""
        for source in self._sources.values():
            if source.topic == header.topic and source.partitions != header.partitions:
                raise StateRefused(
                    f"{header.topic} had {source.partitions} partitions and now has "
                    f"{header.partitions}: start on a new prefix."
                )
        fresh = Source(header.topic, header.partition, header.partitions, header.a)
        return self._sources.setdefault((header.topic, header.partition), fresh)

    def _complete(self, topic: str, partitions: int) -> Iterator[list[OrderedPane]]:
        """Yield every number into which all partitions of the topic have crossed."""
        sources = [self._sources.get((topic, p)) for p in range(partitions)]
        known = [s for s in sources if s is not None]
        if len(known) < partitions:
            return
        ready = min(s.crossed for s in known)
        panes: dict[int, list[OrderedPane]] = {}
        for source in known:
            for number, pane in source.waiting:
                if number <= ready:
                    panes.setdefault(number, []).append(pane)
            source.waiting = [(n, p) for n, p in source.waiting if n > ready]
        for number in sorted(panes):
            self.pending_bytes -= sum(map(_bytes, panes[number]))
            yield panes[number]

    def advance(self, header: Header) -> None:
        """Note that a pane has been applied: its partition's W is now the pane's."""
        self._sources[header.topic, header.partition].w = header.w_after

    def horizon(self) -> int:
        """Give the smallest W of all partitions that ever had an event; UNSET if none had."""
        clocks = [s.w for s in self._sources.values() if s.w != UNSET]
        return min(clocks, default=UNSET)

    def awaited(self) -> tuple[str, int]:
        """Name the partition that panes wait for, as TOPIC[PARTITION], and its number.

        ("", UNSET) if none waits.  A partition that never had a pane is slower than any other.
        """
        if not any(s.waiting for s in self._sources.values()):
            return "", UNSET
        names = {(s.topic, p) for s in self._sources.values() for p in range(s.partitions)}
        crossed = {name: self._sources[name].crossed for name in names & self._sources.keys()}
        topic, partition = min(sorted(names), key=lambda name: crossed.get(name, UNSET))
        return f"{topic}[{partition}]", crossed.get((topic, partition), UNSET)

    def pending(self) -> deque[OrderedPane]:
        """List the panes that wait for other partitions, for gauges."""
        return deque(p for s in self._sources.values() for _, p in s.waiting)


def _bytes(pane: OrderedPane) -> int:
    """Count the bytes of a pane's partials."""
    return sum(len(entry.data) for part in pane.parts for entry in part.entries)


def _copied(source: Source) -> Source:
    """Copy a source; the panes in it never change."""
    return msgspec.structs.replace(
        source,
        uncrossed=list(source.uncrossed),
        waiting=list(source.waiting),
        incomplete=list(source.incomplete),
    )


def _check_part(header: Header, before: Sequence[Part]) -> None:
    """Refuse a part that follows none, or parts of another pane, of those that came before it."""
    where = f"Offsets {header.a} to {header.o} of {header.topic}[{header.partition}]"
    if before and msgspec.structs.replace(before[0].header, part=header.part) != header:
        raise StateRefused(
            f"{where} were cut again: a part of a pane up to offset {before[0].header.o} came "
            "first. Two versions of driftline wrote to this prefix; start on a new one."
        )
    if header.part > len(before):
        raise StateRefused(
            f"{where} are not whole in the summaries: part {len(before)} of {header.parts} is "
            "missing. Restart the judge from a snapshot that covers it, or start on a new prefix."
        )


def _check_contiguous(header: Header, expected: int) -> None:
    """Refuse a pane that does not begin where the last one of its partition ended."""
    where = f"{header.topic}[{header.partition}]"
    if header.a > expected:
        raise StateRefused(
            f"Offsets {expected} to {header.a - 1} of {where} are missing from the summaries: "
            f"the next pane starts at {header.a}, not {expected}. Restart the judge from a "
            "snapshot that covers them, or start on a new prefix."
        )
    if header.a < expected:
        raise StateRefused(
            f"{where} was cut again: a pane covers offsets {header.a} to {header.o}, but "
            f"everything below {expected} is already applied. Two versions of driftline or of "
            "its [time] settings wrote to this prefix; start on a new one."
        )
