"""Backtest: the five channels that change are found soon, and nothing else ever is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import loans
import logs
import msgspec
import numpy as np
import pytest

from detectors.alert import Alert, encode
from detectors.channels import FitOptions
from detectors.errors import ConfigError
from detectors.events import Event, Limits
from detectors.fit import fit
from detectors.policy import Policy
from detectors.profile import Profile
from stream.backtest import Backtest
from stream.config import ColumnsConfig, Config
from stream.decode.json_events import decode
from stream.sources import read_rows

LATEST_EVENTS = 1_000


def events_of(path: Path, columns: ColumnsConfig) -> list[Event]:
    found: list[Event] = []
    for rows, _ in read_rows(path, columns, Limits()):
        found += decode([row.value for row in rows], None, Config().limits).events
    return found


def alerts_of(run: Backtest, paths: Sequence[Path]) -> list[Alert]:
    return [effect for effect in run.run(paths) if isinstance(effect, Alert)]


@dataclass(frozen=True)
class Found:
    """Hold what a backtest fired, and when the log had changed."""

    fired: list[Alert]
    times_ms: list[int]
    at: int

    @property
    def early(self) -> list[str]:
        """Give the alerts that fired before anything had changed."""
        change = self.times_ms[self.at]
        return [a.summary for a in self.fired if logs.instant_ms(a.time) <= change]

    def over_all(self, channels: Sequence[str]) -> list[Alert]:
        """Give the alerts over all events of these channels."""
        return [a for a in self.fired if not a.slice and a.channel in channels]

    def events_to(self, channel: str) -> int:
        """Count the events from the change to the first alert of a channel over all events."""
        first = min(logs.instant_ms(a.time) for a in self.over_all([channel]))
        return int(np.searchsorted(self.times_ms, first)) - self.at


def found_in(reference: list[Event], path: Path, config: Config, at: int) -> Found:
    """Fit a reference and backtest a file whose event `at` is the first that changed."""
    profile = fit(reference, FitOptions(), Policy())
    fired = [a for a in alerts_of(Backtest(config, [profile]), [path]) if a.status == "firing"]
    return Found(fired, [e.time_ms for e in events_of(path, config.columns)], at)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("loans")
    reference, path = folder / "reference.jsonl", folder / "loans.jsonl"
    reference.write_bytes(b"".join(loans.lines(30_000, seed=1)))
    path.write_bytes(b"".join(loans.lines(30_000, seed=2, first=30_000, at=15_000)))
    return found_in(events_of(reference, ColumnsConfig()), path, Config(), 15_000)


class TestOnTheGeneratedLoans:
    """The generated log stands in for the real one wherever that is not."""

    @pytest.mark.parametrize("channel", loans.CHANGED)
    def test_a_changed_channel_fires_within_a_thousand_events(
        self, generated: Found, channel: str
    ) -> None:
        assert 0 < generated.events_to(channel) <= LATEST_EVENTS

    def test_nothing_fires_before_the_change(self, generated: Found) -> None:
        assert generated.early == []

    def test_nothing_ever_fires_on_what_did_not_change(self, generated: Found) -> None:
        assert generated.over_all(loans.SAME) == []


CAR_CHANGED = ("car_value", "loan_length", "salary_range", "repaid_loan_on_prev_car")
CAR_SAME = ("debt_to_income_ratio", "driver_tenure", "size_of_downpayment")


@pytest.fixture(scope="module")
def car_loan(shared_data: Path) -> Found:
    folder = shared_data / "car_loan"
    columns = ColumnsConfig(
        time="timestamp",
        id="id",
        model_name="car_loan",
        prediction="y_pred_proba",
        features=(*CAR_CHANGED, *CAR_SAME),
        segments=("salary_range",),
    )
    reference = events_of(folder / "synthetic_car_loan_reference.csv.gz", columns)
    path = folder / "synthetic_car_loan_analysis.csv.gz"
    return found_in(reference, path, msgspec.structs.replace(Config(), columns=columns), 25_000)


class TestOnTheCarLoans:
    """The real log, used where it lies beside the repository."""

    @pytest.mark.parametrize("channel", [*(f"feature:{c}" for c in CAR_CHANGED), "prediction"])
    def test_a_changed_channel_fires_within_a_thousand_events(
        self, car_loan: Found, channel: str
    ) -> None:
        assert 0 < car_loan.events_to(channel) <= LATEST_EVENTS

    def test_nothing_fires_before_the_change_slices_included(self, car_loan: Found) -> None:
        assert car_loan.early == []

    def test_nothing_ever_fires_on_what_did_not_change(self, car_loan: Found) -> None:
        assert car_loan.over_all([f"feature:{c}" for c in CAR_SAME]) == []


def shop_file(path: Path, log: Sequence[Event], *, record_delay_ms: int | None = None) -> Path:
    """Write a log as a table."""
    names = ["time", "record", "score", "label", "country", "amount", "age", "plan", "active"]
    rows = [",".join(names)]
    for e in log:
        f = e.features
        recorded = _text(e.time_ms + (record_delay_ms or 0))
        fields = [_text(e.time_ms), recorded, e.score, e.label, e.segments["country"]]
        fields += [f["amount"], f["age"], f["plan"], f["active"]]
        rows.append(",".join("" if v is None else str(v) for v in fields))
    path.write_text("\n".join(rows) + "\n")
    return path


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


SHOP = ColumnsConfig(
    time="time",
    model_name="shop",
    prediction="score",
    label="label",
    segments=("country",),
    features=("amount", "age", "plan", "active"),
)


def shop_config(**columns: object) -> Config:
    return msgspec.structs.replace(Config(), columns=msgspec.structs.replace(SHOP, **columns))


@pytest.fixture(scope="module")
def shop() -> Profile:
    return fit(
        [
            msgspec.structs.replace(e, version=None, latency_seconds=None)
            for e in logs.events(20_000, seed=1)
        ],
        logs.SHORT,
        Policy(),
    )


BROKEN = logs.events(6_000, seed=21, shifts=(logs.Shift(3_000, 1.5, "DE"),))


def test_a_table_gives_the_alerts_of_its_events_and_counts_every_row(
    tmp_path: Path, shop: Profile
) -> None:
    run = Backtest(shop_config(), [shop])
    found = alerts_of(run, [shop_file(tmp_path / "log.csv", BROKEN)])
    assert {a.channel for a in found} == {"feature:amount"}
    assert {tuple(a.slice.values()) for a in found} <= {(), ("DE",)}
    totals = run.totals
    assert (totals.read, totals.accepted, totals.judged, totals.late) == (6_000, 6_000, 6_000, 0)


def test_a_record_time_column_gives_the_same_alerts_through_kafkas_panes(
    tmp_path: Path, shop: Profile
) -> None:
    plain = Backtest(shop_config(), [shop])
    timed = Backtest(shop_config(record_time="record"), [shop])
    path = shop_file(tmp_path / "log.csv", BROKEN, record_delay_ms=700)
    assert list(map(encode, alerts_of(timed, [path]))) == list(
        map(encode, alerts_of(plain, [path]))
    )


def test_two_files_one_after_the_other_are_one_log(tmp_path: Path, shop: Profile) -> None:
    whole = shop_file(tmp_path / "whole.csv", BROKEN)
    halves = [shop_file(tmp_path / f"{i}.csv", BROKEN[i : i + 2_500]) for i in (0, 2_500, 5_000)]
    first, second = (Backtest(shop_config(), [shop]) for _ in range(2))
    assert alerts_of(first, [whole]) == alerts_of(second, halves)


def test_a_row_out_of_order_is_refused_with_its_number_and_what_to_do(
    tmp_path: Path, shop: Profile
) -> None:
    log = [*BROKEN[:50], BROKEN[20], *BROKEN[50:60]]
    with pytest.raises(ConfigError, match=r"Row 51 of .* more than 5 s older .*--sort"):
        alerts_of(Backtest(shop_config(), [shop]), [shop_file(tmp_path / "log.csv", log)])


def test_rows_out_of_order_within_lateness_change_nothing(tmp_path: Path, shop: Profile) -> None:
    swapped = [BROKEN[i ^ 3] for i in range(len(BROKEN))]
    first, second = (Backtest(shop_config(), [shop]) for _ in range(2))
    sorted_file = shop_file(tmp_path / "sorted.csv", BROKEN)
    assert alerts_of(second, [shop_file(tmp_path / "swapped.csv", swapped)]) == alerts_of(
        first, [sorted_file]
    )


def test_rejects_and_models_without_a_profile_are_counted_and_change_nothing(
    tmp_path: Path, shop: Profile
) -> None:
    path = tmp_path / "log.jsonl"
    table = shop_file(tmp_path / "source.csv", BROKEN)
    good = [row.value for rows, _ in read_rows(table, SHOP, Limits()) for row in rows]
    noisy = [
        line for event in good for line in (event, b"{broken", event.replace(b'"shop"', b'"toys"'))
    ]
    path.write_bytes(b"\n".join(noisy) + b"\n")
    clean = tmp_path / "clean.jsonl"
    clean.write_bytes(b"\n".join(good) + b"\n")
    first, second = (Backtest(Config(), [shop]) for _ in range(2))
    assert alerts_of(first, [path]) == alerts_of(second, [clean])
    assert first.totals.rejected["json"] == len(good)
    assert first.totals.unprofiled["toys"] == len(good)
    assert first.totals.judged == len(good)


def test_an_empty_file_gives_nothing(tmp_path: Path, shop: Profile) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")
    run = Backtest(Config(), [shop], metrics=True)
    assert list(run.run([path])) == []
    assert run.totals.read == 0


def test_progress_adds_up_to_the_files_bytes(tmp_path: Path, shop: Profile) -> None:
    path = shop_file(tmp_path / "log.csv", BROKEN)
    steps: list[int] = []
    list(Backtest(shop_config(), [shop]).run([path], steps.append))
    assert sum(steps) == path.stat().st_size
