"""nannyml: univariate drift in chunks of 10,000 rows."""

import nannyml
import pandas as pd
from window import Case, measure

_NAMES = [f"f{i}" for i in range(10)]


def _case(method: str) -> Case:
    def fit(reference, window):  # noqa: ANN001, ANN202, ARG001
        known = pd.DataFrame(reference, columns=_NAMES)
        size = min(10_000, len(known))
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=_NAMES, continuous_methods=[method], chunk_size=size
        ).fit(known)
        return lambda rows: calculator.calculate(pd.DataFrame(rows, columns=_NAMES))

    return method, fit


measure("nannyml", [*map(_case, ("jensen_shannon", "kolmogorov_smirnov", "wasserstein"))])
