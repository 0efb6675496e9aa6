"""Logs: one JSON object a line, on stderr, ours and the libraries' alike.

A line is ASCII, so that no text in it can play tricks on a terminal; it is bounded, leaves out
secrets and what errors quote, and what is said again and again is counted instead.
"""

import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import structlog

from stream.crash import outline, said, speaks
from stream.secret import redact

__all__ = ["configure_logs"]

REPEAT_SECONDS = 10.0
# Of ours, so many of a kind in that time: each names its own model, partition or alert.
OURS_MAX = 20
KINDS_MAX = 1_000
TEXT_MAX = 1_000
LISTED_MAX = 50
LISTED_TEXT_MAX = 200
TRACEBACK_MAX = 8_000
_NOISY = ("aiokafka", "faust", "kafka", "mode")
# asyncio writes tasks, with what they died of, and arguments into its messages.
_BEFORE_VALUES = re.compile(r"[^(<\n]*")
_COROUTINE = re.compile(r"coro=<([\w.<>]+)\(")
_Event = structlog.typing.EventDict


class _Seldom:
    """Let a kind of message through a few times in 10 seconds, and count the rest.

    Without a broker aiokafka says the same thing many times a second.
    """

    def __init__(self, often: int) -> None:
        self._often = often
        self._seen: OrderedDict[object, tuple[float, int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def left_out(self, kind: object) -> int | None:
        """Say how many of a kind were left out before this one; None leaves it out as well."""
        now = time.monotonic()
        with self._lock:
            since, said, dropped = self._seen.pop(kind, (now, 0, 0))
            if now - since >= REPEAT_SECONDS:
                since, said = now, 0
            passes = said < self._often
            self._seen[kind] = (since, said + 1, 0 if passes else dropped + 1)
            if len(self._seen) > KINDS_MAX:
                self._seen.popitem(last=False)
        return dropped if passes else None


class _OfLibraries(logging.Filter):
    """Let each format of a library's message through once in 10 seconds, without errors' text."""

    def __init__(self) -> None:
        super().__init__()
        self._seldom = _Seldom(1)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write the record."""
        _leave_out_text(record)
        repeats = self._seldom.left_out((record.name, str(record.msg)[:TEXT_MAX]))
        record.repeats = repeats
        return repeats is not None


def _leave_out_text(record: logging.LogRecord) -> None:
    """Put what may be told of an error in its place, wherever a library wrote one."""
    if record.name == "asyncio":
        text = record.getMessage()
        head, task = _BEFORE_VALUES.match(text), _COROUTINE.search(text)
        record.msg = f"{head[0].strip() if head else ''}{f': {task[1]}' if task else ''}"
        record.args = ()
    record.msg = _told(record.msg)
    if isinstance(record.args, Mapping):
        record.args = {name: _told(value) for name, value in record.args.items()}
    else:
        record.args = tuple(map(_told, record.args or ()))


def _told(value: Any) -> Any:
    return said(value) if isinstance(value, BaseException) and not speaks(value) else value


def _outlined(exc_info: tuple[Any, BaseException | None, Any]) -> str:
    """Outline the error of `sys.exc_info()`; a library may log one where there is none."""
    error = exc_info[1]
    return outline(error) if error else "None"


def _repeats(_: Any, __: str, event: _Event) -> _Event:
    """Say how many messages of this kind were left out before."""
    repeats = getattr(event.get("_record"), "repeats", 0)
    if repeats:
        event["repeats"] = repeats
    return event


def _bounded(_: Any, __: str, event: _Event) -> _Event:
    """Cut what is long: no event can fill the log."""
    traceback = event.pop("exception", None)
    bounded = {str(key)[:LISTED_TEXT_MAX]: _short(value) for key, value in event.items()}
    if traceback is not None:
        bounded["exception"] = traceback[-TRACEBACK_MAX:]
    return bounded


def _short(value: Any, most: int = TEXT_MAX) -> Any:
    """Cut one value."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        shown = [_short(one, LISTED_TEXT_MAX) for one in value[:LISTED_MAX]]
        more = len(value) - len(shown)
        return [*shown, f"… and {more} more"] if more else shown
    if isinstance(value, BaseException):
        value = said(value)
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _write(_: Any, __: str, event: _Event) -> str:
    """Write one line."""
    rendered = structlog.processors.JSONRenderer(ensure_ascii=True)(None, "", event)
    return redact(str(rendered))


def configure_logs(level: str = "info", **fields: str) -> None:
    """Send structlog, and warnings of Faust, mode, aiokafka and kafka-python, to stderr.

    `fields` are in every line, whichever thread it comes from.
    """
    seldom = _Seldom(OURS_MAX)

    def add(_: Any, __: str, event: _Event) -> _Event:
        event.update(fields)
        return event

    def once(_: Any, method: str, event: _Event) -> _Event:
        repeats = seldom.left_out((method, str(event.get("event"))[:TEXT_MAX]))
        if repeats is None:
            raise structlog.DropEvent
        if repeats:
            event["repeats"] = repeats
        return event

    shared: list[structlog.typing.Processor] = [
        add,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_outlined),
    ]
    structlog.configure(
        processors=[once, *shared, _bounded, _write],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_OfLibraries())
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _repeats],
            processors=[strip, _bounded, _write],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda _kind, error, _trace: _crashed(error)
    threading.excepthook = lambda died: _crashed(died.exc_value or SystemExit())
    sys.unraisablehook = lambda met: _ignored(met.exc_value or SystemExit())


def _crashed(error: BaseException) -> None:
    """Log what nobody has caught."""
    structlog.get_logger().critical("crashed", error=error, exc_info=error)


def _ignored(error: BaseException) -> None:
    """Log what nobody can catch: it was raised where an object was thrown away."""
    structlog.get_logger().error("ignored", error=error, exc_info=error)
