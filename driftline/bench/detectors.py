"""Detectors one value at a time: the banks of this package against river's, and the mixture.

The same 250,000 values, whose mean and then spread change, go through river's detector in a
loop, through driftline's with the same loop, and through driftline's bank, which takes an
array. All three must raise the same alarms at the same places. The Shiryaev-Roberts bank takes
blocks of 1,000 streams, four statistics each, so 40 accumulators a stream. Processor time counts.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import drift

from detectors import ADWIN, PageHinkley
from detectors.drift.adwin import AdwinBank
from detectors.drift.page_hinkley import PageHinkleyBank
from detectors.drift.shiryaev_roberts import ShiryaevRobertsBank
from detectors.errors import DriftlineError
from driftline.bench.options import Options
from driftline.bench.results import Ratio, Result, Told, interleaved

__all__ = ["run", "same_alarms"]

_STREAMS, _STATISTICS = 1_000, 4
_SR = "Shiryaev-Roberts bank, stream-blocks"
_PAIRS: Mapping[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[], Any]]] = {
    "ADWIN": (drift.ADWIN, ADWIN, lambda: AdwinBank(1)),
    "Page-Hinkley": (drift.PageHinkley, PageHinkley, lambda: PageHinkleyBank(1)),
}


def run(options: Options, told: Told) -> Result:
    """Let every detector take the same values in each round.

    Raises
    ------
    DriftlineError
        If two of them do not raise the same alarms.
    """
    values = _values(options.of(250_000, 50_000), options.seed)
    alarms: dict[str, list[int]] = {}
    contenders: dict[str, Callable[[], float]] = {}
    for name, (river, own, bank) in _PAIRS.items():
        contenders[f"river {name}"] = _one_by_one(river, values, alarms, f"river {name}")
        contenders[name] = _one_by_one(own, values, alarms, name)
        contenders[f"{name} bank"] = _at_once(bank, values, alarms, f"{name} bank")
    contenders[_SR] = _mixture(options.of(2_000, 200), options.seed)
    for measure in contenders.values():
        measure()  # compiles
    rounds = tuple(interleaved(contenders, options.rounds, told))
    for name in _PAIRS:
        same_alarms(name, [alarms[key] for key in (f"river {name}", name, f"{name} bank")])
    result = Result(
        bench="detectors",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="values/s",
        rounds=rounds,
        ratios=tuple(
            Ratio(f"{own} / river", own, (f"river {name}",))
            for name in _PAIRS
            for own in (f"{name} bank", name)
        ),
        figures={f"{name}: alarms": float(len(alarms[name])) for name in _PAIRS},
    )
    result.figures["Shiryaev-Roberts stream-blocks/s"] = result.rate(_SR).best
    return result


def same_alarms(name: str, found: Sequence[list[int]]) -> None:
    """Refuse detectors that do not raise the same alarms; DriftlineError names the first place."""
    if any(one != found[0] for one in found):
        first = min(i for one in found[1:] for i in set(found[0]) ^ set(one))
        raise DriftlineError(
            f"{name} raises other alarms than river ({[len(one) for one in found]} alarms, the "
            f"first difference at value {first}): this is a bug."
        )


def _values(count: int, seed: int) -> NDArray[np.float64]:
    """Draw values whose mean and then spread change."""
    draw = np.random.default_rng(seed)
    parts = [(0.0, 1.0, 0.4), (0.3, 1.0, 0.4), (0.0, 2.0, 0.2)]
    return np.concatenate([draw.normal(m, sd, round(count * share)) for m, sd, share in parts])


def _one_by_one(
    make: Callable[[], Any], values: NDArray[np.float64], alarms: dict[str, list[int]], name: str
) -> Callable[[], float]:
    numbers = values.tolist()

    def measure() -> float:
        detector, found = make(), []
        started = time.process_time()
        for i, x in enumerate(numbers):
            detector.update(x)
            if detector.drift_detected:
                found.append(i)
        seconds = time.process_time() - started
        alarms[name] = found
        return len(numbers) / seconds

    return measure


def _at_once(
    make: Callable[[], Any], values: NDArray[np.float64], alarms: dict[str, list[int]], name: str
) -> Callable[[], float]:
    index = np.zeros(len(values), np.int64)

    def measure() -> float:
        bank = make()
        started = time.process_time()
        flags = bank.update(index, values)
        seconds = time.process_time() - started
        alarms[name] = np.flatnonzero(flags).tolist()
        return len(values) / seconds

    return measure


def _mixture(blocks: int, seed: int) -> Callable[[], float]:
    statistics = _STREAMS * _STATISTICS
    first = np.arange(0, statistics + 1, _STATISTICS)
    scores = np.random.default_rng(seed).standard_normal((64, statistics))
    n = np.full(statistics, 50, np.int64)
    every = np.arange(_STREAMS)

    def measure() -> float:
        cumulants = np.tile([1.0, 0.0, 0.0], (statistics, 1))
        bank = ShiryaevRobertsBank(first, np.full(statistics, 0.05), cumulants)
        started = time.process_time()
        for block in range(blocks):
            z = scores[block % len(scores)]
            bank.update(every, z, (n, z, n, np.full(_STREAMS, block, np.int64)))
        return blocks * _STREAMS / (time.process_time() - started)

    return measure
