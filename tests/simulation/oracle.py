"""What an undisturbed run over the same log gives, and how a disturbed one differs from it."""

from collections.abc import Mapping

from stream.control import Control
from stream.judging import Judging
from tests.accounts import OUTPUTS, published, undisturbed
from tests.simulation.clients import SimulatedConnection
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import Host
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
    judging = Judging(control.book, control.epochs, CONFIG.kafka.summaries_partitions)
    return undisturbed(log, (control.book, judging), CONFIG, applied_of(outcome.states))
