#include "events/schema.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

namespace voketag::events {
namespace {

const std::filesystem::path kSchemas = VOKETAG_SOURCE_DIR "/schemas";

std::string committed(const std::string& name) {
  std::ifstream file(kSchemas / name, std::ios::binary);
  EXPECT_TRUE(file) << name << " is not in schemas/";
  return {std::istreambuf_iterator<char>(file), {}};
}

// Names the first line that differs: the documents are too long to be shown whole.
void expect_committed(const std::string& name, const std::string& fresh) {
  std::istringstream old_lines(committed(name));
  std::istringstream new_lines(fresh);
  for (int number = 1;; ++number) {
    std::string old_line;
    std::string new_line;
    const bool more_old = static_cast<bool>(std::getline(old_lines, old_line));
    const bool more_new = static_cast<bool>(std::getline(new_lines, new_line));
    if (!more_old && !more_new) return;
    ASSERT_EQ(old_line, new_line) << name << ", line " << number
                                  << ": run schema_writer on schemas/ and commit what it wrote";
    ASSERT_EQ(more_old, more_new) << name << " ends at line " << number;
  }
}

TEST(Schemas, AreThoseOfTheEvents) {
  std::set<std::string> names;
  for (const EventSchema& schema : event_schemas()) {
    const std::string name = std::string(schema.topic) + ".schema.json";
    expect_committed(name, schema.text);
    names.insert(name);
  }
  for (const auto& entry : std::filesystem::directory_iterator(kSchemas)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".schema.json")) {
      EXPECT_TRUE(names.contains(name)) << name << " describes no event";
    }
  }
}

TEST(Schemas, AsyncApiDocumentIsThatOfTheEvents) {
  expect_committed("asyncapi.yaml", asyncapi_document());
}

TEST(Schemas, ReferenceIsThatOfTheEvents) {
  expect_committed("events.md", event_reference());
}

}  // namespace
}  // namespace voketag::events
