"""driftline: a streaming drift monitor on event logs."""

from driftline.emitter import Emitter

__all__ = ["Emitter"]
