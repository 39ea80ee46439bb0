#include "tests/scenarios/scenario.h"

#include <cctype>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/topics.h"
#include "events/uuid.h"
#include "runtime/test_driver.h"
#include "tests/scenarios/main_job.h"

namespace voketag::scenarios {
namespace {

using runtime::MemoryLog;
using runtime::TestDriver;

// Whatever is wrong with a line, or was not as it expects.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr std::int64_t kIdleWaitMs = 30'000;

// Takes words off a line, from the left.
class Words {
 public:
  explicit Words(std::string_view rest) : rest_(rest) { skip_blanks(); }

  bool empty() const { return rest_.empty(); }
  std::string_view peek() const { return rest_.substr(0, rest_.find(' ')); }
  std::string next() {
    if (rest_.empty()) throw Failure("a word is missing at the end of the line");
    const auto word = peek();
    rest_.remove_prefix(word.size());
    skip_blanks();
    return std::string(word);
  }
  bool take(std::string_view word) {
    if (peek() != word) return false;
    next();
    return true;
  }
  std::int64_t number() { return std::stoll(next()); }
  std::string rest() { return std::string(std::exchange(rest_, {})); }

 private:
  void skip_blanks() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

std::int64_t duration_ms(const std::string& text) {
  std::size_t digits = 0;
  const std::int64_t number = std::stoll(text, &digits);
  const auto unit = text.substr(digits);
  if (unit == "ms") return number;
  if (unit == "s") return number * 1'000;
  if (unit == "min") return number * 60'000;
  throw Failure("a duration is a number and ms, s or min, not " + text);
}

// $name -> the UUID of that name; $pad(n) -> n letters x; \xHH -> that byte.
std::string expand(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with("$pad(")) {
      const auto end = text.find(')', i);
      result.append(static_cast<std::size_t>(std::stoll(std::string(text.substr(i + 5)))), 'x');
      i = end + 1;
    } else if (text[i] == '$') {
      std::size_t end = i + 1;
      while (end < text.size() && std::isalnum(static_cast<unsigned char>(text[end])) != 0) ++end;
      result += events::Uuid::v5(events::kNamespace, text.substr(i + 1, end - i - 1)).to_string();
      i = end;
    } else if (text.substr(i).starts_with("\\x")) {
      result += static_cast<char>(std::stoi(std::string(text.substr(i + 2, 2)), nullptr, 16));
      i += 4;
    } else {
      result += text[i++];
    }
  }
  return result;
}

// A member of an event as our codec writes it, without quotes.
std::optional<std::string> member_of(std::string_view json, std::string_view name) {
  const std::string label = "\"" + std::string(name) + "\":";
  const auto found = json.find(label);
  if (found == std::string_view::npos) return std::nullopt;
  const auto value = json.substr(found + label.size());
  if (value.starts_with('"')) return std::string(value.substr(1, value.find('"', 1) - 1));
  return std::string(value.substr(0, value.find_first_of(",}]")));
}

using Conditions = std::vector<std::pair<std::string, std::string>>;

Conditions read_conditions(Words& words) {
  Conditions conditions;
  while (!words.empty()) {
    const auto word = words.next();
    const auto equals = word.find('=');
    if (equals == std::string::npos) throw Failure("name=value is expected, not " + word);
    conditions.emplace_back(word.substr(0, equals), expand(word.substr(equals + 1)));
  }
  return conditions;
}

class Scenario {
 public:
  explicit Scenario(std::filesystem::path directory) : directory_(std::move(directory)) {}

