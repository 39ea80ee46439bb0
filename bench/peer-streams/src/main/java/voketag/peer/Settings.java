package voketag.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** Command line {@code --name value} pairs, with defaults; an unknown name is an error. */
final class Settings {
  private final Map<String, String> values;

  private Settings(Map<String, String> values) {
    this.values = values;
  }

  static Settings parse(String[] arguments, Map<String, String> defaults) {
    Map<String, String> values = new HashMap<>(defaults);
    for (int i = 0; i < arguments.length; i += 2) {
      String name = arguments[i].startsWith("--") ? arguments[i].substring(2) : arguments[i];
      if (!defaults.containsKey(name) || i + 1 == arguments.length) {
        throw new IllegalArgumentException(
            "unknown or incomplete option --" + name + "; known: " + defaults.keySet());
      }
      values.put(name, arguments[i + 1]);
    }
    return new Settings(values);
  }

  String text(String name) {
    return values.get(name);
  }

  int number(String name) {
    return Integer.parseInt(values.get(name));
  }

  boolean flag(String name) {
    return Boolean.parseBoolean(values.get(name));
  }

  /**
   * The key of {@code VOKETAG_TOKEN_KEYS} ("id:base64url,..."; the first signs) or of the file that
   * {@code VOKETAG_TOKEN_KEYS_FILE} names; without either, 32 zero bytes.
   */
  static byte[] signingKey() {
    String keys = System.getenv("VOKETAG_TOKEN_KEYS");
    String file = System.getenv("VOKETAG_TOKEN_KEYS_FILE");
    if (keys == null && file != null) {
      try {
        keys = Files.readString(Path.of(file)).strip();
      } catch (IOException e) {
        throw new IllegalArgumentException("cannot read VOKETAG_TOKEN_KEYS_FILE " + file, e);
      }
    }
    if (keys == null || keys.isEmpty()) {
      return new byte[32];
    }
    String first = keys.split(",")[0];
    return Base64.getUrlDecoder().decode(first.substring(first.indexOf(':') + 1).replace("=", ""));
  }
}
