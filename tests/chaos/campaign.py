"""One scenario after the other, on one Kafka; and no process left behind."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.fleet import processes_naming
from tests.chaos.stage import Outcome, Scenario, broker_of_its_own, run

__all__ = ["campaign"]


def campaign(
    scenarios: Sequence[Scenario], seed: int, tell: Callable[[str], None]
) -> list[Outcome]:
    """Run the scenarios; what one of them asserts in vain is a finding of it."""
    for client in ("aiokafka", "kafka"):  # our own see the broker fall, too
        logging.getLogger(client).setLevel(logging.CRITICAL)
    done = []
    with TemporaryDirectory(prefix="driftline-chaos-") as name:
        directory = Path(name)
        with broker_of_its_own(directory) as bootstrap:
            for number, one in enumerate(scenarios):
                tell(f"{one.name} ({one.act.__doc__})")
                outcome = run(one, (bootstrap, directory), seed + number, tell)
                if left := processes_naming(directory / "chaos-"):
                    outcome.wrong += [f"left behind: {process}" for process in left]
                done.append(outcome)
                tell(f"  lost {outcome.lost}, doubled {outcome.doubled}")
                for line in outcome.wrong:
                    tell(f"  WRONG: {line}")
        if left := processes_naming(directory):
            done[-1].wrong += [f"left behind: {process}" for process in left]
    return done