  void run_line(const std::string& line) {
    Words words(line);
    const auto verb = words.next();
    static const std::map<std::string, void (Scenario::*)(Words&)> kVerbs{
        {"option", &Scenario::option},   {"start", &Scenario::start},
        {"restart", &Scenario::start},   {"crash", &Scenario::crash},
        {"stop", &Scenario::stop},       {"pause", &Scenario::pause},
        {"resume", &Scenario::resume},   {"send", &Scenario::send},
        {"advance", &Scenario::advance}, {"run", &Scenario::run},
        {"expect", &Scenario::expect},   {"fault", &Scenario::fault}};
    const auto known = kVerbs.find(verb);
    if (known == kVerbs.end()) throw Failure("there is no verb " + verb);
    (this->*known->second)(words);
    if (!words.empty()) throw Failure("what is " + words.rest() + " for?");
  }

 private:
  TestDriver& driver() {
    if (!driver_) {
      driver_ = std::make_unique<TestDriver>(main_job(options_),
                                             runtime::TestDriverOptions{.directory = directory_});
    }
    return *driver_;
  }
  static void demand(const events::Status& status) {
    if (!status) throw Failure(status.error().message);
  }

  // ---- doing

  void option(Words& words) {
    const std::map<std::string, std::int64_t*> options{
        {"chunk_size", &options_.chunk_size},
        {"made_at_once_max", &options_.made_at_once_max},
        {"products_in_flight_max", &options_.products_in_flight_max},
        {"stall_timeout_ms", &options_.stall_timeout_ms},
        {"reminders_max", &options_.reminders_max},
        {"anchor_retry_ms", &options_.anchor_retry_ms},
        {"mock_failures", &options_.mock_failures},
        {"block_time_ms", &options_.block_time_ms},
        {"retry_ms", &options_.retry_ms}};
    if (driver_) throw Failure("options come before everything else");
    const auto found = options.find(words.next());
    if (found == options.end()) throw Failure("there is no such option");
    *found->second = words.number();
  }

  void start(Words& words) { driver().start(words.next()); }

  void stop(Words& words) { demand(driver().stop(words.next())); }

  // crash NAME [losing its state] | crash NAME before|after the commit of PROCESSOR
  void crash(Words& words) {
    const auto name = words.next();
    const bool before = words.take("before");
    if (before || words.take("after")) {
      words.take("the"), words.take("commit"), words.take("of");
      driver().log().script_crash(words.next() + "." + name, !before);
      return;
    }
    const bool lost = words.take("losing");
    if (lost) words.take("its"), words.take("state");
    driver().crash(name, lost ? runtime::StateFate::kLost : runtime::StateFate::kKept);
  }

  void pause(Words& words) { set_paused(words, true); }
  void resume(Words& words) { set_paused(words, false); }
  void set_paused(Words& words, bool paused) {
    const auto name = words.next();
    driver().pause(name, words.rest(), paused);
  }

  // fault aborted|lost|unknown of PROCESSOR.INSTANCE: how its next commit ends
  void fault(Words& words) {
    const auto kind = words.next();
    words.take("of");
    const auto id = words.next();
    using runtime::CommitOutcome;
    if (kind == "aborted")
      driver().log().script_commit(id, CommitOutcome::kAborted);
    else if (kind == "lost")
      driver().log().script_commit(id, CommitOutcome::kUnknown, false);
    else if (kind == "unknown")
      driver().log().script_commit(id, CommitOutcome::kUnknown, true);
    else
      throw Failure("there is no fault " + kind);
  }

  // send TOPIC [key=KEY] [header:NAME=VALUE] VALUE
  void send(Words& words) {
    events::OutputRecord record;
    record.topic = words.next();
    while (words.peek().starts_with("key=") || words.peek().starts_with("header:")) {
      const auto word = words.next();
      const auto equals = word.find('=');
      if (word.starts_with("key=")) {
        record.key = expand(word.substr(equals + 1));
      } else {
        record.headers.emplace_back(word.substr(7, equals - 7), expand(word.substr(equals + 1)));
      }
    }
    const auto value = words.rest();
    if (value != "(tombstone)") record.value = expand(value);
    driver().log().append(record);
  }

  void advance(Words& words) { demand(driver().run_for(duration_ms(words.next()))); }

