#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "safelight/text.h"

using safelight::Status;
using safelight::text::must_escape;
using safelight::text::printable;

namespace {

std::u32string shown(const std::u32string& text) {
  std::vector<char32_t> out(text.size() * safelight::text::kMaxEscapeLength);
  std::size_t written = 0;
  REQUIRE(printable(text.data(), text.size(), out.data(), out.size(), &written) == Status::kOk);
  return {out.data(), written};
}

}  // namespace

TEST_CASE("ordinary text of any script passes unchanged") {
  const std::u32string text = U"photo é 写真 صورة 🙂.jpg";
  CHECK(shown(text) == text);
}

TEST_CASE("what a terminal obeys or a reader cannot see becomes visible") {
  CHECK(shown(U"\x1b[2J") == U"\\u{1B}[2J");
  CHECK(shown(U"a\u202Egpj") == U"a\\u{202E}gpj");
  CHECK(shown(U"a\u200Bb") == U"a\\u{200B}b");
  CHECK(shown(std::u32string(1, static_cast<char32_t>(0xDC80))) == U"\\u{DC80}");
  CHECK(shown(std::u32string(1, static_cast<char32_t>(0x10FFFF))) == U"\\u{10FFFF}");
}

TEST_CASE("noncharacters of every plane are escaped, their neighbours are not") {
  for (char32_t plane = 0; plane <= 0x10; ++plane) {
    CHECK(must_escape(plane * 0x10000 + 0xFFFE));
    CHECK(must_escape(plane * 0x10000 + 0xFFFF));
  }
  CHECK_FALSE(must_escape(0xFFFD));
  CHECK_FALSE(must_escape(0x1FFFD));
  CHECK(must_escape(0x110000));
}

TEST_CASE("misuse is a status") {
  char32_t out[20];
  std::size_t written = 0;
  CHECK(printable(nullptr, 1, out, 20, &written) == Status::kNullArgument);
  CHECK(printable(U"ab", 2, out, 20, nullptr) == Status::kNullArgument);
  CHECK(printable(U"abc", 3, out, 20, &written) == Status::kBufferTooSmall);
  CHECK(printable(nullptr, 0, nullptr, 0, &written) == Status::kOk);
}
