"""evidently: its drift preset, by default and with the named distances."""

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
from window import Case, measure

_NAMES = [f"f{i}" for i in range(10)]


def _case(method: str | None) -> Case:
    def fit(reference, window):  # noqa: ANN001, ANN202, ARG001
        known = pd.DataFrame(reference, columns=_NAMES)
        options = {"num_method": method} if method else {}

        def compare(rows):  # noqa: ANN001, ANN202
            now = pd.DataFrame(rows, columns=_NAMES)
            return Report([DataDriftPreset(**options)]).run(now, known).dict()

        return compare

    return method or "default", fit


measure("evidently", [_case(None), *map(_case, ("psi", "ks", "jensenshannon"))])
