package peers;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * The job on Kafka Streams as a specialist would tune it: the Processor API, plain maps instead of
 * state stores, one cell an event (slices are rolled up when partials are sent, each second), no
 * repartition topic. Its state does not survive a crash.
 *
 * <p>Arguments: bootstrap, topic, prefix of the output topics, events, passes, state directory,
 * file of the result.
 */
public final class StreamsPeer {
  private static final TimestampExtractor EVENT_TIME =
      (record, partitionTime) ->
          record.value() == null ? Math.max(partitionTime, 0) : ((Event) record.value()).timeMs;

  private static CountDownLatch done;
  private static long seen;
  private static long wanted;
  private static long endNanos;

  private StreamsPeer() {}

  private record Cell(long bucket, String country, String device) {}

  /** One task of the topology; all tasks run on the one stream thread. */
  private static final class Summaries implements Processor<byte[], Event, String, double[]> {
    private final Map<Cell, double[]> cells = new HashMap<>();
    private ProcessorContext<String, double[]> context;

    @Override
    public void init(ProcessorContext<String, double[]> given) {
      context = given;
      context.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, at -> flush());
    }

    @Override
    public void process(Record<byte[], Event> record) {
      Event event = record.value();
      if (event == null) {
        return;
      }
      Job.started();
      Cell cell = new Cell(Job.bucket(event.timeMs), event.country, event.device);
      Job.add(cells.computeIfAbsent(cell, fresh -> Job.cell()), event.values);
      if (++seen == wanted) {
        endNanos = System.nanoTime();
        done.countDown();
      }
    }

    private void flush() {
      Map<String, double[]> slices = new HashMap<>();
      cells.forEach(
          (cell, sums) -> {
            for (String slice :
                List.of("all", "country=" + cell.country, "device=" + cell.device)) {
              String key = Job.key(slice, cell.bucket);
              Job.merge(slices.computeIfAbsent(key, fresh -> Job.cell()), sums);
            }
          });
      cells.clear();
      slices.forEach((key, sums) -> context.forward(new Record<>(key, sums, 0)));
    }

    @Override
    public void close() {
      flush();
    }
  }

  private static Topology topology(String topic, String output) {
    Topology topology = new Topology();
    topology.addSource(
        Topology.AutoOffsetReset.EARLIEST,
        "events",
        EVENT_TIME,
        Serdes.ByteArray().deserializer(),
        (name, bytes) -> Event.read(bytes),
        topic);
    topology.addProcessor("summaries", Summaries::new, "events");
    topology.addSink(
        "output",
        output,
        Serdes.String().serializer(),
        (name, sums) -> Job.bytes((double[]) sums),
        "summaries");
    return topology;
  }

  private static Properties settings(String bootstrap, String state, int pass) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-" + System.nanoTime() + "-" + pass);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, state);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 10_000);
    settings.put("max.poll.records", 5_000);
    settings.put("max.partition.fetch.bytes", 4 << 20);
    settings.put("producer.linger.ms", 50);
    return settings;
  }

  public static void main(String[] given) throws Exception {
    wanted = Long.parseLong(given[3]);
    List<String> results = new ArrayList<>();
    for (int pass = 1; pass <= Integer.parseInt(given[4]); pass++) {
      done = new CountDownLatch(1);
      seen = 0;
      Job.reset();
      Topology topology = topology(given[1], given[2] + "-" + pass);
      KafkaStreams streams = new KafkaStreams(topology, settings(given[0], given[5], pass));
      streams.start();
      done.await();
      results.add(Job.measured(wanted, endNanos));
      streams.close(Duration.ofSeconds(20));
    }
    Files.writeString(Path.of(given[6]), results + "\n");
    System.exit(0);
  }
}
