"""What only long references, months of alarms and unusual configurations bring into records."""

from datetime import date

import msgspec

from detectors.incident import OpenIncident
from detectors.monitor import MonitorState
from detectors.policy import Policy
from detectors.profile import Profile, Statistic, seal
from detectors.season import Calendar, Season
from stream.config import Config, DetectConfig, SlicesConfig, TimeConfig

__all__ = ["EVERY_KEY", "as_after_months", "every_field"]

# Each key as nobody has it by default.
EVERY_KEY = Config(
    time=TimeConfig(
        preset="batchy",
        pane_seconds=3,
        bucket_seconds=20,
        block_seconds=120,
        lateness_seconds=7,
        tick_seconds=3,
        ticks=False,
        zone="Europe/Berlin",
        holidays=(date(2026, 12, 25),),
    ),
    slices=SlicesConfig(by=(("country",), ("country", "device"))),
    detect=DetectConfig(
        detectors=("sr", "adwin"), block_events=70, learn_days=3.0, learn_blocks=400
    ),
    policy=Policy(alarm_budget="2/week", min_effect_sigma=0.2, min_effect_relative=0.3),
)


def every_field(profile: Profile) -> Profile:
    """Give a profile of another model that holds what only long references and pushes bring."""

    def known(one: Statistic) -> Statistic:
        season = Season((0.25,) * 24, (0.5,) * 7, (0.125,) * 168)
        return msgspec.structs.replace(
            one, season=season, phi=0.5, theta=0.25, delta=0.125, widened=1.5
        )

    first, second, *_ = profile.streams
    seasoned = msgspec.structs.replace(
        first.reference, statistics=tuple(map(known, first.reference.statistics))
    )
    young = msgspec.structs.replace(second.reference, learning="2 days are too short.")
    return seal(
        msgspec.structs.replace(
            profile,
            model="seasoned",
            calendar=Calendar("Europe/Berlin", ((0, 3600), (1_774_746_000_000, 7200)), (20_000,)),
            parent=profile.hash,
            versions=("1", "2"),
            streams=(
                msgspec.structs.replace(first, reference=seasoned),
                msgspec.structs.replace(second, reference=young),
            ),
        )
    )


def as_after_months(state: MonitorState) -> MonitorState:
    """Let an open incident have forgotten findings and be surer, as after hundreds of alarms."""

    def aged(one: OpenIncident) -> OpenIncident:
        over = msgspec.structs.replace(one.findings[0], alert="0" * 32, open=False)
        known = [
            msgspec.structs.replace(witness, slice=1, share=0.75, sure=3.5)
            for witness in one.witnesses
        ]
        mild = [
            msgspec.structs.replace(finding, severity="warning")
            for finding in (over, *one.findings)
        ]
        return msgspec.structs.replace(
            one, findings=mild, witnesses=known, forgotten=3, worst="critical"
        )

    models = {
        term: msgspec.structs.replace(model, incidents=[aged(one) for one in model.incidents])
        for term, model in state.models.items()
    }
    return msgspec.structs.replace(state, models=models)
