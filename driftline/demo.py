"""The demo's story: set the stage, run live, break something, wait for the alert."""

import asyncio
import json
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from detectors.alert import instant
from detectors.errors import ServiceUnreachable
from detectors.fit import fit
from detectors.profile import Profile, render
from driftline.alerts_command import show_alert
from driftline.demo_log import BROKEN_CHANNEL, BROKEN_SLICE, MODEL, EventLog
from stream import localkafka
from stream.config import Config, load_config
from stream.decode.json_events import decode
from stream.emitting import BatchProducer
from stream.fitting import fit_options
from stream.names import TopicNames
from stream.pushing import push_profile
from stream.tailing import follow_alerts

__all__ = ["Demo"]

_RATE = 150.0
_REFERENCE_MS = 40 * 60_000
_HISTORY_MS = 3 * 60_000
_BREAK_AFTER_MS = 20_000
_ONCE_SECONDS = 100.0
_SEND_SECONDS = 0.1
_TELL_SECONDS = 5.0
_WORKER_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LOG_LINES = 12

_CONFIG = """\
[kafka]
bootstrap = "{bootstrap}"
prefix = "{prefix}"
session_timeout_seconds = 6

[time]   # small, so that the demo need not wait; the alarm budget is the default
pane_seconds = 1
bucket_seconds = 5
lateness_seconds = 2
tick_seconds = 1
"""


def _now_ms() -> int:
    return round(time.time() * 1000)


