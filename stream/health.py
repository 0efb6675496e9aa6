"""The small web server of a role: /metrics, /livez, /readyz on loopback, GET only.

One request a connection, then it is closed.  Size, time and connections are limited, so that
nobody on this machine can hold what the role needs.
"""

import asyncio
import re
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from http import HTTPStatus

from detectors.errors import ServiceUnreachable
from stream.metrics import CONTENT_TYPE

__all__ = ["METRICS_PORT", "Health"]

METRICS_PORT = 9464
CONNECTIONS_MAX = 32
REQUEST_SECONDS_MAX = 5.0
HEAD_BYTES_MAX = 8_192
_HOST = "127.0.0.1"
_PORTS_TRIED = 50
_TEXT = "text/plain; charset=utf-8"
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]\r\n")


class Health:
    """Serve a role's series and say whether it lives and is ready."""

    def __init__(self, render: Callable[[], bytes], why_not_ready: Callable[[], str]) -> None:
        """Prepare the pages; `why_not_ready` gives a sentence, or "" when all is well."""
        self._render = render
        self._why_not_ready = why_not_ready
        self._open: set[StreamWriter] = set()
        self.port = 0

    async def start(self, port: int | None) -> int:
        """Listen on the asked port, or on 9464 or the next free one; give the port.

        Raises
        ------
        ServiceUnreachable
            If no port could be had.
        """
        wanted = [port] if port is not None else range(METRICS_PORT, METRICS_PORT + _PORTS_TRIED)
        for candidate in wanted:
            try:
                self._server = await asyncio.start_server(
                    self._serve, _HOST, candidate, limit=HEAD_BYTES_MAX
                )
            except OSError:
                continue
            self.port = self._server.sockets[0].getsockname()[1]
            return self.port
        raise ServiceUnreachable(
            f"Port {wanted[0]} on {_HOST} is taken; choose another with --metrics-port."
        )

    async def stop(self) -> None:
        """Close the server, and what is open."""
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one request; cut it off when its time is over."""
        if len(self._open) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                writer.write(await self._answer(reader))
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            pass  # TimeoutError is an OSError: too slow; or the other side has gone
        finally:
            writer.transport.abort()
            self._open.discard(writer)

    async def _answer(self, reader: StreamReader) -> bytes:
        """Read a request's head, and give the whole answer."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        request = _REQUEST_LINE.match(head)
        if request is None:
            return _response(HTTPStatus.BAD_REQUEST)
        if request[1] != b"GET":
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, more="Allow: GET\r\n")
        return self._page(request[2].partition(b"?")[0])

    def _page(self, path: bytes) -> bytes:
        """Give one of the three pages."""
        if path == b"/metrics":
            return _response(HTTPStatus.OK, self._render(), CONTENT_TYPE)
        if path == b"/livez":
            return _response(HTTPStatus.OK)
        if path == b"/readyz":
            reason = self._why_not_ready()
            status = HTTPStatus.SERVICE_UNAVAILABLE if reason else HTTPStatus.OK
            return _response(status, f"{reason or 'ok'}\n".encode())
        return _response(HTTPStatus.NOT_FOUND)


def _response(status: HTTPStatus, body: bytes = b"", kind: str = _TEXT, more: str = "") -> bytes:
    """Write an answer; without a body of its own it says its status."""
    body = body or (b"ok\n" if status == HTTPStatus.OK else f"{status.phrase}\n".encode())
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nX-Content-Type-Options: nosniff\r\n{more}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
