"""scouter: a PSI profile of the window, and SPC (means against control limits only)."""

from scouter.drift import Drifter, PsiDriftConfig, SpcDriftConfig
from window import measure

_NAMED = {"name": "m", "space": "s", "version": "0.1.0"}


def _psi(reference, window):  # noqa: ANN001, ANN202, ARG001
    drifter, config = Drifter(), PsiDriftConfig(**_NAMED)
    return lambda rows: drifter.create_drift_profile(rows, config=config)


def _spc(reference, window):  # noqa: ANN001, ANN202, ARG001
    drifter = Drifter()
    profile = drifter.create_drift_profile(reference, config=SpcDriftConfig(**_NAMED))
    return lambda rows: drifter.compute_drift(rows, profile)


measure("scouter-ml", [("PSI profile", _psi), ("SPC", _spc)])
