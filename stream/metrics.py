"""Every Prometheus series of a worker: base units, bounded labels, the prefix `driftline_`.

A series whose labels are known beforehand is there from the start, at 0: else what counts the
first alert would be born with it, and `increase()` would not see it.

A page is at most 1 MiB: a gauge by topic and partition, or by model, shows as many of them as
192 KiB hold, and the rest as one, `__other__`; gauges by partition of the summaries, 1,000 at
most, have less than that together with all else.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, product

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from detectors.alert import SEVERITIES, STATUSES
from detectors.events import REJECT_CODES
from detectors.monitor import Monitor
from detectors.panes import UNSET
from stream.loops import count_tasks

__all__ = ["CONTENT_TYPE", "JudgeSeries", "LearnSeries", "ObserveSeries"]

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]


# Of a gauge whose labels nothing else bounds; and of a line, beside what its labels say.
GAUGE_BYTES_MAX = 192 << 10
_LINE_BYTES = 128
_OTHER = "__other__"


class _ManyGauges(Collector):
    """Show a gauge by labels, first come, as far as there is room, and of the rest the worst.

    So a rule that asks for the worst of all stays right.
    """

    def __init__(
        self, name: str, text: str, labels: tuple[str, ...], worst: Callable[..., float]
    ) -> None:
        self._about = (f"driftline_{name}", text, None, labels)
        self._others = [_OTHER] * len(labels)
        self._worst = worst
        self._values: dict[tuple[str, ...], float] = {}

    def set(self, labels: tuple[str, ...], value: float) -> None:
        """Set the gauge of these labels."""
        self._values[labels] = value

    def remove(self, labels: tuple[str, ...]) -> None:
        """Take the gauge of these labels away, if there is one."""
        self._values.pop(labels, None)

    def clear(self) -> None:
        """Take all away."""
        self._values.clear()

    def folded(self) -> int:
        """Count the labels that are not shown by themselves."""
        return len(self._values) - self._shown()

    def _shown(self) -> int:
        """Count the labels that there is room for."""
        ends = accumulate(_LINE_BYTES + sum(map(_bytes_of, labels)) for labels in self._values)
        return sum(end <= GAUGE_BYTES_MAX for end in ends)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the samples."""
        family = GaugeMetricFamily(*self._about)
        shown, ordered = self._shown(), list(self._values.items())
        for labels, value in ordered[:shown]:
            family.add_metric(labels, value)
        if rest := [value for _, value in ordered[shown:]]:
            family.add_metric(self._others, self._worst(rest))
        yield family


def _bytes_of(label: str) -> int:
    """Count the bytes of a label as it is written."""
    return len(label.encode(errors="replace")) + sum(map(label.count, '"\\\n'))


class _Series:
    """Hold one role's registry."""

    def __init__(self) -> None:
        """Register what every role has."""
        self.registry = CollectorRegistry()
        self._shares: list[Gauge | _ManyGauges] = []
        text = "Label values that are shown as one, `__other__`, by series."
        self._folded = self._gauge("labels_folded", text, "series")
        text = "Records handed to the producer and not known to be delivered."
        self.in_flight = self._gauge("deliveries_in_flight", text)
        text = "Tasks of asyncio that have not ended, of every event loop of the role."
        self._gauge("asyncio_tasks", text).set_function(count_tasks)
        text = "Records between the log's end and what has been processed."
        self.lag = self._many("consumer_lag_records", text, ("topic", "partition"), max)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"driftline_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"driftline_{name}", text, labels, registry=self.registry)

    def _many(
        self, name: str, text: str, labels: tuple[str, ...], worst: Callable[..., float]
    ) -> _ManyGauges:
        """Register a gauge whose labels nothing else bounds."""
        gauges = _ManyGauges(name, text, labels, worst)
        self.registry.register(gauges)
        self._folded.labels(f"driftline_{name}").set_function(gauges.folded)
        return gauges

    def _share(self, name: str, text: str, *labels: str) -> Gauge:
        """Register a gauge of what this worker holds now and another may hold next."""
        gauge = self._gauge(name, text, *labels)
        self._shares.append(gauge)
        return gauge

    def forget(self) -> None:
        """Take away the gauges of what was held here: sums over workers count nothing twice."""
        for gauge in self._shares:
            gauge.clear()

    @staticmethod
    def _begin(counter: Counter, values: Iterable[tuple[str, ...]]) -> None:
        for labels in values:
            counter.labels(*labels)

    def show_lag(self, tp: tuple[str, int], records: int | None) -> None:
        """Set a partition's lag; None takes it away."""
        topic, partition = tp[0], str(tp[1])
        if records is None:
            self.lag.remove((topic, partition))
        else:
            self.lag.set((topic, partition), records)

    def render(self) -> bytes:
        """Write all series in Prometheus' text format."""
        return generate_latest(self.registry)


