"""The web server of a role, by raw sockets: who trickles, floods or asks for more is cut off."""

import asyncio
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest

from detectors.errors import ServiceUnreachable
from stream import health
from stream.health import Health

LARGE = b"series 1\n" * 400_000


class Served:
    """A server in a thread of its own, and what the pages say."""

    def __init__(self) -> None:
        self.reason = ""
        self.body = b"driftline_panes_total 3\n"
        self._loop = asyncio.new_event_loop()
        self._health = Health(lambda: self.body, lambda: self.reason)
        self.unforeseen: list[dict[str, object]] = []
        self._loop.set_exception_handler(lambda _, context: self.unforeseen.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = self._run(self._health.start(0))

    def _run(self, coroutine: object) -> int:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def until_open(self, connections: int) -> None:
        deadline = time.monotonic() + 30
        while len(self._health._open) != connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        self._run(self._health.stop())
        self.until_open(0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as one:
            one.sendall(request)
            return read_all(one)


def read_all(one: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := one.recv(65_536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.stop()
    assert server.unforeseen == []


def test_the_pages(served: Served) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics") as page:
        assert page.read() == served.body
        assert page.headers["Content-Type"].startswith("text/plain; version=")
    assert served.ask(b"GET /livez HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nok\n")
    assert b" 200 OK\r\n" in served.ask(b"GET /readyz?verbose HTTP/1.0\r\n\r\n")
    served.reason = "no partition is assigned yet"
    answer = served.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"no partition is assigned yet\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        (b"DELETE /livez HTTP/1.1\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /%6detrics HTTP/1.1\r\n\r\n", 404),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET http://127.0.0.1/metrics HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /\xff\x00 HTTP/1.1\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nCookie: " + b"a" * health.HEAD_BYTES_MAX, 431),
    ],
)
def test_anything_but_a_small_get_of_a_page_is_refused(
    served: Served, request_bytes: bytes, status: int
) -> None:
    assert served.ask(request_bytes).startswith(f"HTTP/1.1 {status} ".encode())
    assert served.ask(b"GET /livez HTTP/1.1\r\n\r\n").endswith(b"ok\n")


def test_a_request_that_trickles_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS_MAX", 0.5)
    with served.connect() as slow, served.connect() as silent:
        assert trickle(slow, b"GET /livez HTTP/1.1\r\nX-Slow: " + b"a" * 5_000) < 5_000
        assert read_all(silent) == b""


def trickle(one: socket.socket, request: bytes) -> int:
    """Send byte by byte until the other side has enough of it; count them."""
    for sent, byte in enumerate(request):
        try:
            one.sendall(bytes([byte]))
        except (ConnectionResetError, BrokenPipeError):
            return sent
        time.sleep(0.02)
    return len(request)


def test_a_flood_is_not_read(served: Served) -> None:
    with served.connect() as one:
        sent = 0
        try:
            while sent < 64 << 20:
                sent += one.send(b"GET /" + b"a" * 65_536)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 64 << 20


def test_an_answer_that_is_not_read_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS_MAX", 2.0)
    served.body = LARGE * 4
    with served.connect() as deaf:
        served.until_open(1)
        deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        served.until_open(0)
        assert len(read_all(deaf)) < len(served.body)


def test_a_large_answer_arrives_whole(served: Served) -> None:
    served.body = LARGE
    assert served.ask(b"GET /metrics HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n" + LARGE)


def test_too_many_connections_are_refused_and_the_rest_is_served(served: Served) -> None:
    held = [served.connect() for _ in range(health.CONNECTIONS_MAX)]
    try:
        for one in held:
            one.sendall(b"GET /livez")
        served.until_open(health.CONNECTIONS_MAX)
        for _ in range(50):
            assert served.ask(b"") == b""
        held[0].sendall(b" HTTP/1.1\r\n\r\n")
        assert read_all(held[0]).endswith(b"ok\n")
        assert served.ask(b"GET /livez HTTP/1.1\r\n\r\n").endswith(b"ok\n")
    finally:
        for one in held:
            one.close()


def test_only_this_machine_is_listened_to(served: Served) -> None:
    sockets = served._health._server.sockets
    assert [one.getsockname()[0] for one in sockets] == ["127.0.0.1"]


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceUnreachable, match=f"Port {port} on 127.0.0.1 is taken"):
            asyncio.run(Health(bytes, str).start(port))