class Demo:
    """Run the demo once."""

    def __init__(self, *, once: bool, seed: int) -> None:
        """Name this run: a topic prefix and a directory of its own."""
        stamp = datetime.now(UTC).strftime("%H%M%S")
        self._once = once
        self._seed = seed
        self._prefix = f"demo-{stamp}-{secrets.token_hex(2)}"
        self._directory = localkafka.driftline_home() / "demo" / self._prefix
        self._console = Console(highlight=False, soft_wrap=True)
        self._worker: subprocess.Popen[bytes] | None = None
        self._broken_ms = 0
        self._alerts = 0
        self._outcome: int | None = None
        self._sent = 0

    async def run(self) -> int:
        """Set the stage, play, and clear up; give the exit code."""
        loop = asyncio.get_running_loop()
        playing = asyncio.ensure_future(self._play())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, playing.cancel)
        started_kafka = localkafka.status() is None
        try:
            await playing
        except asyncio.CancelledError:
            self._console.print("\nStopping.")
        finally:
            await asyncio.to_thread(self._clear, started_kafka)
        return self._outcome or 0

    async def _play(self) -> None:
        self._directory.mkdir(parents=True)
        say = self._console.print
        say("[bold]driftline demo[/bold]: a fraud model in service, and something will go wrong\n")
        broker = await asyncio.to_thread(localkafka.start, None, self._step)
        self._step(f"Kafka on {broker.bootstrap}")
        config_path = self._directory / "driftline.toml"
        config_path.write_text(_CONFIG.format(bootstrap=broker.bootstrap, prefix=self._prefix))
        config = load_config(config_path)
        self._step("Worker: observe and judge (the first start ever compiles for some seconds)")
        self._start_worker(config_path)
        profile = await asyncio.to_thread(self._fit, config)
        await push_profile(config, profile)
        await self._worker_ready()
        self._step("Worker is ready")
        say("")
        follow = asyncio.ensure_future(follow_alerts(config, 0, self._on_alert))
        try:
            await self._emit(config)
        finally:
            follow.cancel()
            with suppress(asyncio.CancelledError):
                await follow

    def _step(self, text: str) -> None:
        self._console.print(f"  [dim]·[/dim] {text}")

    def _fit(self, config: Config) -> Profile:
        """Fit the model's reference: forty minutes of its past."""
        end = _now_ms() - _HISTORY_MS
        log = EventLog(self._seed + 1, _RATE, end - _REFERENCE_MS)
        values = [value for _, value in log.until(end)]
        self._step(f"Reference: {len(values):,} events of the last {_REFERENCE_MS // 60_000} min")
        events = decode(values, None, config.limits).events
        profile = fit(events, fit_options(config), config.policy)
        (self._directory / "profile.json").write_text(render(profile), encoding="utf-8")
        self._step(
            f"Profile: {len(profile.channels)} channels in {len(profile.slices)} slices, "
            f"{len(profile.streams)} streams watched"
        )
        return profile

    def _start_worker(self, config: Path) -> None:
        with (self._directory / "worker.log").open("wb") as log:
            command = [sys.executable, "-m", "driftline", "worker", "-c", str(config)]
            self._worker = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    async def _worker_ready(self) -> None:
        """Wait until both roles listen."""
        deadline = time.monotonic() + _WORKER_SECONDS
        while len(self._logged("listening")) < 2:
            self._check_worker()
            if time.monotonic() > deadline:
                raise ServiceUnreachable(self._worker_trouble("is not ready in time"))
            await asyncio.sleep(_SEND_SECONDS)

    def _logged(self, event: str) -> list[dict[str, Any]]:
        """Find the worker's log lines of one kind."""
        lines = (self._directory / "worker.log").read_text(errors="replace").splitlines()
        found = []
        for line in lines:
            with suppress(json.JSONDecodeError):
                fields = json.loads(line)
                if isinstance(fields, dict) and fields.get("event") == event:
                    found.append(fields)
        return found

    def _check_worker(self) -> None:
        if self._worker is not None and self._worker.poll() is not None:
            raise ServiceUnreachable(self._worker_trouble("has ended"))

    def _worker_trouble(self, what: str) -> str:
        path = self._directory / "worker.log"
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return f"The worker {what}. The end of its log, {path}:\n{tail}"

    async def _emit(self, config: Config) -> None:
        """Send the last minutes at once, then live; break the feature at its moment."""
        live_ms = _now_ms()
        self._broken_ms = live_ms + _BREAK_AFTER_MS
        log = EventLog(self._seed, _RATE, live_ms - _HISTORY_MS, self._broken_ms)
        events = log.forever()
        names = TopicNames(config.kafka.prefix)
        partitions = config.kafka.events_partitions
        told_break, told_sent = False, 0
        told_at = started = time.monotonic()
        async with BatchProducer(config.kafka.bootstrap, names.events, partitions) as producer:
            await producer.send([next(events)[1] for _ in range(partitions)])
            held = next(events)
            while self._outcome is None:
                due, held = _due(events, held, _now_ms())
                if due:
                    await producer.send(due)
                if self._sent == 0:
                    told_sent, told_at = producer.sent, time.monotonic()
                    self._step(f"History: {producer.sent:,} events of the last 3 minutes; now live")
                self._sent = producer.sent
                if not told_break and _now_ms() >= self._broken_ms:
                    told_break = True
                    self._tell_break()
                if time.monotonic() - told_at > _TELL_SECONDS:
                    now = time.monotonic()
                    self._tell_rate((producer.sent - told_sent) / (now - told_at))
                    told_at, told_sent = now, producer.sent
                self._check_worker()
                if self._once and time.monotonic() - started > _ONCE_SECONDS:
                    self._console.print(f"[red]No alert on {BROKEN_CHANNEL} came in time.[/red]")
                    self._outcome = 1
                await asyncio.sleep(_SEND_SECONDS)

    def _tell_break(self) -> None:
        where = ", ".join(f"{k}={v}" for k, v in BROKEN_SLICE.items())
        self._console.print(
            f"\n  [yellow]{instant(self._broken_ms)[11:19]}Z  broken on purpose: "
            f"{BROKEN_CHANNEL.removeprefix('feature:')} in {where}[/yellow]\n"
        )

    def _tell_rate(self, rate: float) -> None:
        clock = instant(_now_ms())[11:19]
        self._console.print(
            f"  [dim]{clock}Z  {rate:.0f} events/s live, {self._sent:,} sent, "
            f"{_count(self._alerts, 'alert')}[/dim]"
        )

    def _on_alert(self, value: bytes) -> None:
        """Show an alert, and decide whether it is the true one."""
        alert = orjson.loads(value)["alert"]
        show_alert(self._console, alert)
        self._alerts += alert["revision"] == 0
        early = alert["status"] == "firing" and alert["time"] <= instant(self._broken_ms)
        true = alert["channel"] == BROKEN_CHANNEL and alert["slice"] in ({}, BROKEN_SLICE)
        if early:
            self._console.print("[red]That one is false: nothing was broken yet.[/red]")
            self._outcome = 1 if self._once else None
        elif true and self._alerts == 1:
            seconds = (_now_ms() - self._broken_ms) / 1000
            self._console.print(f"\n  Found {seconds:.0f} s after the break. What to type next:\n")
            self._tell_next()
        if self._once and true and not early and self._outcome is None:
            self._outcome = 0

    def _tell_next(self) -> None:
        config, profile = self._directory / "driftline.toml", self._directory / "profile.json"
        say = self._console.print
        if not self._once:
            for line in self._logged("listening"):
                say(f"    curl {line['metrics']}")
            say(f"    driftline alerts tail -c {config}")
        say(f"    driftline profile show {profile}")
        say(f"    driftline profile fit YOUR_{MODEL.upper()}_EVENTS.jsonl -o profile.json\n")
        if not self._once:
            say("  Everything goes on until you press Ctrl-C.\n")

    def _clear(self, stop_kafka: bool) -> None:
        """End what was started here: the worker, and the Kafka if it was not there before."""
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()
            try:
                self._worker.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait()
        if stop_kafka:
            localkafka.stop()
        self._console.print(
            f"  Ended: worker{' and Kafka' if stop_kafka else ''}. {self._sent:,} events, "
            f"{_count(self._alerts, 'alert')}. Logs and profile: {self._directory}"
        )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _due(
    events: Iterator[tuple[int, bytes]], held: tuple[int, bytes], now_ms: int
) -> tuple[list[bytes], tuple[int, bytes]]:
    """Take the events whose time has come; give them and the first one whose has not."""
    due = []
    while held[0] <= now_ms:
        due.append(held[1])
        held = next(events)
    return due, held
