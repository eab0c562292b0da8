#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "safelight/status.h"
#include "safelight/version.h"

TEST_CASE("every status has a message of its own") {
  std::set<std::string> messages;
  for (std::uint32_t code = 0; code < safelight::kStatusCount; ++code) {
    messages.insert(safelight::status_message(static_cast<safelight::Status>(code)));
  }
  CHECK(messages.size() == safelight::kStatusCount);
}

TEST_CASE("a status from another version has a message too") {
  CHECK(std::strlen(safelight::status_message(static_cast<safelight::Status>(9999))) > 0);
}

TEST_CASE("the version has three parts") {
  const std::string version = safelight::kVersion;
  CHECK(std::count(version.begin(), version.end(), '.') == 2);
}
