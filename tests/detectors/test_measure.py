"""Metrics: mean, sd and quantiles of a block are those of its events, as far as bins can tell."""

import re

import logs
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.alert import Metric, encode
from detectors.measure import binned_quantiles, mean_and_sd
from detectors.profile import Channel
from detectors.rate import SILENT_BLOCKS_MAX, RateMeter


def metrics_of(channel: str) -> tuple[list[Metric], np.ndarray]:
    """Judge a log in blocks of 60 s; give a channel's metrics over all events, and its values."""
    log = logs.events(3_000, seed=3)
    found = logs.judged(log, logs.book(logs.profile()), metrics=True)
    name = channel.partition(":")[2]
    values = np.array([np.nan if e.features[name] is None else e.features[name] for e in log])
    return [m for m in found if m.channel == channel and not m.slice], values


def test_a_blocks_mean_and_sd_are_those_of_its_events() -> None:
    metrics, values = metrics_of("feature:amount")
    assert sum(m.n for m in metrics) == 3_000
    at = 0
    for m in metrics:
        block = values[at : at + m.n]
        at += m.n
        assert m.mean == pytest.approx(block.mean(), rel=1e-3)
        assert m.sd == pytest.approx(block.std(), rel=5e-3)


def test_a_blocks_quantiles_are_those_of_its_events_within_a_bin() -> None:
    metrics, values = metrics_of("feature:amount")
    at, off = 0, []
    for m in metrics:
        block = values[at : at + m.n]
        at += m.n
        off += [abs(np.mean(block <= value) - float(q)) for q, value in m.quantiles.items()]
    assert max(off) < 0.12


def test_missing_values_are_counted_beside_the_others() -> None:
    metrics, values = metrics_of("feature:age")
    assert sum(m.missing for m in metrics) == np.isnan(values).sum()
    assert sum(m.n for m in metrics) == np.isfinite(values).sum()


def test_the_metric_of_missing_values_has_their_share_as_its_mean() -> None:
    log = logs.events(3_000, seed=3)
    found = logs.judged(log, logs.book(logs.profile()), metrics=True)
    for m in found:
        if m.channel == "missing:age":
            assert m.mean == pytest.approx(m.missing / m.n, rel=1e-8)


def test_no_number_in_a_metric_has_more_than_nine_digits() -> None:
    for m in logs.judged(logs.events(2_000, seed=4), logs.book(logs.profile()), metrics=True):
        for number in re.findall(rb"\d+\.\d+(?:e-?\d+)?", encode(m)):
            assert len(number.split(b"e")[0].replace(b".", b"").lstrip(b"0")) <= 9, number


def test_a_metric_is_json_with_the_published_fields() -> None:
    metric = logs.judged(logs.events(500, seed=4), logs.book(logs.profile()), metrics=True)[0]
    fields = msgspec.json.decode(encode(metric))
    assert list(fields)[:6] == ["schema", "model", "version", "channel", "slice", "block"]
    assert set(fields["distances"]) == {"psi", "js"}
    assert set(fields["detectors"]) == {"sr", "adwin", "page_hinkley"}


@given(st.lists(st.integers(-65_536, 65_536), min_size=1, max_size=50))
def test_mean_and_sd_come_from_exact_sums(q: list[int]) -> None:
    channel = Channel("x", "numeric", centre=100.0, scale=4.0)
    squares = sum(x * x for x in q)
    mean, sd = mean_and_sd(channel, len(q), (sum(q), squares >> 32, squares & 0xFFFFFFFF))
    values = 100 + 4 * np.array(q) / 1024
    assert mean == pytest.approx(values.mean(), rel=1e-12)
    assert sd == pytest.approx(values.std(), rel=1e-6, abs=1e-6)


@given(st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any))
def test_quantiles_rise_and_stay_within_the_known_range(counts: list[int]) -> None:
    channel = Channel("x", "numeric", edges=(0.0, 1.0, 5.0, 6.0))
    low, middle, high = binned_quantiles(channel, np.array(counts)).values()
    assert 0.0 <= low <= middle <= high <= 6.0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=10), st.data())
def test_rates_are_the_same_in_steps_of_any_size(
    steps: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole, split = RateMeter(1, 6), RateMeter(1, 6)
    found: list[list[tuple[int, int]]] = [[], []]
    at = 100
    for gap, events in steps:
        for now in sorted(data.draw(st.lists(st.integers(at, at + gap), max_size=4))):
            found[1] += [(block, int(n[0])) for block, n in split.advance(now)]
        at += gap
        for meter, seen in ((whole, found[0]), (split, found[1])):
            seen += [(block, int(n[0])) for block, n in meter.advance(at)]
            meter.add(at, np.array([events]))
    assert found[0] == found[1]
    blocks = [block for block, _ in found[0]]
    assert [b - blocks[0] for b in blocks] == list(range(len(blocks)))


def test_one_leap_over_a_long_silence_reports_a_bounded_number_of_blocks() -> None:
    meter = RateMeter(1, 6)
    meter.add(0, np.array([5]))
    found = list(meter.advance(10**9))
    assert len(found) == SILENT_BLOCKS_MAX
    meter.add(10**9, np.array([7]))
    assert [(b, n.tolist()) for b, n in meter.advance(10**9 + 6)] == [(10**9 // 6, [7])]
