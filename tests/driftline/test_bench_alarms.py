"""`driftline bench alarms`: the short form meets its targets, and a broken profile misses them."""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from driftline.bench.alarms import nulls
from driftline.bench.alarms.results import Size, Target
from driftline.bench.alarms.suite import EXPERIMENTS, experiment
from driftline.bench.alarms.trial import Trial
from driftline.cli import app

SHORT = Size(short=True)


@pytest.mark.parametrize("name", ["nulls", "onset", "invariance"])
def test_the_short_form_meets_its_targets(name: str) -> None:
    """False alarms, onsets and units, at a size that a test can wait for."""
    chosen = experiment(name)
    found = [chosen.measure(part, 1, SHORT) for part in chosen.parts(SHORT)]
    assert [target for target in chosen.conclude(found, SHORT).targets if not target.met] == []


def test_an_experiment_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without whitening, and without allowance for a short reference, AR streams alarm."""
    fit = Trial.fit

    def broken(self: Trial, cells: list) -> None:
        fit(self, cells)
        streams = []
        for stream in self.profile.streams:
            plain = [
                msgspec.structs.replace(s, phi=0.0, theta=0.0, delta=0.0, sd=1.0)
                for s in stream.reference.statistics
            ]
            reference = msgspec.structs.replace(stream.reference, statistics=tuple(plain))
            streams.append(msgspec.structs.replace(stream, reference=reference))
        self.profile = msgspec.structs.replace(self.profile, streams=tuple(streams))

    monkeypatch.setattr(Trial, "fit", broken)
    found = nulls.measure(("block AR(.9) 10 %", 1_008), 1, SHORT)
    assert found["alarms"] / found["nominal"] > 3.0


def test_the_command_writes_results_and_a_page(tmp_path: Path) -> None:
    """One experiment through the command: JSON, a page, and 0 as every target is met."""
    page, results = tmp_path / "alarms.md", tmp_path / "alarms.json"
    words = ["bench", "alarms", "invariance", "nab", "--short", "--jobs", "1"]
    done = CliRunner().invoke(app, [*words, "--json", str(results), "--report", str(page)])
    assert done.exit_code == 0, done.output
    assert "## invariance" in page.read_text()
    assert "--data" in msgspec.json.decode(results.read_bytes())[1]["skipped"]


def test_an_unknown_experiment_is_refused() -> None:
    """The message lists those that exist."""
    done = CliRunner().invoke(app, ["bench", "alarms", "nothing"])
    assert done.exit_code == 2
    assert "nulls" in EXPERIMENTS


def test_a_target_without_a_figure_is_missed() -> None:
    """A ratio of nothing to nothing reaches no bound."""
    assert not Target(name="ratio", reached=float("nan"), most=2.0).met
