package voketag.peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * Turns chunk records into rows of PostgreSQL's binary COPY format: (product_id uuid, batch_id
 * uuid, serial int8, token text, status enum). 121 bytes a row. The product id is read out of the
 * token. Not thread-safe.
 */
final class CopyRows {
  /** Signature, flags, and length of the header extension. */
  static final byte[] HEADER = {
      'P', 'G', 'C', 'O', 'P', 'Y', '\n', -1, '\r', '\n', 0, 0, 0, 0, 0, 0, 0, 0, 0};
  /** The end of the data: a field count of -1. */
  static final byte[] TRAILER = {-1, -1};

  private static final VarHandle LONGS =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);
  private static final VarHandle INTS =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
  private static final byte[] FIRST_SERIAL = ascii("\"first_serial\":");
  private static final byte[] COUNT = ascii("\"count\":");
  private static final byte[] TOKENS = ascii("\"tokens\":[");
  private static final int BATCH_ID_AT = "{\"batch_id\":\"".length();

  private static final int PRODUCT_ID_AT = 2 + 4;
  private static final int BATCH_ID_COLUMN_AT = PRODUCT_ID_AT + 16 + 4;
  private static final int SERIAL_AT = BATCH_ID_COLUMN_AT + 16 + 4;
  private static final int TOKEN_AT = SERIAL_AT + 8 + 4;
  private static final int STATUS_AT = TOKEN_AT + Tokens.TOKEN_CHARS + 4;
  private static final byte[] SEXTETS = sextets();

  private final byte[] rowTemplate;
  private final byte[] uuid = new byte[16];
  private byte[] buffer;
  private int used;

  CopyRows(int bufferBytes, String status) {
    buffer = new byte[bufferBytes];
    byte[] label = ascii(status);
    rowTemplate = new byte[STATUS_AT + label.length];
    rowTemplate[1] = 5;
    INTS.set(rowTemplate, PRODUCT_ID_AT - 4, 16);
    INTS.set(rowTemplate, BATCH_ID_COLUMN_AT - 4, 16);
    INTS.set(rowTemplate, SERIAL_AT - 4, 8);
    INTS.set(rowTemplate, TOKEN_AT - 4, Tokens.TOKEN_CHARS);
    INTS.set(rowTemplate, STATUS_AT - 4, label.length);
    System.arraycopy(label, 0, rowTemplate, STATUS_AT, label.length);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private static byte[] sextets() {
    byte[] alphabet = ascii("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    byte[] result = new byte[128];
    for (int i = 0; i < alphabet.length; i++) {
      result[alphabet[i]] = (byte) i;
    }
    return result;
  }

  byte[] buffer() {
    return buffer;
  }

  int used() {
    return used;
  }

  void clear() {
    used = 0;
  }

  /** Appends the rows of one chunk record and returns how many they are. */
  int append(byte[] json) {
    parseUuid(json, BATCH_ID_AT);
    System.arraycopy(uuid, 0, rowTemplate, BATCH_ID_COLUMN_AT, 16);
    long serial = number(json, after(json, FIRST_SERIAL, BATCH_ID_AT + 36));
    int rows = (int) number(json, after(json, COUNT, BATCH_ID_AT + 36));
    int token = after(json, TOKENS, BATCH_ID_AT + 36) + 1;
    reserve(rows * rowTemplate.length);
    for (int i = 0; i < rows; i++) {
      System.arraycopy(rowTemplate, 0, buffer, used, rowTemplate.length);
      writeProductId(json, token, buffer, used + PRODUCT_ID_AT);
      LONGS.set(buffer, used + SERIAL_AT, serial + i);
      System.arraycopy(json, token, buffer, used + TOKEN_AT, Tokens.TOKEN_CHARS);
      used += rowTemplate.length;
      token += Tokens.TOKEN_CHARS + 3;
    }
    return rows;
  }

  private void reserve(int bytes) {
    if (used + bytes > buffer.length) {
      buffer = java.util.Arrays.copyOf(buffer, Math.max(2 * buffer.length, used + bytes));
    }
  }

  /**
   * The token's first 24 characters are 18 bytes: version, key id, and the 16 of the product id.
   */
  private static void writeProductId(byte[] json, int token, byte[] out, int at) {
    long first = eight(json, token);
    long second = eight(json, token + 8);
    long third = eight(json, token + 16);
    LONGS.set(out, at, (first << 32) | (second >>> 16));
    LONGS.set(out, at + 8, (second << 48) | third);
  }

  /** Eight characters as 48 bits. */
  private static long eight(byte[] json, int at) {
    long result = 0;
    for (int i = 0; i < 8; i++) {
      result = (result << 6) | SEXTETS[json[at + i]];
    }
    return result;
  }

  private void parseUuid(byte[] json, int at) {
    int from = at;
    for (int i = 0; i < 16; i++) {
      if (json[from] == '-') {
        from++;
      }
      uuid[i] = (byte) (Character.digit(json[from], 16) << 4 | Character.digit(json[from + 1], 16));
      from += 2;
    }
  }

  private static int after(byte[] json, byte[] name, int from) {
    for (int start = from; start + name.length <= json.length; start++) {
      if (java.util.Arrays.equals(json, start, start + name.length, name, 0, name.length)) {
        return start + name.length;
      }
    }
    throw new IllegalArgumentException(
        "a chunk record lacks " + new String(name, StandardCharsets.US_ASCII));
  }

  private static long number(byte[] json, int at) {
    long result = 0;
    for (int i = at; json[i] >= '0' && json[i] <= '9'; i++) {
      result = result * 10 + (json[i] - '0');
    }
    return result;
  }
}
