"""Files to profiles: read a reference, fit it, load it back."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from detectors.channels import FitOptions
from detectors.errors import ConfigError
from detectors.events import Event
from detectors.fit import NothingToFit, fit
from detectors.learning import Learnt, Patience, learnt_profile
from detectors.profile import Profile, load
from stream.config import Config
from stream.decode.json_events import decode
from stream.sources import read_rows
from stream.zones import calendar_of

__all__ = ["fit_file", "fit_learnt", "fit_options", "load_file", "patience_of"]

# Of a reference, some blocks hold more events than they need.
_SPARE = 1.5
_STEP_MS_MIN = 600_000
_DAY_MS = 86_400_000


def fit_options(config: Config, events: Sequence[Event]) -> FitOptions:
    """Take the choices of a fit of these events out of the configuration."""
    start_ms = min((event.time_ms for event in events), default=0)
    return FitOptions(
        bucket_seconds=config.time.bucket_seconds,
        block_seconds=config.time.block_seconds,
        block_events=config.detect.block_events,
        by=config.slices.by,
        learn_days=config.detect.learn_days,
        learn_blocks=config.detect.learn_blocks,
        calendar=calendar_of(config.time.zone, config.time.holidays, start_ms),
    )


def patience_of(config: Config) -> Patience:
    """Say how long a reference must be: `learn_days` a step, and events for `learn_blocks`."""
    detect = config.detect
    step_ms = max(round(detect.learn_days * _DAY_MS), _STEP_MS_MIN)
    events = round(_SPARE * detect.learn_blocks * detect.block_events)
    return Patience(step_ms, events, config.time.lateness_seconds * 1000)


def fit_learnt(learnt: Learnt, config: Config) -> Profile:
    """Fit the profile of a reference; NothingToFit if it carries nothing to watch."""
    return learnt_profile(learnt, fit_options(config, learnt.events), config.policy)


def fit_file(
    path: Path, config: Config, model: str | None, on_bytes: Callable[[int], None]
) -> tuple[Profile, Counter[str]]:
    """Fit the profile of the model in a file; give it and the rejects by code.

    Raises
    ------
    ConfigError
        If the file holds no events, or events of several models and none was named.
    """
    events: list[Event] = []
    rejected: Counter[str] = Counter()
    before = 0
    for rows, position in read_rows(path, config.columns, config.limits, model):
        decoded = decode([row.value for row in rows], None, config.limits)
        events += decoded.events
        rejected.update(decoded.reject_codes)
        on_bytes(position - before)
        before = position
    found = Counter(event.model for event in events)
    if model is None and len(found) > 1:
        raise ConfigError(
            f"{path} holds events of {len(found)} models; choose one with --model: "
            f"{', '.join(sorted(found)[:10])}."
        )
    chosen = [e for e in events if model is None or e.model == model]
    try:
        return fit(chosen, fit_options(config, chosen), config.policy), rejected
    except NothingToFit as error:
        reasons = ", ".join(f"{code} {n:,}" for code, n in rejected.most_common(5))
        raise ConfigError(
            f"No profile can be fitted from {path}: {error}."
            + (f" Rejected rows: {reasons}." if rejected else "")
        ) from error


def load_file(path: Path) -> Profile:
    """Read a profile from a file.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no profile.
    """
    try:
        return load(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"The profile {path} cannot be read: {error.strerror}.") from error
