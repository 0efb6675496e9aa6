"""The same job on what people would otherwise build it with, on the same log and core.

Every peer reads the topic, sums ten features of three slices by 10 s of event time (count, sum,
sum of squares, 32 bins) and writes the cells to a topic; what it wrote is then compared with the
log's own totals, so nobody is measured on half a job.  A peer's clock runs from its first event
to its last; driftline's, which does much more (watermarks, rejects, exact offsets, detectors,
alerts), from the moment it is given its partitions to its last metric.

JVM peers run the job twice in one process: the first pass is "cold", the second "warm". Slow
peers get a log of their own with fewer events. Quix Streams leaves windows open until later
events of the same slice come: of it, only the closed ones are compared.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from detectors.errors import DriftlineError
from driftline.bench.environments import NotRunError, built_with_maven, environment, sources
from driftline.bench.events import events
from driftline.bench.options import Options
from driftline.bench.place import Place, Wanted, place
from driftline.bench.processes import running
from driftline.bench.results import Ratio, Result, Told
from driftline.bench.throughput import HOT, Measured, own_setting, run_naive
from driftline.bench.totals import Totals, check_totals, closed, true_totals, written_totals
from driftline.bench.workers import run_worker
from stream.connection import connection_of

__all__ = ["PEERS", "Peer", "run"]

_SECONDS_MAX = 400.0
_WARM = ("Kafka Streams, warm", "Flink, warm")
_JAVA = ["-Xmx2g", "-XX:+UseSerialGC"]
# Flink's serialisers look into the JDK's own classes.
_JAVA += [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in ("util", "lang", "time")]
_CLIENT = ("confluent-kafka==2.16.1", "aiokafka==0.14.0", "orjson", "numpy")


class Peer(NamedTuple):
    """Name a peer, and say how it runs: a Java class, or a Python program with its needs."""

    name: str
    program: str
    passes: tuple[str, ...] = ("",)
    mode: str = ""
    requirements: tuple[str, ...] = ()
    is_slow: bool = False
    closes_all: bool = True


PEERS = (
    Peer("Kafka Streams", "kafka-streams/peers.StreamsPeer", (", cold", ", warm")),
    Peer("Flink", "flink/peers.FlinkPeer", (", cold", ", warm")),
    Peer("hand loop, confluent-kafka", "hand.py", mode="confluent", requirements=_CLIENT),
    Peer("hand loop, aiokafka", "hand.py", mode="aiokafka", requirements=_CLIENT),
    Peer(
        "bytewax, batches",
        "bytewax_flow.py",
        requirements=("bytewax==0.21.1", "confluent-kafka==2.16.1", "orjson", "numpy"),
    ),
    Peer(
        "Pathway",
        "pathway_flow.py",
        requirements=("pathway==0.33.0", "confluent-kafka==2.16.1", "orjson"),
        is_slow=True,
    ),
    Peer(
        "Quix Streams",
        "quix_flow.py",
        requirements=("quixstreams==3.28.1", "orjson", "numpy"),
        is_slow=True,
        closes_all=False,
    ),
)

RATIOS = (
    Ratio("hot path / better of Kafka Streams and Flink, warm", HOT, _WARM),
    Ratio("hot path / Kafka Streams, warm", HOT, _WARM[:1]),
    Ratio("hot path / Flink, warm", HOT, _WARM[1:]),
    Ratio("hot path / hand loop", HOT, tuple(p.name for p in PEERS if p.program == "hand.py")),
    *(Ratio(f"hot path / {peer.name}", HOT, (peer.name,)) for peer in PEERS[4:]),
    Ratio("hot path / naive", HOT, ("naive",)),
)


def run(options: Options, told: Told) -> Result:
    """Run driftline, the naive worker and every peer that can be had in each round.

    A peer that fails, or writes other totals than the log has, has no rate in that round, and
    the result says why.
    """
    wanted = Wanted(options.events, options.seed, config_path=options.config_path)
    not_run: dict[str, str] = {}
    commands: dict[Peer, list[str]] = {}
    for peer in PEERS:
        try:
            commands[peer] = _command(peer, told, options.python)
        except NotRunError as reason:
            not_run[peer.name] = str(reason)
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        where = stack.enter_context(place(wanted, options.bootstrap, told))
        few = wanted._replace(events=min(options.naive_events, options.events))
        slow = stack.enter_context(place(few, options.bootstrap, told, where.profile))
        told.progress("Adding up the logs, to compare with")
        logs = [
            (log, true_totals(events(log.wanted.events, options.seed))) for log in (where, slow)
        ]
        rounds = []
        for number in range(1, options.rounds + 1):
            told.progress(f"Round {number} of {options.rounds}: driftline and the naive worker")
            rates = {"naive": run_naive(where, options, number).rate}
            worked = run_worker(where, own_setting(HOT))
            rates[HOT] = worked.rate
            cost = (worked.observe_cpu_seconds + worked.judge_cpu_seconds) / worked.events
            figures["hot path: cpu us/event"] = min(
                figures.get("hot path: cpu us/event", math.inf), cost * 1e6
            )
            for peer, command in commands.items():
                told.progress(f"Round {number} of {options.rounds}: {peer.name}")
                try:
                    passes = dict(_run(peer, command, *logs[peer.is_slow]))
                except DriftlineError as error:
                    not_run[peer.name] = f"round {number}: {error}"
                    continue
                for name, passed in passes.items():
                    rates[name] = passed.rate
                    mib = passed.bytes_max / 2**20
                    figures[f"{name}: MiB"] = max(figures.get(f"{name}: MiB", 0.0), mib)
                    least = figures.get(f"{name}: cpu us/event", math.inf)
                    figures[f"{name}: cpu us/event"] = min(least, passed.cpu_cost * 1e6)
            for log, _ in logs:
                log.log.clear(keep_events=True)
            told.line(f"round {number}: " + ", ".join(f"{k} {v:,.0f}" for k, v in rates.items()))
            rounds.append(rates)
    return Result(
        bench="peers",
        says=__doc__.partition("\n\n")[2].strip(),
        unit="events/s",
        rounds=tuple(rounds),
        ratios=RATIOS,
        figures=figures,
        not_run=not_run,
    )


class _Pass(Measured, frozen=True):
    """Hold what a peer measured of one pass, as it wrote it."""

    bytes_max: float = 0.0


def _command(peer: Peer, told: Told, python: Path | None) -> list[str]:
    """Build or install what a peer needs; give how its command begins."""
    if not peer.requirements:
        module, _, main = peer.program.partition("/")
        target = built_with_maven(told) / module / "target"
        return ["java", *_JAVA, "-cp", f"{target / f'{module}-1.jar'}:{target / 'lib'}/*", main]
    program = sources() / "peers" / "python" / peer.program
    name = Path(peer.program).stem
    return [str(environment(name, peer.requirements, told, python)), str(program)]


def _run(peer: Peer, command: list[str], where: Place, true: Totals) -> Iterator[tuple[str, _Pass]]:
    """Run one peer; check what each pass wrote."""
    names, events_ = where.log.names, str(where.wanted.events)
    slug = peer.name.lower().replace(" ", "-").replace(",", "")
    output = f"{names.prefix}.{slug}"
    result = where.bench.directory / f"{slug}.json"
    result.unlink(missing_ok=True)
    bootstrap = where.config.kafka.bootstrap
    if peer.requirements:
        outputs = [output]
        told = {"mode": peer.mode, "bootstrap": bootstrap, "topic": names.events}
        told |= {"output": output, "events": events_, "result": str(result)}
        command = [*command, *(f"--{key}={value}" for key, value in told.items())]
    else:
        outputs = [f"{output}-{i}" for i in range(1, len(peer.passes) + 1)]
        state = str(where.bench.directory / "state")
        told_ = [bootstrap, names.events, output, events_, str(len(outputs)), state, str(result)]
        command = [*command, *told_]
    where.log.create(outputs, where.config.kafka.summaries_partitions)
    with running(where.bench, slug, command) as process:
        line = process.result(result, _SECONDS_MAX)
    passes = msgspec.json.decode(line, type=list[_Pass])
    connection = connection_of(where.config.kafka)
    for topic, suffix, passed in zip(outputs, peer.passes, passes, strict=True):
        due = true if peer.closes_all else closed(true)
        written = written_totals(connection, topic)
        found = {key: cell for key, cell in written.items() if peer.closes_all or key in due}
        check_totals(peer.name + suffix, found, due)
        yield peer.name + suffix, passed
