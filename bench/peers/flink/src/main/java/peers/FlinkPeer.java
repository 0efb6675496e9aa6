package peers;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeHint;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The job on Flink: a mini-cluster with one slot, keyBy over the slices, event-time windows,
 * object reuse, no checkpoints.
 *
 * <p>Arguments: bootstrap, topic, prefix of the output topics, events, passes, unused, file of the
 * result.
 */
public final class FlinkPeer {
  // One JVM, one slot: the source, the windows and main share these.
  private static volatile long endNanos;
  private static volatile long seen;

  private FlinkPeer() {}

  /** Read events; start the clock with the first. */
  private static final class Reader extends AbstractDeserializationSchema<Event> {
    @Override
    public Event deserialize(byte[] bytes) throws IOException {
      Event event = Event.read(bytes);
      if (event != null) {
        Job.started();
        seen++;
      }
      return event;
    }
  }

  private static final class Sums
      implements AggregateFunction<Tuple2<String, double[]>, double[], double[]> {
    @Override
    public double[] createAccumulator() {
      return Job.cell();
    }

    @Override
    public double[] add(Tuple2<String, double[]> one, double[] cell) {
      Job.add(cell, one.f1);
      return cell;
    }

    @Override
    public double[] getResult(double[] cell) {
      return cell;
    }

    @Override
    public double[] merge(double[] into, double[] from) {
      Job.merge(into, from);
      return into;
    }
  }

  private static final class Named
      extends ProcessWindowFunction<double[], Tuple2<String, double[]>, String, TimeWindow> {
    @Override
    public void process(
        String slice,
        Context context,
        Iterable<double[]> cells,
        Collector<Tuple2<String, double[]>> out) {
      String key = Job.key(slice, context.window().getStart() / 1000);
      out.collect(Tuple2.of(key, cells.iterator().next()));
      endNanos = System.nanoTime();
    }
  }

  private static final class Writer
      implements KafkaRecordSerializationSchema<Tuple2<String, double[]>> {
    private final String topic;

    Writer(String topic) {
      this.topic = topic;
    }

    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        Tuple2<String, double[]> one, KafkaSinkContext context, Long timestamp) {
      byte[] key = one.f0.getBytes(StandardCharsets.UTF_8);
      return new ProducerRecord<>(topic, key, Job.bytes(one.f1));
    }
  }

  private static StreamExecutionEnvironment job(String bootstrap, String topic, String output) {
    Configuration settings = new Configuration();
    settings.setString("taskmanager.memory.network.min", "64mb");
    settings.setString("taskmanager.memory.network.max", "64mb");
    StreamExecutionEnvironment flink =
        StreamExecutionEnvironment.createLocalEnvironment(1, settings);
    flink.getConfig().enableObjectReuse();
    KafkaSource<Event> source =
        KafkaSource.<Event>builder()
            .setBootstrapServers(bootstrap)
            .setTopics(topic)
            .setGroupId("peer-" + System.nanoTime())
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setBounded(OffsetsInitializer.latest())
            .setProperty("max.poll.records", "5000")
            .setProperty("max.partition.fetch.bytes", String.valueOf(4 << 20))
            .setValueOnlyDeserializer(new Reader())
            .build();
    KafkaSink<Tuple2<String, double[]>> sink =
        KafkaSink.<Tuple2<String, double[]>>builder()
            .setBootstrapServers(bootstrap)
            .setRecordSerializer(new Writer(output))
            .build();
    WatermarkStrategy<Event> eventTime =
        WatermarkStrategy.<Event>forBoundedOutOfOrderness(Duration.ofSeconds(5))
            .withTimestampAssigner((event, before) -> event.timeMs);
    flink
        .fromSource(source, eventTime, "events")
        .flatMap(
            (Event event, Collector<Tuple2<String, double[]>> out) -> {
              out.collect(Tuple2.of("all", event.values));
              out.collect(Tuple2.of("country=" + event.country, event.values));
              out.collect(Tuple2.of("device=" + event.device, event.values));
            })
        .returns(new TypeHint<Tuple2<String, double[]>>() {})
        .keyBy(one -> one.f0)
        .window(TumblingEventTimeWindows.of(Duration.ofMillis(Job.BUCKET_MS)))
        .aggregate(new Sums(), new Named())
        .sinkTo(sink);
    return flink;
  }

  public static void main(String[] given) throws Exception {
    List<String> results = new ArrayList<>();
    for (int pass = 1; pass <= Integer.parseInt(given[4]); pass++) {
      seen = 0;
      Job.reset();
      job(given[0], given[1], given[2] + "-" + pass).execute("summaries");
      results.add(Job.measured(seen, endNanos));
    }
    Files.writeString(Path.of(given[6]), results + "\n");
    System.exit(0);
  }
}
