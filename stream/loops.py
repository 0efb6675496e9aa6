"""The event loops of this process, and how many tasks they hold: Faust's consumer has its own."""

import asyncio
from weakref import WeakSet

__all__ = ["count_tasks", "watch_loop"]

_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def watch_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Count the tasks of a loop from now on, for as long as there is the loop."""
    _loops.add(loop)


def count_tasks() -> int:
    """Count the tasks that have not ended, from whichever thread."""
    return sum(len(asyncio.all_tasks(loop)) for loop in list(_loops))
