"""The protection of a connection in Faust's words, for its consumer."""

from typing import Any

import faust

from stream.security import Security

__all__ = ["credentials"]


def credentials(security: Security) -> Any:
    """Give Faust the context we made: its SSLCredentials() cannot make one of its own."""
    if security.context is None:
        return None
    if security.mechanism is None:
        return faust.SSLCredentials(security.context)
    return faust.SASLCredentials(
        username=security.username,
        password=security.password.reveal(),
        mechanism=security.mechanism,
        ssl_context=security.context,
    )
