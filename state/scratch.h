#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "events/error.h"
#include "state/database.h"

namespace voketag::state {

// A database for the length of a piece of work, in a directory of its own that goes with it: what
// would not fit into memory is gathered in there.
class Scratch {
 public:
  // Below `parent`; `purpose` becomes part of the directory's name. kInvalid: `parent` cannot be
  // written to.
  static events::Result<std::unique_ptr<Scratch>> make(const std::filesystem::path& parent,
                                                       std::string_view purpose);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Stores of it must not outlive this.
  Database& database() { return *database_; }

 private:
  explicit Scratch(std::filesystem::path directory) : directory_(std::move(directory)) {}

  const std::filesystem::path directory_;
  std::unique_ptr<Database> database_;
};

}  // namespace voketag::state
