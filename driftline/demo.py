"""The demo's story: set the stage, run live, break something, wait for the alert."""

import asyncio
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape

from detectors.alert import instant, instant_ms
from detectors.errors import ServiceUnreachable
from detectors.fit import fit
from detectors.profile import Profile, render
from driftline.alerts_view import show_alert
from driftline.demo_log import BROKEN_CHANNEL, BROKEN_SLICE, MODEL, EventLog
from driftline.demo_worker import DemoWorker
from stream import localkafka
from stream.config import Config
from stream.config_file import load_config
from stream.connection import connection_of
from stream.decode.json_events import decode
from stream.emitting import BatchProducer
from stream.fitting import fit_options
from stream.ledger import Record
from stream.names import TopicNames
from stream.pushing import push_profile
from stream.tailing import follow_alerts

__all__ = ["Demo"]

_RATE = 150.0
_REFERENCE_MS = 12 * 60_000
_HISTORY_MS = 3 * 60_000
_BREAK_AFTER_MS = 20_000
_BREAK_AFTER_ONCE_MS = 10_000
# From when Kafka runs; what is left of 150 s is for Kafka's start and for clearing up.
_ONCE_SECONDS = 125.0
_READY_SECONDS = 75.0
_ASK_SECONDS = 0.5
_SEND_SECONDS = 0.1
_TELL_SECONDS = 5.0
_INTERRUPTED = 130

