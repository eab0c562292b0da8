#include <array>

#include "safelight/text.h"

namespace safelight::text {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Sorted. Unicode 16 general categories Cc, Zl, Zp, Cs and the Cf characters that reorder or hide.
constexpr std::array<Range, 12> kEscaped = {{
    {0x0000, 0x001F},    // C0 controls
    {0x007F, 0x009F},    // DEL, C1 controls
    {0x00AD, 0x00AD},    // soft hyphen
    {0x061C, 0x061C},    // Arabic letter mark
    {0x180E, 0x180E},    // Mongolian vowel separator
    {0x200B, 0x200F},    // zero width, directional marks
    {0x2028, 0x202E},    // separators, embeddings and overrides
    {0x2060, 0x206F},    // word joiner, invisible operators, isolates
    {0xD800, 0xDFFF},    // surrogates: undecodable bytes of a file name arrive as these
    {0xFDD0, 0xFDEF},    // noncharacters
    {0xFEFF, 0xFEFF},    // byte order mark
    {0xE0000, 0xE0FFF},  // tags and other default-ignorables
}};

}  // namespace

bool must_escape(char32_t code_point) noexcept {
  for (const Range& range : kEscaped) {
    if (code_point < range.first) {
      return (code_point & 0xFFFEU) == 0xFFFEU;
    }
    if (code_point <= range.last) {
      return true;
    }
  }
  // U+xFFFE and U+xFFFF are noncharacters in every plane; above U+10FFFF nothing is a character.
  return (code_point & 0xFFFEU) == 0xFFFEU || code_point > 0x10FFFF;
}

Status printable(const char32_t* text, std::size_t length, char32_t* out, std::size_t capacity,
                 std::size_t* written) noexcept {
  if (written == nullptr || ((text == nullptr || out == nullptr) && length > 0)) {
    return Status::kNullArgument;
  }
  *written = 0;
  if (capacity / kMaxEscapeLength < length) {
    return Status::kBufferTooSmall;
  }
  constexpr char kHex[] = "0123456789ABCDEF";
  std::size_t used = 0;
  for (std::size_t i = 0; i < length; ++i) {
    const char32_t code_point = text[i];
    if (!must_escape(code_point)) {
      out[used++] = code_point;
      continue;
    }
    out[used++] = U'\\';
    out[used++] = U'u';
    out[used++] = U'{';
    unsigned digits = 1;
    while (digits < 6 && (code_point >> (4U * digits)) != 0) {
      ++digits;
    }
    for (unsigned digit = digits; digit-- > 0;) {
      out[used++] = static_cast<char32_t>(kHex[(code_point >> (4U * digit)) & 0xFU]);
    }
    out[used++] = U'}';
  }
  *written = used;
  return Status::kOk;
}

}  // namespace safelight::text
