"""frouros: one detector a feature, fitted on the reference."""

from frouros.detectors.data_drift import JS, PSI, KSTest
from window import Case, measure


def _case(kind) -> Case:  # noqa: ANN001
    def fit(reference, window):  # noqa: ANN001, ANN202, ARG001
        detectors = [kind() for _ in range(reference.shape[1])]
        for j, detector in enumerate(detectors):
            detector.fit(X=reference[:, j])
        return lambda rows: [d.compare(X=rows[:, j]) for j, d in enumerate(detectors)]

    return kind.__name__, fit


measure("frouros", [*map(_case, (PSI, JS, KSTest))])
