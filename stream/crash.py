"""What is told of an error: its type and where it was raised, not the text that it carries.

An error may quote what it met, as `KeyError: 'jane.doe@example.org'` does, and the text of events
stays in the log of events.  So the message, and the source's own lines, are left out, but for
driftline's own sentences and what Kafka and the system say of connections and files.
"""

import asyncio
from collections.abc import Iterator
from traceback import walk_tb

from aiokafka.errors import KafkaError
from kafka.errors import KafkaError as AdminError

from detectors.errors import DriftlineError

__all__ = ["outline", "said", "speaks"]

# None of these has seen an event.
_OF_THE_NETWORK = (KafkaError, AdminError, OSError, EOFError, asyncio.CancelledError)


def speaks(error: BaseException) -> bool:
    """Tell whether an error's message may be shown: a client's may repeat what it came of."""
    return isinstance(error, DriftlineError) or all(
        isinstance(one, (*_OF_THE_NETWORK, DriftlineError)) for one in _related(error)
    )


def said(error: BaseException) -> str:
    """Name an error, with its message where that may be shown.

    >>> said(KeyError("jane.doe@example.org")), said(TimeoutError("no answer in 5 s"))
    ('KeyError', 'TimeoutError: no answer in 5 s')
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    text = str(error) if speaks(error) else ""
    return f"{name}: {text}" if text else name


def outline(error: BaseException) -> str:
    """Write the frames of an error, and of what it came of, as Python does; the last comes last."""
    return "\n".join(_frames(one) for one in [*_related(error)][::-1])


def _frames(error: BaseException) -> str:
    frames = [
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_qualname}\n'
        for frame, line in walk_tb(error.__traceback__)
    ]
    head = "Traceback (most recent call last):\n" if frames else ""
    return f"{head}{''.join(frames)}{said(error)}\n"


def _related(error: BaseException) -> Iterator[BaseException]:
    """Give an error, then what it came of and what it gathers, each once."""
    seen, ahead = set[int](), [error]
    while ahead:
        one = ahead.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        gathered = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        ahead += [other for other in (*gathered, one.__context__, one.__cause__) if other]