class ObserveSeries(_Series):
    """Count what observe reads, accepts, rejects, and sends."""

    def __init__(self) -> None:
        """Register the series of the observe role."""
        super().__init__()
        counter = self._counter
        self.records = counter("records_read", "Records read from the input topics.")
        self.events = counter("events_accepted", "Records that were events.")
        self.rejects = counter("rejects", "Records that were not events, by reason.", "code")
        self._begin(self.rejects, ((code,) for code in REJECT_CODES))
        self.unprofiled = counter("events_unprofiled", "Events of models without a profile.")
        text = "Feature names, categories and segment values that no profile names, by kind."
        self.folded = counter("values_folded", text, "kind")
        self.panes = counter("panes", "Panes summarised and delivered.")
        self.ticks = counter("ticks", "Ticks written into idle partitions.")
        text = "Partitions not read on, because the slowest is too far behind."
        self.held = self._gauge("partitions_held", text)
        self.summary_bytes = counter("summary_bytes", "Bytes of parts sent to the summaries.")
        text = "W of a partition, in event time."
        where = ("topic", "partition")
        self.watermark = self._many("watermark_timestamp_seconds", text, where, min)
        self._shares.append(self.watermark)

    def show(self, tp: tuple[str, int], w_ms: int) -> None:
        """Set a partition's watermark, once there is one."""
        if w_ms != UNSET:
            self.watermark.set((tp[0], str(tp[1])), w_ms / 1000)


class JudgeSeries(_Series):
    """Count what the judge applies, and what it says."""

    def __init__(self) -> None:
        """Register the series of the judge role."""
        super().__init__()
        counter, share = self._counter, self._share
        self.parts = counter("parts_applied", "Parts read from the summaries.")
        self.alerts = counter("alerts", "Alert revisions published.", "status", "severity")
        text = "Incident revisions published."
        self.incidents = counter("incidents", text, "status", "severity")
        for told in (self.alerts, self.incidents):
            self._begin(told, product(STATUSES, SEVERITIES))
        text = "Incidents that opened in the last 7 days, in units of what is accepted."
        self.budget_spent = self._many("alarm_budget_spent", text, ("model",), max)
        self._shares.append(self.budget_spent)
        self.metrics = counter("metric_records", "Metric records published.")
        self.snapshots = counter("snapshots", "Snapshots written to the state topic.")
        where = "partition"
        self.judged = share("events_judged", "Events whose bucket has been judged.", where)
        self.late = share("events_late", "Events that came after their bucket was final.", where)
        self.open = share("alerts_open", "Alerts that have fired and not resolved.", where)
        text = "Incidents that have opened and not resolved."
        self.incidents_open = share("incidents_open", text, where)
        text = "Bytes of partials that wait for the end of their bucket."
        self.pending_bytes = share("pending_bytes", text, where)
        text = "Seconds for which panes have waited for the slowest partition's next one."
        self.waits = share("panes_wait_seconds", text, where)
        text = "Event time up to which everything is final."
        self.horizon = share("horizon_timestamp_seconds", text, where)

    def show_wait(self, partition: str, seconds: float) -> None:
        """Set for how long the judge of a partition of the summaries has been waiting."""
        self.waits.labels(partition).set(seconds)

    def show(self, partition: str, monitor: Monitor) -> None:
        """Set the gauges of one partition of the summaries."""
        judges = monitor.judges.values()
        self.judged.labels(partition).set(sum(j.counts.judged for j in judges))
        self.late.labels(partition).set(sum(j.counts.late for j in judges))
        self.open.labels(partition).set(sum(len(j.life.open) for j in judges))
        self.incidents_open.labels(partition).set(sum(len(j.life.incidents.open) for j in judges))
        for judge in judges:
            self.budget_spent.set((judge.profile.model,), judge.budget_spent)
        self.pending_bytes.labels(partition).set(monitor.pending_bytes)
        horizon = monitor.order.horizon()
        if horizon != UNSET:
            self.horizon.labels(partition).set(horizon / 1000)


class LearnSeries(_Series):
    """Count what the learn role reads, and what comes of it."""

    def __init__(self) -> None:
        """Register the series of the learn role."""
        super().__init__()
        self.records = self._counter("records_read", "Records read from the events topic.")
        self.models = self._gauge("models_learning", "Models whose reference is being gathered.")
        self.learnt = self._counter("profiles_learnt", "Profiles learnt and pushed.")
