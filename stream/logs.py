"""Logs: one JSON object a line, on stderr, ours and the libraries' alike."""

import logging
import sys
import time
from typing import Any

import structlog

__all__ = ["configure_logs"]

_NOISY = ("aiokafka", "faust", "kafka", "mode")
_REPEAT_SECONDS = 10.0


class _Seldom(logging.Filter):
    """Let each kind of library message through once in 10 seconds, with a count of the rest.

    Without a broker aiokafka says the same thing many times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write the record; the formats of messages are few."""
        key = (record.name, str(record.msg))
        now = time.monotonic()
        last, dropped = self._seen.get(key, (-_REPEAT_SECONDS, 0))
        if now - last < _REPEAT_SECONDS:
            self._seen[key] = (last, dropped + 1)
            return False
        record.repeats = dropped
        self._seen[key] = (now, 0)
        return True


def _repeats(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Say how many messages of this kind were left out before."""
    repeats = getattr(event.get("_record"), "repeats", 0)
    if repeats:
        event["repeats"] = repeats
    return event


def configure_logs(level: str = "info", **fields: str) -> None:
    """Send structlog, and warnings of Faust, mode, aiokafka and kafka-python, to stderr.

    `fields` are in every line, whichever thread it comes from.
    """

    def add(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.update(fields)
        return event

    shared: list[structlog.typing.Processor] = [
        add,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    json = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, json],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_Seldom())
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name, _repeats],
            processors=[strip, json],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
