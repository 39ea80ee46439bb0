#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "events/codec.h"
#include "state/store.h"

namespace voketag::state {

// A typed view on the keys of a store that begin with "<name>/". Values are written by the same
// codec as events, as JSON, so that state can gain fields as events do and a changelog can be read
// by a person. `Value` needs a fields() description and an explicit instantiation of the codec
// (events/codec_impl.h).
template <class Value>
class Table {
 public:
  Table(Store& store, std::string_view name) : store_(store), prefix_(std::string(name) + "/") {}

  std::optional<Value> get(std::string_view key) const {
    const auto bytes = store_.get(prefix_ + std::string(key));
    if (!bytes) return std::nullopt;
    return read(key, *bytes);
  }
  bool contains(std::string_view key) const {
    return store_.get(prefix_ + std::string(key)).has_value();
  }
  void put(std::string_view key, const Value& value) {
    store_.put(prefix_ + std::string(key), events::encode(value));
  }
  void erase(std::string_view key) { store_.erase(prefix_ + std::string(key)); }

  // In order of the keys; `visit` gets the key without the table's name, and must not write.
  // Returns early when it returns false.
  void scan(std::string_view key_prefix,
            const std::function<bool(std::string_view key, const Value& value)>& visit) const {
    store_.scan(prefix_ + std::string(key_prefix),
                [&](std::string_view key, std::string_view bytes) {
                  return visit(key.substr(prefix_.size()), read(key, bytes));
                });
  }

 private:
  // State that our own codec wrote and cannot read is corrupt: nothing sensible can follow.
  static Value read(std::string_view key, std::string_view bytes) {
    auto value = events::decode<Value>(bytes);
    if (!value) {
      throw Failure("the state under key " + std::string(key) +
                    " cannot be read: " + value.error().message +
                    "; remove the state directory, it is rebuilt from the changelogs");
    }
    return *std::move(value);
  }

  Store& store_;
  std::string prefix_;
};

}  // namespace voketag::state
