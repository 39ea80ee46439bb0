#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "events/json_writer.h"
#include "runtime/test_driver.h"
#include "tests/scenarios/main_job.h"

// Runs the main job once per seed, undisturbed and disturbed, and says which seeds did not end
// alike, and how to run each again. What a seed does depends on the seed alone, not on the jobs.
// Exit code 1 when one did not end alike, 2 when the command line is wrong.
namespace {

constexpr std::string_view kUsage =
    "usage: simulate --seeds FROM..TO [--jobs N] [--json]\n"
    "  --jobs N   run N seeds at a time\n"
    "  --json     a summary in JSON on standard output; all else goes to standard error\n";
constexpr int kJobsMax = 1024;
constexpr auto kTerminalInterval = std::chrono::seconds(1);
constexpr auto kFileInterval = std::chrono::seconds(60);

struct Arguments {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  int jobs = 1;
  bool json = false;
};

template <class Number>
bool parse(std::string_view text, Number& number) {
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

std::optional<Arguments> parse_arguments(const std::vector<std::string_view>& words) {
  Arguments result;
  bool has_seeds = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool has_value = i + 1 < words.size();
    if (words[i] == "--json") {
      result.json = true;
    } else if (words[i] == "--jobs" && has_value) {
      if (!parse(words[++i], result.jobs) || result.jobs < 1 || result.jobs > kJobsMax) return {};
    } else if (words[i] == "--seeds" && has_value) {
      const auto range = words[++i];
      const auto dots = range.find("..");
      if (dots == std::string_view::npos || !parse(range.substr(0, dots), result.from) ||
          !parse(range.substr(dots + 2), result.to) || result.to < result.from) {
        return {};
      }
      has_seeds = true;
    } else {
      return {};
    }
  }
  return has_seeds ? std::optional(result) : std::nullopt;
}

// What the instances keep is written and removed thousands of times: in memory where that can be.
std::filesystem::path directory(int job) {
  const std::filesystem::path memory = "/dev/shm";
  const bool has_memory = ::access(memory.c_str(), W_OK) == 0;
  return (has_memory ? memory : std::filesystem::temp_directory_path()) /
         ("voketag-simulate-" + std::to_string(::getpid()) + "-" + std::to_string(job));
}

// What a handler throws, or a checker, is as bad as what differs in the end.
voketag::scenarios::Simulation simulate(std::uint64_t seed, int job) {
  try {
    return voketag::scenarios::simulate(seed, directory(job));
  } catch (const std::exception& error) {
    voketag::scenarios::Simulation result;
    result.problem = "seed " + std::to_string(seed) + " threw: " + error.what() + "\n";
    return result;
  }
}

// What has been run so far, and the words about it.
class Report {
 public:
  Report(std::string program, const Arguments& arguments)
      : program_(std::move(program)),
        arguments_(arguments),
        out_(arguments.json ? std::cerr : std::cout),
        on_terminal_(::isatty(arguments.json ? STDERR_FILENO : STDOUT_FILENO) == 1) {}

  void add(std::uint64_t seed, const voketag::scenarios::Simulation& result) {
    const std::lock_guard lock(mutex_);
    ++seeds_;
    steps_ += result.steps;
    simulated_ms_ += result.simulated_ms;
    disturbed_ms_ += result.disturbed_ms;
    for (const auto& [kind, times] : result.disturbances) disturbances_[kind] += times;
    if (!result.problem.empty()) {
      failed_.push_back(seed);
      end_progress_line();
      out_ << result.problem << "again: " << again(seed) << std::endl;
    }
    say_progress();
  }

  // Returns the exit code.
  int finish() {
    end_progress_line();
    if (arguments_.json) {
      std::cout << json() << std::endl;
    } else {
      out_ << sentence() << "\n";
      for (const auto& [kind, times] : disturbances_) out_ << "  " << kind << ": " << times << "\n";
    }
    return failed_.empty() ? 0 : 1;
  }

