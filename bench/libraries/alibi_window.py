"""alibi-detect: exact Kolmogorov-Smirnov tests of all features."""

from alibi_detect.cd import KSDrift
from window import measure


def _fit(reference, window):  # noqa: ANN001, ANN202, ARG001
    return KSDrift(reference, p_val=0.05).predict


measure("alibi-detect", [("KSDrift", _fit)])
