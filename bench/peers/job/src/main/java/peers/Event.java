package peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.io.UncheckedIOException;

/** One event, as far as the job needs it; read with Jackson's streaming parser. */
public final class Event {
  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();

  public long timeMs;
  public String country = "";
  public String device = "";
  public double[] values = new double[Job.FEATURES];

  /** Read an event; null for the empty record that driftline writes into idle partitions. */
  public static Event read(byte[] bytes) {
    if (bytes == null || bytes.length == 0) {
      return null;
    }
    Event event = new Event();
    try (JsonParser json = JSON.createParser(bytes)) {
      json.nextToken();
      while (json.nextToken() != JsonToken.END_OBJECT) {
        String name = json.currentName();
        json.nextToken();
        switch (name) {
          case "time" ->
              event.timeMs =
                  milliseconds(
                      json.getTextCharacters(), json.getTextOffset(), json.getTextLength());
          case "features" -> event.readFeatures(json);
          case "segments" -> event.readSegments(json);
          default -> json.skipChildren();
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return event;
  }

  private void readFeatures(JsonParser json) throws IOException {
    while (json.nextToken() != JsonToken.END_OBJECT) {
      int feature = json.currentName().charAt(1) - '0';
      json.nextToken();
      values[feature] = json.getDoubleValue();
    }
  }

  private void readSegments(JsonParser json) throws IOException {
    while (json.nextToken() != JsonToken.END_OBJECT) {
      String name = json.currentName();
      json.nextToken();
      if (name.equals("country")) {
        country = json.getText();
      } else if (name.equals("device")) {
        device = json.getText();
      }
    }
  }

  /** Read 2024-01-01T00:00:00[.123456]Z at fixed places: faster than java.time by far. */
  private static long milliseconds(char[] text, int at, int length) {
    int year = number(text, at, 4);
    int month = number(text, at + 5, 2);
    int day = number(text, at + 8, 2);
    int millis = length > 20 ? number(text, at + 20, 3) : 0;
    // Days since 1970 in the proleptic Gregorian calendar, with March as the first month.
    int y = month > 2 ? year : year - 1;
    int m = month > 2 ? month - 3 : month + 9;
    long days = 365L * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
    long seconds =
        days * 86400
            + number(text, at + 11, 2) * 3600L
            + number(text, at + 14, 2) * 60L
            + number(text, at + 17, 2);
    return seconds * 1000 + millis;
  }

  private static int number(char[] text, int at, int digits) {
    int value = 0;
    for (int i = at; i < at + digits; i++) {
      value = value * 10 + text[i] - '0';
    }
    return value;
  }
}
