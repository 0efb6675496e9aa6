package peers;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** The job of every peer: the sums of one cell, how it is written, and the clock. */
public final class Job {
  public static final int FEATURES = 10;
  public static final int BINS = 32;
  public static final long BUCKET_MS = 10_000;
  private static final int STRIDE = 3 + BINS;
  private static final double[][] EDGES = new double[FEATURES][BINS - 1];

  static {
    for (int f = 0; f < FEATURES; f++) {
      for (int j = 0; j < BINS - 1; j++) {
        EDGES[f][j] = (j * 0.2 - 3.0) * (f + 1);
      }
    }
  }

  private static long startNanos;
  private static long startCpuNanos;

  private Job() {}

  public static double[] cell() {
    return new double[FEATURES * STRIDE];
  }

  /** Add one event: count, sum, sum of squares and one of 32 bins for each feature. */
  public static void add(double[] cell, double[] values) {
    for (int f = 0, at = 0; f < FEATURES; f++, at += STRIDE) {
      double x = values[f];
      int bin = Arrays.binarySearch(EDGES[f], x);
      cell[at]++;
      cell[at + 1] += x;
      cell[at + 2] += x * x;
      cell[at + 3 + (bin < 0 ? -bin - 1 : bin)]++;
    }
  }

  public static void merge(double[] into, double[] from) {
    for (int i = 0; i < into.length; i++) {
      into[i] += from[i];
    }
  }

  public static long bucket(long timeMs) {
    return timeMs / BUCKET_MS * BUCKET_MS / 1000;
  }

  public static String key(String slice, long bucket) {
    return slice + "|" + bucket;
  }

  public static byte[] bytes(double[] cell) {
    ByteBuffer buffer = ByteBuffer.allocate(8 * cell.length);
    buffer.asDoubleBuffer().put(cell);
    return buffer.array();
  }

  /** Start the clock with the first event of a pass. */
  public static void started() {
    if (startNanos == 0) {
      startCpuNanos = cpuNanos();
      startNanos = System.nanoTime();
    }
  }

  public static void reset() {
    startNanos = 0;
  }

  /** Describe a pass that is done, as JSON. */
  public static String measured(long events, long endNanos) {
    return String.format(
        "{\"events\":%d,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"bytes_max\":%d}",
        events, (endNanos - startNanos) / 1e9, (cpuNanos() - startCpuNanos) / 1e9, bytesMax());
  }

  private static long cpuNanos() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }

  private static long bytesMax() {
    try {
      for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
        if (line.startsWith("VmHWM")) {
          return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
        }
      }
    } catch (IOException error) {
      return 0;
    }
    return 0;
  }
}
