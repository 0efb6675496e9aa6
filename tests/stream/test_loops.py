"""Tasks are counted over all loops, and no more once they have ended."""

import asyncio
import gc

from stream.loops import count_tasks, watch_loop
from stream.metrics import JudgeSeries, LearnSeries, ObserveSeries
from tests.soak.watch import shown_in


def test_every_role_shows_the_tasks_of_all_its_loops() -> None:
    gc.collect()
    before = count_tasks()
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for loop in loops:
        watch_loop(loop)
        tasks = [loop.create_task(asyncio.sleep(0)) for _ in range(3)]
        loop.run_until_complete(tasks[0])
        loop.create_task(asyncio.sleep(0))
    for series in (ObserveSeries(), JudgeSeries(), LearnSeries()):
        assert shown_in([series.render().decode()])[0] == before + 2
    for loop in loops:
        loop.run_until_complete(asyncio.wait(asyncio.all_tasks(loop)))
        loop.close()
    assert count_tasks() == before
