"""What an undisturbed run over the same log gives, and how a disturbed one differs from it.

Without ticks the log does not say where a clock ended panes.  The summaries do: so each pane is
observed anew to the end that was told, and judged.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from detectors.observe import Observer, Pane
from detectors.panes import End, decode_part
from detectors.profile import ProfileBook
from stream.batching import batch_of
from stream.control import Control
from stream.judging import Judging
from stream.records import Records
from stream.routing import parts_of
from tests.accounts import (
    OUTPUTS,
    facts_of,
    part_place,
    published,
    take_batch,
    take_effect,
    take_pane,
    undisturbed,
)
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Host, Record
from tests.simulation.world import CONFIG, NAMES, Outcome
from tests.verifier import Account, LogFacts, Source, applied_of, verify

__all__ = ["differences"]


def differences(outcome: Outcome) -> list[str]:
    """Name every difference between what was published and an undisturbed run; none is right."""
    live = published({kind: outcome.records(f"{NAMES.prefix}.{kind}") for kind in OUTPUTS})
    live.states = outcome.states
    found = verify(live, *_undisturbed(outcome)).differences
    if outcome.lag_panes > 1:
        found.insert(0, f"the run did not come to rest: {outcome.lag_panes} panes behind")
    return found


def _undisturbed(outcome: Outcome) -> tuple[Account, Mapping[Source, LogFacts]]:
    """Observe and judge the log in one go."""
    loop = VirtualLoop()
    control = Control(SimulatedConnection(Host(outcome.cluster)), NAMES.control)
    try:
        loop.run_until_complete(control.start())
    finally:
        loop.close()
    names = range(CONFIG.kafka.events_partitions)
    records = outcome.records(NAMES.events)
    log = {(NAMES.events, n): [r for r in records if r.partition == n] for n in names}
    code = control.book, Judging(control.book, control.epochs, CONFIG.kafka.summaries_partitions)
    if outcome.plan.ticks:
        return undisturbed(log, code, CONFIG, applied_of(outcome.states))
    return _retold(outcome, log, code)


def _retold(
    outcome: Outcome, log: Mapping[Source, Sequence[Record]], code: tuple[ProfileBook, Judging]
) -> tuple[Account, Mapping[Source, LogFacts]]:
    """Observe the log to the ends that were told, and judge what the judges have read."""
    book, judging = code
    ends: dict[Source, set[End]] = {source: set() for source in log}
    read = set()
    for record in outcome.records(NAMES.summaries):
        header, snapshot = decode_part(record.value or b"").header, outcome.snapshots
        ends[header.topic, header.partition].add(End(header.o, header.r_after))
        left = snapshot[record.partition]
        if left is not None and record.offset < left.manifest.next:
            read.add(part_place(header, record.partition))
    account, facts, count = Account(), {}, CONFIG.kafka.summaries_partitions
    for source, records in log.items():
        batch = batch_of(Records.of(records), CONFIG)
        take_batch(account, source, batch)
        facts[source] = facts_of([batch])
        observer = Observer((*source, len(log)), book, CONFIG.time.pane_seconds * 1000)
        for pane in _panes(observer, Records.of(records), ends[source]):
            take_pane(account, pane, count)
            for number, parts in enumerate(parts_of(pane, count)):
                for part in parts:
                    if part_place(part.header, number) in read:
                        for effect in judging.apply(number, part):
                            take_effect(account, effect)
    account.states = judging.states()
    return account, facts


def _panes(observer: Observer, records: Records, ends: set[End]) -> Iterator[Pane]:
    """Observe each pane on its own; the log itself must not end one sooner."""
    row = 0
    for end in sorted(ends, key=lambda one: (one.offset, one.time_ms)):
        observer.start(observer.caught_up_to, observer.clock, end)
        first, row = row, int(np.searchsorted(records.offsets, end.offset, "right"))
        pane = observer.tick(0) if row == first else None
        yield from observer.feed(batch_of(records[first:row], CONFIG)) if pane is None else [pane]
