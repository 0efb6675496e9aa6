"""A backtest without a profile learns one from the file's first events, and judges the rest."""

from pathlib import Path

import pytest
from live import as_json, write_lines
from logs import Shift, events

from detectors.alert import Alert, encode
from detectors.events import Event
from detectors.fit import fit
from driftline import cli
from stream.backtest import Backtest
from stream.config import Config
from stream.config_file import load_config
from stream.fitting import fit_options

# Five events a second; the third step of ten minutes holds the 7,500 that are enough.
ALL, REFERENCE = 20_000, 9_000
SHIFT = Shift(at=14_000, sigma=3.0)
SETTINGS = {"DRIFTLINE_DETECT_LEARN_DAYS": "0", "DRIFTLINE_DETECT_LEARN_BLOCKS": "100"}


@pytest.fixture(scope="module")
def log() -> list[Event]:
    return events(ALL, seed=5, step_ms=200, shifts=(SHIFT,))


@pytest.fixture
def file(log: list[Event], tmp_path: Path) -> Path:
    return write_lines(tmp_path / "events.jsonl", [as_json(event) for event in log])


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    return load_config(None)


def test_what_is_learnt_is_what_the_first_events_fit_and_judges_the_rest(
    log: list[Event], file: Path, settings: Config
) -> None:
    run = Backtest(settings, [])
    found = [encode(effect) for effect in run.run([file]) if isinstance(effect, Alert)]
    ((profile, start_ms),) = run.learnt
    reference = log[:REFERENCE]
    assert profile == fit(reference, fit_options(settings, reference), settings.policy)
    # The reference's end, lateness, and 60 s, up to the next border of buckets of 10 s.
    assert start_ms == log[REFERENCE].time_ms + 5_000 + 60_000 + 5_000
    before = sum(event.time_ms < start_ms for event in log)
    assert run.totals.unprofiled["shop"] == before
    assert run.totals.judged == ALL - before
    assert found
    assert found == [encode(e) for e in Backtest(settings, []).run([file]) if isinstance(e, Alert)]


def test_the_command_says_what_it_has_learnt(
    file: Path, settings: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert settings.detect.learn_blocks == 100
    assert cli.run(["backtest", str(file)]) == 0
    told = capsys.readouterr().out
    assert "Learnt a profile of shop from 9,000 events, in force from 2026-01-01T00:31" in told
    assert "amount" in told


def test_a_file_that_is_too_short_is_refused_with_what_to_do(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["backtest", str(file)]) == 2
    assert "none could be learnt" in capsys.readouterr().err