_CONFIG = """\
[kafka]
bootstrap = "{bootstrap}"
prefix = "{prefix}"
session_timeout_seconds = 6

[time]   # small, so that the demo need not wait; the alarm budget is the default
pane_seconds = 1
bucket_seconds = 2
lateness_seconds = 2
tick_seconds = 1

[detect]   # this stream knows no days and weeks, so that forty minutes of it are a reference
learn_days = 0
learn_blocks = 100
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
        self._worker: DemoWorker | None = None
        self._deadline = 0.0
        self._broken_ms = 0
        self._alerts = 0
        self._found = False
        self._outcome: int | None = None
        self._sent = 0

    async def run(self) -> int:
        """Set the stage, play, and clear up; give the exit code."""
        loop = asyncio.get_running_loop()
        playing = asyncio.ensure_future(self._play())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, playing.cancel)
        started_kafka = localkafka.status() is None
        try:
            await playing
        except asyncio.CancelledError:
            self._console.print("\nStopping.")
            # Whoever waits for the answer of --once must not take an interruption for a yes.
            self._outcome = _INTERRUPTED if self._once and self._outcome is None else self._outcome
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
        config = load_config(config_path, {})
        self._deadline = time.monotonic() + _ONCE_SECONDS
        self._step("Worker: observe and judge (the first start ever compiles for some seconds)")
        worker = self._worker = DemoWorker(config_path)
        profile = await asyncio.to_thread(self._fit, config)
        await push_profile(config, profile)
        await self._ready(worker)
        self._step("Worker is ready")
        say("")
        follow = asyncio.ensure_future(follow_alerts(config, 0, self._on_alert))
        try:
            await self._emit(config, worker, follow)
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
        profile = fit(events, fit_options(config, events), config.policy)
        (self._directory / "profile.json").write_text(render(profile), encoding="utf-8")
        self._step(
            f"Profile: {len(profile.channels)} channels in {len(profile.slices)} slices, "
            f"{len(profile.streams)} streams watched"
        )
        return profile

    async def _ready(self, worker: DemoWorker) -> None:
        """Wait until both roles have compiled and read."""
        deadline = time.monotonic() + _READY_SECONDS
        while not await asyncio.to_thread(worker.is_ready):
            worker.check()
            if time.monotonic() > deadline:
                text = worker.trouble(f"was not ready after {_READY_SECONDS:.0f} s")
                raise ServiceUnreachable(text)
            await asyncio.sleep(_ASK_SECONDS)

    async def _emit(
        self, config: Config, worker: DemoWorker, follow: "asyncio.Future[None]"
    ) -> None:
        """Send the last minutes at once, then live; break the feature at its moment."""
        live_ms = _now_ms()
        self._broken_ms = live_ms + (_BREAK_AFTER_ONCE_MS if self._once else _BREAK_AFTER_MS)
        log = EventLog(self._seed, _RATE, live_ms - _HISTORY_MS, self._broken_ms)
        events = log.forever()
        names = TopicNames(config.kafka.prefix)
        partitions = config.kafka.events_partitions
        async with BatchProducer(connection_of(config.kafka), names.events, partitions) as producer:
            await producer.send([next(events)[1] for _ in range(partitions)])
            due, held = _due(events, next(events), _now_ms())
            await producer.send(due)
            self._step(f"History: {producer.sent:,} events of the last 3 minutes; now live")
            telling = asyncio.ensure_future(self._tell(producer, worker))
            try:
                while self._outcome is None:
                    await asyncio.sleep(_SEND_SECONDS)
                    due, held = _due(events, held, _now_ms())
                    if due:
                        await producer.send(due)
                    self._sent = producer.sent
                    worker.check()
                    for task in (follow, telling):
                        if task.done():
                            task.result()
                    if self._once and time.monotonic() > self._deadline:
                        self._give_up(worker)
            finally:
                telling.cancel()

    async def _tell(self, producer: BatchProducer, worker: DemoWorker) -> None:
        """Say how fast it goes, every few seconds, and at its moment what breaks."""
        told_at, told_sent = time.monotonic(), producer.sent
        told_break = False
        while True:
            await asyncio.sleep(_SEND_SECONDS)
            if not told_break and _now_ms() >= self._broken_ms:
                told_break = True
                self._tell_break()
            now = time.monotonic()
            if now - told_at > _TELL_SECONDS:
                judged = await asyncio.to_thread(worker.judged)
                self._tell_rate((producer.sent - told_sent) / (now - told_at), judged)
                told_at, told_sent = now, producer.sent

    def _give_up(self, worker: DemoWorker) -> None:
        """End without the alert, and show what the worker said last."""
        what = f"raised no alert on {BROKEN_CHANNEL.removeprefix('feature:')} in time"
        self._console.print(f"[red]{escape(worker.trouble(what))}[/red]")
        self._outcome = 1

    def _tell_break(self) -> None:
        where = ", ".join(f"{k}={v}" for k, v in BROKEN_SLICE.items())
        self._console.print(
            f"\n  [yellow]{instant(self._broken_ms)[11:19]}Z  broken on purpose: "
            f"{BROKEN_CHANNEL.removeprefix('feature:')} in {where}[/yellow]\n"
        )

    def _tell_rate(self, rate: float, judged: int) -> None:
        clock = instant(_now_ms())[11:19]
        self._console.print(
            f"  [dim]{clock}Z  {rate:.0f} events/s live, {self._sent:,} sent, "
            f"{judged:,} judged, {_count(self._alerts, 'alert')}[/dim]"
        )

    def _on_alert(self, record: Record) -> None:
        """Show an alert, and decide whether it is the true one."""
        if "alert" not in record:
            return
        alert = record["alert"]
        show_alert(self._console, alert)
        self._alerts += alert["revision"] == 0
        fired = alert["status"] == "firing"
        early = fired and instant_ms(alert["time"]) <= self._broken_ms
        place = alert["slice"] in ({}, BROKEN_SLICE)
        true = fired and not early and place and alert["channel"] == BROKEN_CHANNEL
        if early:
            self._console.print("[red]That one is false: nothing was broken yet.[/red]")
            self._outcome = 1 if self._once else None
        elif true and not self._found:
            self._found = True
            seconds = (_now_ms() - self._broken_ms) / 1000
            self._console.print(f"\n  Found {seconds:.0f} s after the break. What to type next:\n")
            self._tell_next()
            if self._once and self._outcome is None:
                self._outcome = 0

    def _tell_next(self) -> None:
        config, profile = self._directory / "driftline.toml", self._directory / "profile.json"
        say = self._console.print
        if not self._once and self._worker is not None:
            for page in self._worker.pages():
                say(f"    curl {page}")
            say(f"    driftline alerts tail -c {config}")
        say(f"    driftline profile show {profile}")
        say(f"    driftline profile fit YOUR_{MODEL.upper()}_EVENTS.jsonl -o profile.json\n")
        if not self._once:
            say("  Everything goes on until you press Ctrl-C.\n")

    def _clear(self, stop_kafka: bool) -> None:
        """End what was started here: the worker, and the Kafka if it was not there before."""
        if self._worker is not None:
            self._worker.stop()
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
