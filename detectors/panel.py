"""The panel: every detector of a model, run on the same scores of the same closed blocks.

The Shiryaev-Roberts mixture and the watch over rare things alarm, under the budget.  The others
run beside them, and say what they think or alarm as well.  What an alarm says (statistic, onset,
effect) is always what the mixture has gathered.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.alert import nine_digits
from detectors.beside import Beside
from detectors.blocks import Blocks
from detectors.distances import jensen_shannon, psi
from detectors.drift.rare import RareBank
from detectors.drift.shiryaev_roberts import Lead, ShiryaevRobertsBank
from detectors.evidence import Alarm, category_of, rare_alarm, score_alarm
from detectors.policy import Allowance, Policy, allowances, tuning
from detectors.profile import Profile, Stream
from detectors.rounding import rounded
from detectors.scores import SMOOTH, Scorer
from detectors.sights import Sights

__all__ = ["Choice", "Panel"]

_NEVER = -1
_SHARES_TOLD = 3


class Choice(NamedTuple):
    """Choose what streams are granted (None: the policy's shares), and the detectors that alarm."""

    granted: Sequence[Allowance] | None = None
    alarming: tuple[str, ...] = ("sr",)


class Panel:
    """Hold and advance the detectors of all streams of one model."""

    def __init__(
        self,
        profile: Profile,
        blocks: Blocks,
        policy: Policy,
        choice: Choice | None = None,
    ) -> None:
        """Start all detectors; thresholds come from the budget, or from what is granted."""
        granted, self._alarming = choice or Choice()
        self.profile = profile
        self.allowances = allowances(profile, policy) if granted is None else list(granted)
        self._blocks = blocks
        flat = [(s, stat) for s in profile.streams for stat in s.reference.statistics]
        tunings = [tuning(s, stat, policy) for s, stat in flat]
        tuned = np.array(tunings).reshape(-1, 5)
        self.scorer = Scorer(profile, blocks.table, tuned[:, 0])
        first = self.scorer.stats.first
        self.sr = ShiryaevRobertsBank(first, tuned[:, 1], tuned[:, 2:])
        self.rare = RareBank(
            np.array([s.reference.rare_rate for s in profile.streams], np.float64),
            np.array([s.reference.dispersion for s in profile.streams], np.float64),
        )
        self._owner = np.repeat(np.arange(len(profile.streams)), np.diff(first))
        self._smooth = np.array([stat.name in SMOOTH for _, stat in flat], np.bool_)
        self._counted_bin = blocks.table.first[self._owner] + np.maximum(self.scorer.stats.bin, 0)
        self.strength = np.zeros(len(profile.streams))
        self.sights = Sights(profile, blocks, (self.scorer, self.sr, self.rare))
        self._score_names = [self._named_scores(stream) for stream in profile.streams]
        self._set_thresholds()
        self._beside = Beside(profile, tunings, self.allowances, self._alarming)

    def _set_thresholds(self) -> None:
        """Turn each stream's allowance into what its evidence must reach."""
        both = [bool(s.reference.statistics and s.reference.rare) for s in self.profile.streams]
        pairs = list(zip(self.allowances, both, strict=True))
        shared = np.array([a.threshold(rare=False, both=b) for a, b in pairs])
        self.score_threshold = shared * len(self._alarming)
        self.rare_threshold = np.array([a.threshold(rare=True, both=b) for a, b in pairs])

    def update(self, closed: NDArray[np.int64], end: int) -> None:
        """Show the closed blocks of these streams, which end before bucket `end`."""
        scorer, blocks, owner = self.scorer, self._blocks, self._owner
        scorer.score(closed, blocks, end)
        smooth = self._smooth
        n = np.where(smooth & (scorer.n > 0), scorer.total[owner], scorer.n)
        units = np.where(smooth, blocks.extra[owner, 2], blocks.counts[self._counted_bin])
        self.sr.update(closed, scorer.scores, (n, scorer.value, units, blocks.start))
        self.rare.update(closed, (scorer.rare, scorer.total), blocks.start)
        now = np.zeros(len(self.strength), np.bool_)
        now[closed] = True
        fresh = now[owner] & (scorer.n > 0)
        self.sights.update((closed, end), fresh, n)
        self._beside.update(fresh, scorer.scores, end)
        score = self.sr.evidence[closed] / self.score_threshold[closed]
        rare = self.rare.evidence[closed] / self.rare_threshold[closed]
        others = self._beside.alarms(closed, end).astype(np.float64)
        own = score if "sr" in self._alarming else np.zeros(len(closed))
        self.strength[closed] = np.maximum(np.maximum(own, rare), others)

    def evidence(self, j: int) -> tuple[float, float, bool]:
        """Give the stronger of stream j's two watches: evidence, threshold, is it the rare one."""
        score, limit = float(self.sr.evidence[j]), float(self.score_threshold[j])
        rare, rare_limit = float(self.rare.evidence[j]), float(self.rare_threshold[j])
        if rare / rare_limit > score / limit:
            return rare, rare_limit, True
        return score, limit, False

    def alarm(self, j: int) -> Alarm:
        """Describe the evidence of a stream that has reached its threshold."""
        stream = self.profile.streams[j]
        channel = self.profile.channels[stream.channel]
        if self.evidence(j)[2]:
            return rare_alarm(channel, stream, self.rare.lead_of(j))
        lead = self.sr.lead_of(j)
        stat = stream.reference.statistics[lead.statistic - int(self.sr.first[j])]
        alarm = score_alarm(channel, stream, stat, lead)
        if stat.bin < 0 or stream.missing:
            return alarm
        return msgspec.structs.replace(alarm, shares=self._shares(j, lead))

    def _shares(self, j: int, lead: Lead) -> dict[str, tuple[float, float]]:
        """Give the shares, before and now, of the categories that moved most since the onset."""
        stream = self.profile.streams[j]
        reference = stream.reference
        channel = self.profile.channels[stream.channel]
        moved = []
        for d, stat in enumerate(reference.statistics, int(self.sr.first[j])):
            before = reference.counts[stat.bin] / reference.n_scored
            for side in range(2):
                at = (d, side, lead.shift)
                if self.sr.gain[at] > 0 and self.sr.onset[at] >= 2 * lead.onset - self.sights.end:
                    now = int(self.sr.sums_units[at]) / max(int(self.sr.sums_n[at]), 1)
                    moved.append((abs(now - before), stat, before, now))
        moved.sort(key=lambda one: -one[0])
        return {
            category_of(channel, stream, stat.bin) or "": (before, now)
            for _, stat, before, now in moved[:_SHARES_TOLD]
        }

    @property
    def watched(self) -> NDArray[np.int64]:
        """Number the statistics that are watched by more than the mixture, in its arrays' order."""
        return self._beside.watched

    def named(self, j: int, alarm: Alarm) -> tuple[str, ...]:
        """Name the detectors that say so: what alarmed, and those that agree since the onset."""
        evidence, limit, rare = self.evidence(j)
        mixture = (f"sr:{alarm.statistic}",) if rare or evidence >= limit else ()
        return (*mixture, *self._beside.since(j, alarm.onset))

    def verdicts(
        self, closed: NDArray[np.int64], end: int
    ) -> tuple[list[float], list[dict[str, bool]]]:
        """Say what each detector thinks of these blocks; the mixture's 1 alarms."""
        score = self.sr.evidence[closed] / self.score_threshold[closed]
        rare = self.rare.evidence[closed] / self.rare_threshold[closed]
        return rounded(np.where(rare > score, rare, score)), self._beside.verdicts(closed, end)

    def scores(self, closed: NDArray[np.int64]) -> list[dict[str, float]]:
        """Give the standardised scores of these streams' blocks, shares by their category."""
        first = self.scorer.stats.first
        sizes = np.diff(first)[closed]
        stops = np.cumsum(sizes)
        places = np.arange(int(sizes.sum())) + np.repeat(first[closed] - stops + sizes, sizes)
        values = iter(rounded(self.scorer.scores[places]))
        return [dict(zip(self._score_names[j], values, strict=False)) for j in closed.tolist()]

    def _named_scores(self, stream: Stream) -> tuple[str, ...]:
        """Name a stream's scores."""
        categories = self.profile.channels[stream.channel].categories
        return tuple(
            f"share:{categories[stat.bin]}"
            if stat.bin >= 0 and not stream.missing and stat.bin < len(categories)
            else stat.name
            for stat in stream.reference.statistics
        )

    def distances(self, j: int) -> dict[str, float]:
        """Measure how far stream j's block is from the reference, over the reference's bins."""
        if j >= self._blocks.table.binned:
            return {}
        counts = self._blocks.bins(j)
        reference = np.array(self.profile.streams[j].reference.counts, np.int64)
        return {
            "psi": nine_digits(float(psi(counts, reference))),
            "js": nine_digits(float(jensen_shannon(counts, reference))),
        }

    def reset(self, j: int) -> None:
        """Restart the alarming detectors of stream j."""
        self.sr.reset(j)
        self.rare.reset(j)
        self._beside.reset(j)
        self.strength[j] = 0.0

    @property
    def _parts(self) -> dict[str, Any]:
        banks = {"scorer": self.scorer, "sr": self.sr, "rare": self.rare}
        return banks | {"beside": self._beside, "tally": self.sights.tally}

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Give the state of all detectors as named arrays."""
        state = {
            f"{name}.{key}": array
            for name, part in self._parts.items()
            for key, array in part.snapshot().items()
        }
        return state | {"strength": self.strength}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Take the state of all detectors from a snapshot."""
        for name, part in self._parts.items():
            keys = [key for key in state if key.startswith(f"{name}.")]
            part.restore({key.removeprefix(f"{name}."): state[key] for key in keys})
        self.strength[:] = state["strength"]
