"""The terms of the memory bound hold what they are said to hold."""

import mmap
import tracemalloc

import logs
import msgspec
import numpy as np
import pytest
from logs import SEMANTICS, book, profile

from detectors.columns import Extractor
from detectors.layout import layout_of
from detectors.monitor import Monitor
from detectors.observe import Observer
from detectors.profile import ProfileBook, seal
from detectors.summary.sums import Sums
from stream import memory
from stream.config import Config
from stream.connection import Connection
from stream.memory import judge_bound, observe_bound, profiles_at_work, rss_bytes
from stream.role import KafkaSettings

SETTINGS = KafkaSettings(connection=Connection("localhost:9092"))
CONFIG = Config()


def test_the_columns_of_events_take_no_more_than_their_term() -> None:
    columns = Extractor(profile()).columns(logs.events(1_000, seed=1))
    arrays = [v for v in vars(columns).values() if isinstance(v, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= 1_000 * memory._row_bytes(profile())


def test_an_event_alone_in_its_bucket_takes_no_more_than_its_term() -> None:
    log = logs.events(500, seed=1, step_ms=profile().bucket_ms)
    observer = Observer(("events", 0, 1), book(profile()), logs.PANE_MS)
    observer.feed(logs.batch([logs.Record(e.time_ms, e) for e in log], 0, timed=False))
    cells = observer.finish(499).entries
    assert len(cells) == 500
    bound = memory._event_bytes(profile()) - memory._CELL_BYTES
    assert bound / 4 < max(len(cell.data) for cell in cells) <= bound


def test_events_that_wait_are_held_twice_only_while_their_pane_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, sums = logs.events(20_000, seed=1, step_ms=profile().bucket_ms), Sums(layout_of(profile()))
    columns = Extractor(profile()).columns(log)

    def no_cells(drained: Sums) -> list:  # they have a term of their own
        drained._used = 0
        return []

    monkeypatch.setattr(Sums, "_drained", no_cells)
    tracemalloc.start()
    try:
        sums.add(columns)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        sums.cells()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    term = len(log) * memory._row_bytes(profile())
    assert term / 2 < held <= 1.1 * term
    assert peak <= 2.2 * term


def test_a_full_cell_takes_no_more_than_its_term() -> None:
    log = logs.events(20_000, seed=1, step_ms=0)
    observer = Observer(("events", 0, 1), book(profile()), logs.PANE_MS)
    observer.feed(logs.batch([logs.Record(e.time_ms, e) for e in log], 0, timed=False))
    (cell,) = observer.finish(19_999).entries
    bound = memory._full_cell_bytes(profile()) - memory._CELL_BYTES
    assert bound / 4 < len(cell.data) <= bound


def test_the_state_of_a_model_is_as_large_after_a_log_as_before() -> None:
    monitor = Monitor(book(profile()), SEMANTICS)
    logs.effects(monitor, logs.parts_of_file(logs.events(5_000, seed=2), book(profile())))
    (state,) = monitor.snapshot().models.values()
    nbytes = sum(array.nbytes for array in state.arrays.values())
    assert nbytes == memory._state_bytes(profile()) > 0


def test_more_of_anything_needs_more() -> None:
    wide = [profile(), seal(msgspec.structs.replace(profile(), model="toys"))]

    def judge(profiles: list, partitions: tuple[int, int]) -> int:
        return sum(judge_bound(profiles, CONFIG, SETTINGS, partitions).values())

    def observe(profiles: list, partitions: int) -> int:
        return sum(observe_bound(profiles, CONFIG, SETTINGS, partitions).values())

    assert observe([], 1) < observe(wide, 1) < observe(wide, 2)
    assert judge([], (1, 1)) < judge(wide[:1], (1, 1)) < judge(wide, (1, 1))
    assert judge(wide, (1, 1)) < judge(wide, (2, 1)) < judge(wide, (2, 2))
    assert (
        judge_bound(wide, CONFIG, SETTINGS, (900, 1))["waiting"] == CONFIG.judge.pending_bytes_max
    )


def test_of_many_profiles_of_a_model_two_are_at_work() -> None:
    held = ProfileBook()
    known = [seal(msgspec.structs.replace(profile(), block_events=50 + i)) for i in range(4)]
    for i, one in enumerate(known):
        held.add(one, i * 60_000)
    assert profiles_at_work(held) == known[-2:]


def test_the_memory_of_this_process_is_read() -> None:
    before = rss_bytes()
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * len(held))
        assert rss_bytes() - before > len(held) * 0.9
