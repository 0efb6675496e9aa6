"""A page of metrics is at most 1 MiB, however many models and partitions there are."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from scraped import samples

from detectors.errors import ConfigError
from stream import metrics
from stream.config_file import load_config
from stream.metrics import JudgeSeries, ObserveSeries
from tests.soak.core import METRICS_BYTES_MAX

MODELS, EVENTS_PARTITIONS, SUMMARIES_PARTITIONS = 20_000, 10_000, 1_000
PREFIX = "p" * 200
W_MS = 1_767_225_600_123
SPENT = [7_919 * i % MODELS / 1_000 for i in range(MODELS)]
PLAIN = {f"model-{i}": SPENT[i] for i in range(MODELS)}
# Some bytes of it are written as two, and some characters have two.
LONG = {f"{i}" + '"' * 500 + "é" * 500: SPENT[i] for i in range(MODELS)}


def monitor(spent: dict[str, float]) -> Any:
    """Stand for the judges of a partition: what the series read of them."""
    judges = {
        model: SimpleNamespace(
            profile=SimpleNamespace(model=model),
            budget_spent=of_model,
            counts=SimpleNamespace(judged=10**12, late=10**12),
            life=SimpleNamespace(open=[None] * 7, incidents=SimpleNamespace(open=[None] * 7)),
        )
        for model, of_model in spent.items()
    }
    order = SimpleNamespace(horizon=lambda: W_MS)
    return SimpleNamespace(judges=judges, order=order, pending_bytes=10**12)


def judge(spent: dict[str, float]) -> JudgeSeries:
    series = JudgeSeries()
    for partition in range(SUMMARIES_PARTITIONS):
        models = dict([*spent.items()][partition::SUMMARIES_PARTITIONS])
        series.show(str(partition), monitor(models))
        series.show_wait(str(partition), 12_345.678_901)
        series.show_lag((f"{PREFIX}.summaries", partition), 10**12)
    return series


def observe(_: dict[str, float]) -> ObserveSeries:
    series = ObserveSeries()
    for topic in ("events", "outcomes"):
        for partition in range(EVENTS_PARTITIONS):
            tp = f"{PREFIX}.{topic}", partition
            series.show(tp, W_MS - partition)
            series.show_lag(tp, partition)
    return series


@pytest.mark.parametrize(
    ("make", "spent"),
    [(judge, PLAIN), (judge, LONG), (observe, {})],
    ids=["judge", "judge, long names", "observe"],
)
def test_a_page_of_metrics_is_at_most_1_mib(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[dict[str, float]], Any],
    spent: dict[str, float],
) -> None:
    assert len(make(spent).render()) <= METRICS_BYTES_MAX
    monkeypatch.setattr(metrics, "GAUGE_BYTES_MAX", 1 << 40)
    assert len(make(spent).render()) > METRICS_BYTES_MAX


@pytest.mark.parametrize(
    ("name", "most"), [("EVENTS", EVENTS_PARTITIONS), ("SUMMARIES", SUMMARIES_PARTITIONS)]
)
def test_there_are_no_more_partitions_than_these(name: str, most: int) -> None:
    key = f"DRIFTLINE_KAFKA_{name}_PARTITIONS"
    load_config(None, {key: str(most)})
    with pytest.raises(ConfigError, match=f"allowed is 1 to {most}"):
        load_config(None, {key: str(most + 1)})


def check_folded(page: bytes, name: str, labels: int) -> tuple[set[tuple[str, ...]], float]:
    """Check the count of what is folded; give what is shown, and the value of the rest."""
    shown = samples(page, name)
    rest = shown.pop(("__other__",) * labels)
    assert samples(page, "driftline_labels_folded")[name,] == COUNTS[name] - len(shown)
    assert 500 < len(shown) < COUNTS[name] - 500
    return set(shown), rest


COUNTS = {
    "driftline_alarm_budget_spent": MODELS,
    "driftline_consumer_lag_records": 2 * EVENTS_PARTITIONS,
    "driftline_watermark_timestamp_seconds": 2 * EVENTS_PARTITIONS,
}


def test_what_is_folded_is_counted_and_the_worst_of_it_is_shown() -> None:
    shown, rest = check_folded(judge(PLAIN).render(), "driftline_alarm_budget_spent", 1)
    assert rest == max(spent for model, spent in PLAIN.items() if (model,) not in shown)
    page = observe({}).render()
    last = EVENTS_PARTITIONS - 1
    assert check_folded(page, "driftline_consumer_lag_records", 2)[1] == last
    behind = check_folded(page, "driftline_watermark_timestamp_seconds", 2)[1]
    assert behind == (W_MS - last) / 1_000


def test_nothing_is_folded_where_there_is_room_or_room_is_made() -> None:
    series = observe({})
    for topic in ("events", "outcomes"):
        for partition in range(100, EVENTS_PARTITIONS):
            series.show_lag((f"{PREFIX}.{topic}", partition), None)
    series.forget()
    page = series.render()
    assert len(samples(page, "driftline_consumer_lag_records")) == 200
    assert samples(page, "driftline_watermark_timestamp_seconds") == {}
    assert set(samples(page, "driftline_labels_folded").values()) == {0.0}
