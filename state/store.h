#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace voketag::state {

// The state itself cannot be read or written. No handler can go on, and no event is to blame: the
// process stops before it commits anything. The message says what to do.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A processor's key-value state of one partition, as a handler sees it: ordered by key, reads see
// the handler's own writes. What a handler writes is kept only when its transaction commits.
//
// Keys are legible UTF-8 and begin with a table's name and '/': "batch/<uuid>". At most 1 KiB.
// Used by one thread at a time.
class Store {
 public:
  virtual ~Store() = default;

  virtual std::optional<std::string> get(std::string_view key) const = 0;
  virtual void put(std::string_view key, std::string_view value) = 0;
  virtual void erase(std::string_view key) = 0;

  // Calls `visit` for each key that begins with `prefix`, in order of the bytes, until it returns
  // false. `visit` must not write to the store. The views are valid during the call only.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;
  virtual void scan(std::string_view prefix, const Visitor& visit) const = 0;
};

}  // namespace voketag::state
