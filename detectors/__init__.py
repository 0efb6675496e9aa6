"""The core of driftline: pure, synchronous, deterministic; usable alone.

>>> from detectors import CUSUM
>>> detector = CUSUM(k=0.5, h=4.0)
>>> detector.update(5.0)
>>> detector.drift_detected
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detectors.drift import ADWIN, CUSUM, EWMA, PageHinkley, ShiryaevRoberts

__all__ = ["ADWIN", "CUSUM", "EWMA", "PageHinkley", "ShiryaevRoberts"]


def __getattr__(name: str) -> Any:
    """Load the detectors at their first use: numba takes half a second to import."""
    if name in __all__:
        return getattr(importlib.import_module("detectors.drift"), name)
    raise AttributeError(f"module 'detectors' has no attribute {name!r}")
