#include <algorithm>
#include <memory>
#include <ostream>

#include "voketag/commands/command.h"
#include "voketag/commands/dlq.h"
#include "voketag/escaped_text.h"
#include "voketag/kafka_access.h"

namespace voketag::cli {
namespace {

constexpr std::size_t kShownBytesMax = 16 * 1024;

struct Options {
  std::string id;
  bool raw = false;
};

void print_text(Session& session, const DeadLetter& letter) {
  Terminal& terminal = session.terminal();
  const Paint paint = terminal.output_paint();
  std::ostream& out = terminal.output();
  const auto line = [&](std::string name, const std::string& value) {
    name.resize(std::max<std::size_t>(name.size() + 1, 12), ' ');
    out << "  " << paint(Style::kDim, name) << value << '\n';
  };
  out << "Dead letter " << letter.id() << ": " << paint(Style::kYellow, escaped(letter.reason))
      << '\n';
  line("detail", escaped(letter.detail));
  line("refused by", escaped(letter.processor) + ", " + letter.at.to_string());
  line("from", "topic " + escaped(letter.topic) + ", partition " +
                   std::to_string(letter.source_partition) + ", offset " +
                   std::to_string(letter.source_offset));
  if (const auto why_not = why_not_retryable(letter)) line("retry", "no: " + *why_not);
  line("key", letter.key ? escaped(*letter.key) : "(none)");
  for (const auto& [name, value] : letter.headers) {
    line("header", escaped(name) + ": " + escaped(value));
  }
  if (!letter.value) {
    line("value", "(none: a tombstone)");
    return;
  }
  const std::string size = bytes_text(letter.value_bytes);
  line("value", size + (letter.cut ? ", cut: the rest was not kept" : ""));
  out << '\n' << escaped(std::string_view(*letter.value).substr(0, kShownBytesMax), true) << '\n';
  if (letter.value_bytes > kShownBytesMax) {
    terminal.error() << "  The first " << bytes_text(kShownBytesMax) << " of " << size
                     << "; all of it: voketag dlq show " << letter.id() << " --raw\n";
  }
}

ExitCode show(Session& session, const Options& options) {
  const auto id = parse_dead_letter_id(options.id);
  if (!id) return session.report(id.error());
  const auto configuration = session.configuration();
  if (!configuration) return session.report(configuration.error());
  auto log = open_kafka(**configuration);
  if (!log) return session.report(log.error());
  const auto letter = fetch_dead_letter(**log, *id);
  if (!letter) return session.report(letter.error());
  if (options.raw) {
    if (session.terminal().traits().output_is_terminal) {
      return session.report(events::Errc::kInvalid,
                            "--raw writes a stranger's bytes, which a terminal would obey; send "
                            "them to a file or a pipe: voketag dlq show " +
                                letter->id() + " --raw > bytes");
    }
    session.terminal().output() << letter->value.value_or("");
  } else if (session.json) {
    JsonText json;
    write_json(json, *letter, true);
    session.print(json);
  } else {
    print_text(session, *letter);
  }
  return ExitCode::kYes;
}

}  // namespace

void add_dlq_show(CLI::App& parent, Session& session) {
  CLI::App* command = parent.add_subcommand(
      "show",
      "Show one dead letter: why, from where, and its bytes\n"
      "Bytes that are no text are shown as \\xNN, so nothing in them reaches the terminal.");
  auto options = std::make_shared<Options>();
  command->add_option("ID", options->id, "partition/offset, as `voketag dlq list` shows it")
      ->required();
  command->add_flag("--raw", options->raw, "Write the value's bytes as they are, and nothing else");
  add_json_flag(*command, session);
  examples(*command,
           "  voketag dlq show 3/120\n"
           "  voketag dlq show 3/120 --raw | xxd | head");
  command->callback([&session, options] {
    session.action = [&session, options] { return show(session, *options); };
  });
}

}  // namespace voketag::cli
