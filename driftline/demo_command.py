"""`driftline demo`: everything on one machine, and an alert to watch."""

from typing import Annotated

import typer

__all__ = ["EPILOG", "demo"]

EPILOG = "Example: driftline demo    (or, for a script: driftline demo --once; echo $?)"


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End at the first true alert; exit 1 if it is missing.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another log.")] = 7,
) -> int:
    """Watch driftline do its job: a local Kafka, a worker, and a stream in which something breaks.

    A fraud model serves payments. Its reference is fitted, its last minutes are replayed, and
    then it runs live. A little later one feature goes wrong in one country; the alert that
    names it comes about half a minute after. Without --once everything runs until Ctrl-C.
    """
    import asyncio

    from driftline.demo import Demo

    return asyncio.run(Demo(once=once, seed=seed).run())
