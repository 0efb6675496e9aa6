"""Spending: how much of a model's alarm budget its incidents have taken."""

from collections.abc import Sequence

from detectors.alert import Block, Metric, instant, nine_digits
from detectors.policy import Allowance, Policy, budget_per_week
from detectors.profile import Profile

__all__ = ["Spending"]

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS


class Spending:
    """Count the incidents that opened in the last seven days of event time.

    If every one of them is false, more than the budget for long means that the reference does
    not fit; that is for people to say (`driftline alerts feedback`).
    """

    def __init__(
        self, profile: Profile, policy: Policy, allowances: Sequence[Allowance], opened: list[int]
    ) -> None:
        """Start from the times (ms) of what opened before."""
        self._profile = profile
        self._accepted = budget_per_week(policy.alarm_budget)
        self._expected = nine_digits(sum(allowance.per_week for allowance in allowances))
        self.opened = opened

    def add(self, end_ms: int) -> None:
        """Take note of an incident that opened."""
        self.opened.append(end_ms)

    def is_due(self, before_ms: int, end_ms: int) -> bool:
        """Say whether a day of event time has ended between two times."""
        return before_ms // _DAY_MS < end_ms // _DAY_MS

    def share(self, end_ms: int) -> float:
        """Give how many opened in the week up to a time, in units of what is accepted."""
        within = sum(t > end_ms - _WEEK_MS for t in self.opened)
        return nine_digits(within / self._accepted)

    def metric(self, end_ms: int) -> Metric:
        """Give the record of the week up to a time; n is the number of incidents."""
        self.opened[:] = [t for t in self.opened if t > end_ms - _WEEK_MS]
        return Metric(
            model=self._profile.model,
            version=None,
            channel="budget",
            slice={},
            block=Block(instant(end_ms - _WEEK_MS), instant(end_ms)),
            n=len(self.opened),
            missing=0,
            mean=self.share(end_ms),
            scores={"accepted_per_week": self._accepted, "expected_per_week": self._expected},
            profile=self._profile.hash,
        )