  // run: until nothing waits but timers that lie ahead.  run to the end: timers too.
  void run(Words& words) {
    if (words.take("to")) {
      words.take("the"), words.take("end");
      demand(driver().run());
    } else {
      demand(driver().run_until_idle(kIdleWaitMs));
    }
  }

  // ---- expecting

  void expect(Words& words) {
    const bool none = words.take("no");
    const auto what = words.next();
    if (what == "sound") {
      words.take("products");
      const auto problems = check_products(driver());
      if (!problems.empty()) throw Failure(problems);
    } else if (what == "view") {
      expect_rows(words, none);
    } else if (what == "dead-letter") {
      expect_records(std::string(events::kDeadLetters), words, none, letter_member);
    } else {
      expect_records(what, words, none, event_member);
    }
  }

  using Member = std::optional<std::string> (*)(const MemoryLog::Record&, std::string_view);
  static std::optional<std::string> event_member(const MemoryLog::Record& record,
                                                 std::string_view name) {
    if (name == "key") return record.key;
    return member_of(record.value.value_or(""), name);
  }
  static std::optional<std::string> letter_member(const MemoryLog::Record& record,
                                                  std::string_view name) {
    if (name == "key") return record.key;
    if (name == "value") return record.value;
    return record.header("dead_letter_" + std::string(name));
  }

  static std::optional<std::int64_t> take_times(Words& words) {
    if (words.empty() || std::isdigit(static_cast<unsigned char>(words.peek()[0])) == 0) return {};
    const auto number = words.number();
    words.take("times");
    return number;
  }

  static void check_count(std::size_t found, bool none, std::optional<std::int64_t> times,
                          const std::string& what, const std::string& all) {
    const bool met = none    ? found == 0
                     : times ? found == static_cast<std::size_t>(*times)
                             : found > 0;
    if (!met) {
      throw Failure(std::to_string(found) + " of " + what + " match; there are:\n" + all);
    }
  }

  void expect_records(const std::string& topic, Words& words, bool none, Member member) {
    const auto times = take_times(words);
    const auto conditions = read_conditions(words);
    std::size_t found = 0;
    std::string all;
    for (const auto& record : driver().log().records(topic)) {
      bool matches = true;
      for (const auto& [name, value] : conditions) matches &= member(record, name) == value;
      found += matches ? 1 : 0;
      all += "  " + record.key.value_or("(none)") + " " +
             record.value.value_or("(tombstone)").substr(0, 300) + " " +
             record.header("dead_letter_reason").value_or("") + " " +
             record.header("dead_letter_detail").value_or("") + "\n";
    }
    check_count(found, none, times, topic, all);
  }

  void expect_rows(Words& words, bool none) {
    const auto view = words.next();
    const auto times = take_times(words);
    const auto conditions = read_conditions(words);
    std::size_t found = 0;
    std::string all;
    if (const auto* table = driver().views().table(view)) {
      for (const auto& [key, row] : table->rows) {
        bool matches = true;
        for (const auto& [name, value] : conditions) {
          matches &= table->value(key, name).value_or("(null)") == value;
        }
        found += matches ? 1 : 0;
        all += "  " + key + "\n";
      }
    }
    check_count(found, none, times, "view " + view, all);
  }

  const std::filesystem::path directory_;
  MainJobOptions options_;
  std::unique_ptr<TestDriver> driver_;
};

}  // namespace

std::string run_scenario(const std::filesystem::path& file,
                         const std::filesystem::path& directory) {
  std::ifstream stream(file);
  Scenario scenario(directory);
  std::string line;
  for (int number = 1; std::getline(stream, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    try {
      scenario.run_line(line);
    } catch (const std::exception& error) {
      return file.filename().string() + ":" + std::to_string(number) + ": " + line.substr(0, 200) +
             "\n  " + error.what();
    }
  }
  return {};
}

}  // namespace voketag::scenarios
