"""The benches by name, and what each asks: all that `--help` needs, so that it loads nothing."""

__all__ = ["BENCHES"]

BENCHES = {
    "throughput": """How fast is a worker, against a naive one and against the limit?

A topic with 4 partitions is filled with JSON events of about 420 bytes: 10 numeric features, a
prediction, a country, a device. The naive worker is Faust with one event at a time, orjson, and
river's ADWIN and PageHinkley for each feature in three slices (all, the event's country, its
device). The driftline worker is `driftline worker`, whole: observe and judge as two processes,
with decoding, rejects, clocks, panes, summaries, commits, metrics, alerts, and a profile fitted
on generated reference events.

All are pinned to the same one core, where the system can do that, and take turns; the broker is
not pinned. The naive worker's clock runs from its first event to its last one done, at most 30
seconds; driftline's from the moment it is given the partitions to its last summary and metric on
the broker. What driftline counted must be exactly what was written.

Without a configured or running Kafka one is started for this, and removed. The last line is
`ratio N`: the median over the rounds of driftline's rate divided by the naive one's.""",
    "peers": """How fast is the same job on Kafka Streams, Flink, bytewax, or by hand?

Every peer sums ten features of three slices by 10 s of event time and writes the sums to a
topic; what it wrote is compared with the log's own totals. The Java programs (bench/peers in the
repository) are built with Maven; Python peers get an environment of their own. One that cannot
be had here is listed as not run, with the reason.""",
    "libraries": """How fast are PSI, JS, binned KS and means of a window, against drift libraries?

evidently, nannyml, whylogs, frouros, alibi-detect and scouter, each in its own environment,
on a window of 100,000 rows of 10 numbers against a reference of the same size. Processor time
counts, of one core.""",
    "detectors": """How fast are the banks of ADWIN, Page-Hinkley, Shiryaev-Roberts, against river?

The alarms must be at the same places. Processor time counts.""",
    "decode": """How fast is each way from an event's bytes to its values?

In one process; processor time counts.""",
    "judge": """What does a bucket cost the judge of one model with 20,000 streams?

Merging, finalising, blocks, all detectors and the policy, where every stream completes a block in
every bucket; and with the metric records of all of them. Processor time counts, of one core.""",
    "phases": """Where do the microseconds of an event go?""",
    "latency": """How long is it from an event to its alert, beyond bucket, lateness and pane?

At 2,000 and 50,000 events a second, through a worker whose bucket, lateness and pane are 1 s.""",
    "scale": """What do 2 and 4 worker processes in one group cost, against 1?""",
    "memory": """How much memory does a worker take, with 1,000 and with 20,000 streams?""",
}
