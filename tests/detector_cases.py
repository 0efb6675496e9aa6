"""Every detector and its bank, with parameters that make it alarm often, and streams to do so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors import ADWIN, CUSUM, EWMA, PageHinkley, ShiryaevRoberts
from detectors.drift.adwin import AdwinBank
from detectors.drift.bank import Bank, Detector
from detectors.drift.cusum import CusumBank
from detectors.drift.ewma import EwmaBank
from detectors.drift.mixture import MixtureBank
from detectors.drift.page_hinkley import PageHinkleyBank
from detectors.drift.river_plugin import RiverBank, RiverDetector

# Small parameters, so that each alarms many times in a few thousand values.
CASES: dict[str, tuple[Callable[..., Detector], Callable[..., Bank], dict[str, Any]]] = {
    "ADWIN": (ADWIN, AdwinBank, {"delta": 0.1, "clock": 4}),
    "CUSUM": (CUSUM, CusumBank, {"k": 0.5, "h": 3.0}),
    "EWMA": (EWMA, EwmaBank, {"weight": 0.2, "limit": 2.0}),
    "PageHinkley": (PageHinkley, PageHinkleyBank, {"min_instances": 10, "threshold": 6.0}),
    "ShiryaevRoberts": (ShiryaevRoberts, MixtureBank, {"steps": 600.0}),
    "river:ADWIN": (RiverDetector, RiverBank, {"name": "ADWIN"}),
}
NUMBA = [name for name in CASES if not name.startswith("river:")]
# What a parameter may differ in from stream to stream, from many alarms to few or few to many.
CHOICES = {
    "ADWIN": ("delta", [1e-9, 0.01, 0.9]),
    "CUSUM": ("h", [1.5, 3.0, 6.0]),
    "EWMA": ("limit", [1.5, 3.0, 6.0]),
    "PageHinkley": ("threshold", [1.5, 3.0, 6.0]),
    "ShiryaevRoberts": ("steps", [100.0, 1_000.0, 1e9]),
}
STREAMS = 7

each = pytest.mark.parametrize("name", CASES)
each_of_ours = pytest.mark.parametrize("name", NUMBA)


def build(name: str, **changed: Any) -> Detector:
    detector, _, parameters = CASES[name]
    return detector(**{**parameters, **changed})


def build_bank(name: str, streams: int = STREAMS, **changed: Any) -> Bank:
    _, bank, parameters = CASES[name]
    return bank(streams, **{**parameters, **changed})


def stream(seed: int, size: int = 3_000) -> list[float]:
    """Draw normal values whose mean moves every 250 of them."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=size) + np.repeat(rng.normal(0, 1, size // 250), 250)).tolist()


def alarms(detector: Detector, values: list[float]) -> list[int]:
    found = []
    for i, x in enumerate(values):
        detector.update(x)
        if detector.drift_detected:
            found.append(i)
    return found
