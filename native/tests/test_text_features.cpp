#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "safelight/text_features.h"

namespace text = safelight::text;
using safelight::Status;

namespace {

std::vector<std::string> cells_of(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream row(line);
  for (std::string cell; std::getline(row, cell, '\t');) {
    cells.push_back(cell);
  }
  return cells;
}

std::string unhex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string joined(const text::Features& found) {
  std::string ids;
  for (std::size_t i = 0; i < found.count; ++i) {
    ids += (i > 0 ? " " : "") + std::to_string(found.ids[i]);
  }
  return ids;
}

std::string eighths(const text::Features& found) {
  std::string digits;
  for (const float value : found.dense) {
    digits += std::to_string(static_cast<int>(std::lround(value * 8.0F)));
  }
  return digits;
}

}  // namespace

TEST_CASE("golden vectors of the text features") {
  const auto workspace = std::make_unique<text::Workspace>();
  std::ifstream file(GOLDEN_TEXT);
  REQUIRE(file.good());
  std::size_t rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    const std::vector<std::string> cells = cells_of(line);
    REQUIRE(cells.size() >= 8);
    const std::string bytes = unhex(cells[0]);
    text::Context context;
    context.from_other = cells[1] == "other";
    context.trust = cells[2] == "guardian" ? text::Trust::kGuardian
                    : cells[2] == "child"  ? text::Trust::kChild
                                           : text::Trust::kUnknown;
    context.gap_s = cells[3] == "-" ? NAN : std::stod(cells[3]);
    text::Features found;
    REQUIRE(text::features_utf8(bytes.data(), bytes.size(), context, workspace.get(), &found) == Status::kOk);
    CAPTURE(cells[0]);
    CHECK(text::language_name(found.language) == cells[4]);
    CHECK(std::to_string(found.flags) == cells[5]);
    CHECK(eighths(found) == cells[6]);
    CHECK(joined(found) == cells[7]);
    ++rows;
  }
  CHECK(rows >= 40);
}

TEST_CASE("misuse of the text features is a status") {
  const auto workspace = std::make_unique<text::Workspace>();
  text::Features found;
  text::Context context;
  std::size_t written = 0;
  char32_t out[1];
  CHECK(text::features(nullptr, 1, context, workspace.get(), &found) == Status::kNullArgument);
  CHECK(text::features(U"a", 1, context, nullptr, &found) == Status::kNullArgument);
  CHECK(text::features_utf8("a", 1, context, workspace.get(), nullptr) == Status::kNullArgument);
  CHECK(text::features(nullptr, 0, context, workspace.get(), &found) == Status::kOk);
  CHECK(found.count == 0);
  CHECK(text::normalised(*workspace, out, 1, &written) == Status::kBufferTooSmall);
  CHECK(text::normalised(*workspace, nullptr, 0, &written) == Status::kNullArgument);
  context.trust = static_cast<text::Trust>(7);
  CHECK(text::features(U"a", 1, context, workspace.get(), &found) == Status::kUnknownWord);
  CHECK(text::flag_name(text::kFlagCount) == nullptr);
  CHECK(std::string(text::language_name(static_cast<text::Language>(99))) == "unknown");
  CHECK(std::string(text::text_data_sha256()).size() == 64);
}

TEST_CASE("forget leaves nothing of the message") {
  const auto workspace = std::make_unique<text::Workspace>();
  text::Features found;
  const std::u32string sentinel = U"xqzv xqzv x q z v xqzv3 xqzv.";
  REQUIRE(text::features(sentinel.data(), sentinel.size(), {}, workspace.get(), &found) == Status::kOk);
  const auto holds = [&] {
    const auto* bytes = reinterpret_cast<const unsigned char*>(workspace.get());
    std::size_t count = 0;
    for (std::size_t i = 0; i + sizeof(char32_t) <= sizeof(text::Workspace); i += sizeof(char32_t)) {
      char32_t value = 0;
      std::memcpy(&value, bytes + i, sizeof(value));
      count += value == U'q' ? 1U : 0U;
    }
    return count;
  };
  CHECK(holds() > 0);
  text::forget(workspace.get());
  CHECK(holds() == 0);
}
