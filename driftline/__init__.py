"""driftline: a streaming drift monitor on event logs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftline.emitter import Emitter

__all__ = ["Emitter"]


def __getattr__(name: str) -> Any:
    """Load the emitter when it is asked for: no command waits for its Kafka client."""
    if name in __all__:
        return getattr(importlib.import_module("driftline.emitter"), name)
    raise AttributeError(f"module 'driftline' has no attribute {name!r}")
