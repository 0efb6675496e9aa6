"""The alarm policy: one budget for a model, shared among its streams.

The user accepts so many false incidents a week (`alarm_budget`).  A model is granted one in
`max(blocks in the budget's interval, 10,000)` block steps, and channel i one in
`A_i = A_model / weight_i`; the weights sum to one, so by the union of run lengths the model
keeps its budget whatever the streams have to do with each other.

Beside the budget stands a minimum effect: a shift that nobody would act on is no alarm, however
significant it is at 100,000 events a second.
"""

import math
import re
from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np

from detectors.arithmetic import log
from detectors.profile import Profile, Statistic, Stream

__all__ = [
    "RARE_SHARE",
    "Allowance",
    "Policy",
    "Tuning",
    "allowances",
    "budget_per_week",
    "half_effect",
    "tuning",
]

OVERSHOOT = 0.55
STEPS_MIN = 10_000
RARE_SHARE = 0.1
_WELL_KNOWN_BLOCKS = 1_000
_TIERS = {"outcome": 0.4, "features": 0.4, "rest": 0.2}
_WEEKS = {"hour": 1 / 168, "day": 1 / 7, "week": 1.0, "month": 30 / 7}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what the user decides about alarms: part of the semantic configuration."""

    alarm_budget: str = "1/week"
    min_effect_sigma: float = 0.1
    min_effect_relative: float = 0.1


class Allowance(msgspec.Struct, frozen=True):
    """Hold one stream's part of the budget.

    `steps` is A_i: its block steps to one false alarm; `per_week` false alarms it may cost.
    """

    steps: float
    per_week: float

    def threshold(self, rare: bool, both: bool) -> float:
        """Give the evidence at which the stream alarms, for its scores or its rare things."""
        if not both:
            return OVERSHOOT * self.steps
        return OVERSHOOT * self.steps / (RARE_SHARE if rare else 1 - RARE_SHARE)


def budget_per_week(text: str) -> float:
    """Read an alarm budget such as `1/week` as false alarms a week.

    Raises
    ------
    ValueError
        If it is not COUNT/hour, /day, /week or /month with a count above zero.

    >>> budget_per_week("2/day")
    14.0
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(hour|day|week|month)\s*", text)
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is no alarm budget; write for example '1/week' or '2/day'")
    return float(match[1]) / _WEEKS[match[2]]


def _tier(profile: Profile, stream: Stream) -> str:
    """Name the group that a stream shares its part of the budget with."""
    if stream.slice != 0 or stream.missing:
        return "rest"
    name = profile.channels[stream.channel].name
    return "outcome" if name in {"prediction", "error"} else "features"


def allowances(profile: Profile, policy: Policy) -> list[Allowance]:
    """Share the model's budget among its streams.

    40 % go to prediction and error over all events, 40 % to features and the rate over all
    events, 20 % to slices and missing values; equally within a group, and absent groups are left
    out.  Streams that cannot alarm take nothing: A_i is infinite.
    """
    tiers = [_tier(profile, s) if s.reference.may_alarm else "" for s in profile.streams]
    members = Counter(tier for tier in tiers if tier)
    present = sum(_TIERS[tier] for tier in members)
    per_week = budget_per_week(policy.alarm_budget)
    shared = []
    for stream, tier in zip(profile.streams, tiers, strict=True):
        if not tier:
            shared.append(Allowance(math.inf, 0.0))
            continue
        weight = _TIERS[tier] / present / members[tier]
        blocks_per_week = stream.reference.blocks_per_week
        steps = max(blocks_per_week / per_week, STEPS_MIN) / weight
        shared.append(Allowance(steps, blocks_per_week / steps))
    return shared


class Tuning(NamedTuple):
    """Say what the mixture takes for granted about one statistic's scores.

    Scores are divided by `scale`; under the null their mean is at most `delta`, their variance
    at most `variance`, and their cumulants those of the reference.
    """

    scale: float
    delta: float
    variance: float
    kappa3: float
    kappa4: float


def tuning(stream: Stream, statistic: Statistic, policy: Policy) -> Tuning:
    """Tune the mixture to what the reference does not know and what the user does not mind.

    m blocks know their own mean only to c / sqrt(m) and their variance to c sqrt((2 + kappa4) / m);
    what they cannot know of weekdays and half of the minimum effect are allowed as well.  Where
    that allowance fills the scale (a block of 100,000 events), scores are measured in units of
    it: otherwise nothing could ever pass the clip.
    """
    m = max(stream.reference.blocks, 1)
    c = 1.0 if m >= _WELL_KNOWN_BLOCKS else 1.5
    unknown = max(c / float(np.sqrt(m)), statistic.delta)
    delta = max(unknown, half_effect(stream, statistic, policy))
    variance = 1.0 + c * float(np.sqrt((2.0 + statistic.kappa4) / m))
    scale = max(1.0, delta)
    square = scale * scale
    return Tuning(
        scale=scale,
        delta=delta / scale,
        variance=variance / square,
        kappa3=statistic.kappa3 / (square * scale),
        kappa4=statistic.kappa4 / (square * square),
    )


def half_effect(stream: Stream, statistic: Statistic, policy: Policy) -> float:
    """Give half of a statistic's minimum effect in units of its block score.

    For the moments of a number the effect is in standard deviations of an event; for a share
    it is relative, since a tenth of a standard deviation of a rare share is a large change; for
    a rate likewise.
    """
    reference = stream.reference
    noise = statistic.within / max(reference.block_n, 1.0) + statistic.between
    if statistic.name == "volume":
        effect = float(log(1 + policy.min_effect_relative))
    elif statistic.bin < 0:
        effect = policy.min_effect_sigma * float(np.sqrt(statistic.within))
    else:
        p = reference.counts[statistic.bin] / max(reference.n_scored, 1)
        effect = policy.min_effect_relative * float(np.sqrt(p / (1 - p)))
    return 0.5 * effect / (float(np.sqrt(noise)) * statistic.sd)