 private:
  std::string again(std::uint64_t seed) const {
    return program_ + " --seeds " + std::to_string(seed) + ".." + std::to_string(seed);
  }

  double minutes() const {
    return std::chrono::duration<double, std::ratio<60>>(Clock::now() - began_at_).count();
  }
  static double hours(std::int64_t ms) { return static_cast<double>(ms) / 3'600'000; }

  std::string sentence() const {
    std::ostringstream text;
    text << seeds_ << " seeds, " << failed_.size() << " failed, " << steps_ << " steps; "
         << std::fixed << std::setprecision(1) << hours(simulated_ms_) << " simulated hours, "
         << hours(disturbed_ms_) << " of them under faults, in " << minutes() << " minutes, "
         << std::setprecision(0) << hours(simulated_ms_) / minutes() << " and "
         << hours(disturbed_ms_) / minutes() << " a minute";
    return text.str();
  }

  // On a terminal one line that is written over, elsewhere a line a minute.
  void say_progress() {
    const auto now = Clock::now();
    if (now - said_at_ < (on_terminal_ ? Clock::duration(kTerminalInterval) : kFileInterval))
      return;
    said_at_ = now;
    const auto all = arguments_.to - arguments_.from + 1;
    out_ << (on_terminal_ ? "\r\x1b[K" : "") << "of " << all << ": " << sentence();
    if (on_terminal_) {
      out_ << std::flush;
      line_is_open_ = true;
    } else {
      out_ << std::endl;
    }
  }

  void end_progress_line() {
    if (line_is_open_) out_ << "\r\x1b[K";
    line_is_open_ = false;
  }

  std::string json() const {
    std::string text;
    voketag::events::JsonWriter writer(text);
    writer.begin_object();
    const auto number = [&](std::string_view name, std::int64_t value) {
      writer.key(name);
      writer.integer(value);
    };
    number("seeds", seeds_);
    number("steps", steps_);
    number("simulated_ms", simulated_ms_);
    number("disturbed_ms", disturbed_ms_);
    number("took_ms", static_cast<std::int64_t>(minutes() * 60'000));
    writer.key("failed");
    writer.begin_array();
    for (const auto seed : failed_) {
      writer.begin_object();
      number("seed", static_cast<std::int64_t>(seed));
      writer.key("again");
      writer.string(again(seed));
      writer.end_object();
    }
    writer.end_array();
    writer.key("disturbances");
    writer.begin_object();
    for (const auto& [kind, times] : disturbances_) number(kind, times);
    writer.end_object();
    writer.end_object();
    return text;
  }

  using Clock = std::chrono::steady_clock;

  const std::string program_;
  const Arguments arguments_;
  std::ostream& out_;
  const bool on_terminal_;
  const Clock::time_point began_at_ = Clock::now();

  std::mutex mutex_;
  Clock::time_point said_at_ = began_at_;
  bool line_is_open_ = false;
  std::int64_t seeds_ = 0;
  std::int64_t steps_ = 0;
  std::int64_t simulated_ms_ = 0;
  std::int64_t disturbed_ms_ = 0;
  std::vector<std::uint64_t> failed_;
  std::map<std::string, std::int64_t> disturbances_;
};

}  // namespace

int main(int count, char** words) {
  const auto arguments = parse_arguments({words + 1, words + count});
  if (!arguments) {
    std::cerr << kUsage;
    return 2;
  }
  voketag::runtime::silence_log();
  Report report(words[0], *arguments);
  std::atomic<std::uint64_t> taken = 0;  // so many seeds
  const auto run = [&](int job) {
    const std::uint64_t all = arguments->to - arguments->from + 1;
    for (std::uint64_t i = taken++; i < all; i = taken++) {
      const std::uint64_t seed = arguments->from + i;
      report.add(seed, simulate(seed, job));
    }
  };
  std::vector<std::thread> jobs;
  for (int job = 1; job < arguments->jobs; ++job) jobs.emplace_back(run, job);
  run(0);
  for (auto& job : jobs) job.join();
  return report.finish();
}
