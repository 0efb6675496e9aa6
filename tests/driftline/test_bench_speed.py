"""`driftline bench …`: ratios, the gate, totals and the page, and that each verifier can fail."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from detectors.errors import ConfigError, DriftlineError
from detectors.events import Limits
from driftline.bench import decode, detectors, environments
from driftline.bench.emission import drifting, timed
from driftline.bench.environments import NotRunError, environment
from driftline.bench.events import FEATURES, Shape, events
from driftline.bench.gate import Checked, baseline_of, check, read_baseline
from driftline.bench.latency import Seen, quantiles
from driftline.bench.libraries import Window
from driftline.bench.options import Options
from driftline.bench.page import write_page
from driftline.bench.results import Ratio, Result, Told, interleaved, read_results, write_result
from driftline.bench.targets import TARGETS, targets_table
from driftline.bench.totals import check_totals, true_totals
from driftline.bench_names import BENCHES as NAMES
from driftline.cli import app
from stream.decode.json_events import decode as decode_events
from stream.packing import packed
from stream.records import Records

QUIET = Told(lambda _: None, lambda _: None)
RATES = ({"a": 60.0, "b": 2.0, "c": 3.0}, {"a": 50.0, "b": 1.0}, {"b": 4.0})
FOUND = Result(
    bench="throughput",
    says="Topics are filled.",
    unit="events/s",
    rounds=RATES,
    ratios=(Ratio("hot path / naive", "a", ("b", "c")), Ratio("absent", "x", ("b",))),
    figures={"us": 2.5},
    not_run={"x": "it is not here"},
    machine=("a machine",),
    command="driftline bench throughput",
    taken="2026-01-01",
)


def test_a_ratio_is_taken_within_a_round_against_the_best_of_the_others() -> None:
    assert FOUND.ratio("hot path / naive") == (50.0, 35.0)
    assert FOUND.ratio("absent") is None
    assert FOUND.rate("b") == (4.0, 2.0)


def test_contenders_take_turns() -> None:
    turns: list[str] = []
    contenders = {name: lambda name=name: float(len(turns.append(name) or name)) for name in "ab"}
    assert list(interleaved(contenders, 2, QUIET)) == [{"a": 1.0, "b": 1.0}] * 2
    assert turns == ["a", "b", "a", "b"]


@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (0.86, True), (0.84, False)])
def test_the_gate_fails_at_a_drop_of_15_percent(factor: float, holds: bool) -> None:
    baseline = baseline_of([FOUND])
    slower = tuple(rates | {"a": 50.0 * factor * 0.7} for rates in RATES[1:2])
    now = msgspec.structs.replace(FOUND, rounds=slower)
    found = check(baseline, [now])
    assert [one.name for one in found] == ["hot path / naive"]
    assert found[0].stored == 35.0
    assert found[0].holds is holds


def test_a_ratio_that_is_no_longer_measured_fails() -> None:
    assert not check(baseline_of([FOUND]), [])[0].holds
    assert not Checked("throughput", "a", stored=1.0, now=None).holds


def test_the_gate_says_how_to_make_a_baseline(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--update"):
        read_baseline(tmp_path / "none.json")


def test_results_survive_a_file_and_a_broken_one_is_named(tmp_path: Path) -> None:
    write_result(tmp_path / "throughput.json", FOUND)
    assert read_results(tmp_path, ["throughput", "peers"]) == [FOUND]
    (tmp_path / "peers.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"peers\.json"):
        read_results(tmp_path, ["peers"])


def test_the_page_says_what_was_met_missed_and_not_measured_and_keeps_prose(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    write_page(page, [FOUND])
    text = page.read_text()
    assert "| ≥ 50 x | 50 x | met |" in text
    text = text.replace("<!-- why:throughput -->\n", "<!-- why:throughput -->\nTurbo.\n")
    page.write_text(text)
    slow = msgspec.structs.replace(FOUND, rounds=({"a": 40.0, "b": 1.0},))
    write_page(page, [slow])
    written = page.read_text()
    assert "| ≥ 50 x | 40 x | **missed** by 20% |" in written
    assert "not measured" in written
    assert "35 times the events of a naive" in text
    assert "Turbo." in written
    assert "it is not here" in written
    assert (tmp_path / "performance-throughput.svg").exists()


def test_every_target_names_a_bench_that_exists() -> None:
    assert {target.bench for target in TARGETS} <= NAMES.keys()
    assert len(targets_table([]).rows) == len(TARGETS)


def test_a_target_can_be_a_most_and_a_computed_bound() -> None:
    memory = {"20,000 streams: largest role MiB": 900.0, "20,000 streams: bound MiB": 800.0}
    found = msgspec.structs.replace(FOUND, bench="memory", figures=memory)
    row = targets_table([found]).rows[-1]
    assert row[1:] == ("≤ 800 MiB, computed", "900 MiB", "**missed** by 12%")


def test_totals_are_whole_and_half_a_job_is_refused() -> None:
    log = list(events(30_000, 1))
    true = true_totals(log)
    assert {key.partition("|")[0] for key in true} == {
        "all", "country=DE", "country=FR", "country=GB", "country=US",
        "device=android", "device=ios", "device=web",
    }  # fmt: skip
    assert sum(cell[0, 0] for key, cell in true.items() if key.startswith("all|")) == 30_000
    check_totals("twin", true_totals(iter(log)), true)
    for broken in (_without_a_cell(true), _with_an_event_more(true), _with_another_sum(true)):
        with pytest.raises(DriftlineError, match="means nothing"):
            check_totals("peer", broken, true)


def _without_a_cell(true: dict) -> dict:
    return dict(list(true.items())[1:])


def _with_an_event_more(true: dict) -> dict:
    first = next(iter(true))
    cell = true[first].copy()
    cell[0, 5] += 1
    return {**true, first: cell}


def _with_another_sum(true: dict) -> dict:
    first = next(iter(true))
    cell = true[first].copy()
    cell[0, 1] += 1e-3
    return {**true, first: cell}


def test_alarms_that_differ_from_rivers_are_refused() -> None:
    detectors.same_alarms("ADWIN", [[1, 2], [1, 2], [1, 2]])
    with pytest.raises(DriftlineError, match="first difference at value 2"):
        detectors.same_alarms("ADWIN", [[1, 2], [1], [1, 2]])


def test_every_decoder_of_the_bench_takes_every_event() -> None:
    values = next(events(50, 1))
    batch = decode.Batch(values, Records.of_values(values))
    assert {name: each(batch) for name, each in decode.contenders().items()} == dict.fromkeys(
        ("scanner", "typed", "strict", "orjson", "msgspec"), 50
    )
    messages = [Records.of_values([value]) for value in packed(values, 20, Limits())]
    assert list(map(decode.arrow(), messages)) == [20, 20, 10]


def test_the_short_form_of_detectors_finds_the_same_alarms_as_river() -> None:
    found = detectors.run(Options(rounds=1, short=True), QUIET)
    assert found.ratio("ADWIN bank / river") is not None
    assert found.figures["Page-Hinkley: alarms"] > 0


def test_driftlines_window_gives_the_distances_of_a_shift() -> None:
    draw = np.random.default_rng(1)
    reference, window = draw.standard_normal((2, 20_000, 3))
    window[:, 1] += 0.5
    psi, js, ks, mean = Window(reference).compare(window).T
    assert psi[1] > 0.2 > 20 * psi[[0, 2]].max()
    assert js[1] > 20 * js[[0, 2]].max()
    assert ks[1] == pytest.approx(0.197, abs=0.02)
    assert mean == pytest.approx(window.mean(axis=0), abs=1e-3)


def test_emitted_events_carry_the_time_of_now_and_drift() -> None:
    pool = next(events(20, 1))
    before = decode_events(timed(drifting(pool, 0), 1_700_000_000_250), None, _limits()).events
    after = decode_events(timed(drifting(pool, 2), 1_700_000_000_250), None, _limits()).events
    assert {event.time_ms for event in before + after} == {1_700_000_000_250}
    moved = [b.features["f1"] - a.features["f1"] for a, b in zip(before, after, strict=True)]
    assert moved == pytest.approx([2.0] * 20)
    assert all(a.features["f2"] == b.features["f2"] for a, b in zip(before, after, strict=True))


def _limits() -> object:
    from detectors.events import Limits

    return Limits()


def test_quantiles_count_what_was_seen_and_leave_out_what_was_not() -> None:
    found = quantiles(Seen([1.0, 2.0, 3.0], [], [5.0], []))
    assert found["alert p50 ms"] == 2.0
    assert found["alert records"] == 3.0
    assert "metric p50 ms" not in found


def test_wide_events_have_stores() -> None:
    chunk = decode_events(next(events(300, 1, shape=Shape(12, 5))), None, _limits()).events
    assert {event.segments["store"] for event in chunk} == {f"s000{k}" for k in range(5)}
    assert len(chunk[0].features) == 12 > len(FEATURES)


def test_what_cannot_be_had_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environments, "driftline_home", lambda: tmp_path)
    monkeypatch.setattr(environments.sys, "executable", "/bin/false")
    with pytest.raises(NotRunError, match="false failed"):
        environment("peer", ("numpy",), QUIET)
    monkeypatch.setattr(environments.shutil, "which", lambda _: None)
    with pytest.raises(NotRunError, match="no Maven"):
        environments.built_with_maven(QUIET)


def test_every_bench_has_a_command_and_runs() -> None:
    from driftline.bench.suite import BENCHES, GATED

    assert BENCHES.keys() == NAMES.keys()
    assert set(GATED) <= BENCHES.keys()
    for name in BENCHES:
        done = CliRunner().invoke(app, ["bench", name, "--help"])
        assert done.exit_code == 0, done.output


def test_a_bench_writes_its_result_as_json(tmp_path: Path) -> None:
    path = tmp_path / "decode.json"
    words = ["bench", "decode", "--events", "500", "--rounds", "1", "--json", str(path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    result = msgspec.json.decode(path.read_bytes(), type=Result)
    assert result.command == "driftline bench decode --rounds 1 --seed 1 --events 500"
    assert result.rate("typed").best > 0


def test_the_report_gathers_and_refuses_an_unknown_bench(tmp_path: Path) -> None:
    write_result(tmp_path / "throughput.json", FOUND)
    page = tmp_path / "page.md"
    words = ["bench", "report", "--results", str(tmp_path), "--page", str(page)]
    assert CliRunner().invoke(app, [*words, "--gather"]).exit_code == 0
    assert "## throughput" in page.read_text()
    assert CliRunner().invoke(app, [*words, "--only", "nothing"]).exit_code == 2
