// schema_writer DIR: writes what outsiders are told about the events into DIR. Run it after a
// change to events/events.h or events/topics.cc, with DIR = schemas, and commit what it wrote.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "events/schema.h"

namespace {

bool write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (file) return true;
  std::fprintf(stderr, "schema_writer: cannot write %s; is the directory there, and writable?\n",
               path.c_str());
  return false;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: schema_writer DIR\n");
    return 2;
  }
  const std::filesystem::path directory = arguments[1];
  bool ok = write_file(directory / "asyncapi.yaml", voketag::events::asyncapi_document()) &&
            write_file(directory / "events.md", voketag::events::event_reference());
  for (const auto& schema : voketag::events::event_schemas()) {
    ok = ok && write_file(directory / (std::string(schema.topic) + ".schema.json"), schema.text);
  }
  return ok ? 0 : 1;
}
