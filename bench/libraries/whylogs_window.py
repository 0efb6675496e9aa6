"""whylogs: a profile of the window (it sketches quantiles, distinct and frequent values too)."""

import pandas as pd
import whylogs
from window import measure

_NAMES = [f"f{i}" for i in range(10)]


def _fit(reference, window):  # noqa: ANN001, ANN202, ARG001
    return lambda rows: whylogs.log(pd.DataFrame(rows, columns=_NAMES)).view()


measure("whylogs", [("log", _fit)])
