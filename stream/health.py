"""The small web server of a role: /metrics, /livez, /readyz on loopback, GET only."""

from collections.abc import Callable

from aiohttp import web

from detectors.errors import ServiceUnreachable
from stream.metrics import CONTENT_TYPE

__all__ = ["METRICS_PORT", "Health"]

METRICS_PORT = 9464
_HOST = "127.0.0.1"
_PORTS_TRIED = 50
_REQUEST_BYTES_MAX = 16_384


class Health:
    """Serve a role's series and say whether it lives and is ready."""

    def __init__(self, render: Callable[[], bytes], why_not_ready: Callable[[], str]) -> None:
        """Prepare the pages; `why_not_ready` gives a sentence, or "" when all is well."""
        self._render = render
        self._why_not_ready = why_not_ready
        self.port = 0

    async def start(self, port: int | None) -> int:
        """Listen on the asked port, or on 9464 or the next free one; give the port.

        Raises
        ------
        ServiceUnreachable
            If no port could be had.
        """
        app = web.Application(client_max_size=_REQUEST_BYTES_MAX)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=5)
        await self._runner.setup()
        wanted = [port] if port is not None else range(METRICS_PORT, METRICS_PORT + _PORTS_TRIED)
        for candidate in wanted:
            try:
                await web.TCPSite(self._runner, _HOST, candidate).start()
            except OSError:
                continue
            self.port = candidate
            return candidate
        raise ServiceUnreachable(
            f"Port {wanted[0]} on {_HOST} is taken; choose another with --metrics-port."
        )

    async def stop(self) -> None:
        """Close the server."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._render(), headers={"Content-Type": CONTENT_TYPE})

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._why_not_ready()
        return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)
