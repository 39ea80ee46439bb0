// Changes one value of a state, its position staying as it is: what no checksum of a file finds.
// Usage: change_state DIRECTORY PROCESSOR PARTITION KEY VALUE

#include <cstdlib>
#include <iostream>

#include "state/database.h"
#include "state/partition_store.h"

int main(int count, char** words) {
  using voketag::state::Database;
  if (count != 6) {
    std::cerr << "Usage: change_state DIRECTORY PROCESSOR PARTITION KEY VALUE\n";
    return 2;
  }
  const auto database = Database::open(words[1], {.move_corrupt_aside = false});
  if (!database) {
    std::cerr << database.error().message << '\n';
    return 1;
  }
  const auto store = (*database)->open_partition(words[2], std::atoi(words[3]));
  const auto position = store->position();
  if (!position || !store->get(words[4])) {
    std::cerr << "there is no such key\n";
    return 1;
  }
  store->put(words[4], words[5]);
  return store->write_overlay(*position) && (*database)->flush() ? 0 : 1;
}
