// The tables of the text features: native/data/text_v2 as native/tools/text_tables.py compiles it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace safelight::text {

// Classes of folded code points, as letters: scripts with spaces, scripts without, and the rest.
//   L Latin   A Arabic   V Devanagari   O other letters   M marks that are part of a word
//   H Han     K kana     T other scripts without spaces
//   D digits 0-9   S space   N line break   Q apostrophe   C currency sign   E emoji   0 everything else
struct Character {
  std::uint16_t folded_at;     // into kFolded
  std::uint8_t folded_length;  // 255: it stays as it is
  char kind;
  std::uint8_t upper;
  char latin;  // the Latin letter that it passes for, or 0
};
inline constexpr std::uint8_t kIdentity = 255;

struct Sense {
  std::uint8_t number;      // of the class
  std::uint16_t languages;  // bit n: it holds when the message is in language n
};

using Senses = std::array<Sense, 6>;

struct Word {
  std::uint64_t hash;  // of the code points; 0: an empty slot
  Senses senses;
};

struct Slang {
  std::uint64_t hash;
  std::uint16_t first;  // into the rows
  std::uint16_t count;
};

struct Span {
  std::uint16_t at;
  std::uint16_t length;
};

struct SlangRow {
  std::uint8_t language;  // 0: every language
  std::uint8_t count;
  std::array<Span, 3> words;
};

struct Mark {
  char32_t code_point;
  std::uint8_t language;
  std::uint8_t points;
};

// Class tokens that the code itself gives out; the order is that of OWN_CLASSES in text_tables.py.
enum OwnClass : std::uint8_t {
  kAge,
  kNum,
  kTime,
  kUrl,
  kUser,
  kPhone,
  kMoney,
  kEmoji,
  kLaugh,
  kSex,
};

const Character& character(char32_t code_point) noexcept;
const char32_t* folded_at(std::size_t offset) noexcept;

// The composed kana of a base and a combining sound mark, or 0.
char32_t compose_kana(char32_t base, char32_t mark) noexcept;

std::uint8_t emoji_class(char32_t code_point) noexcept;  // kEmoji when it has none of its own
int emoticon_class(std::uint64_t hash) noexcept;         // -1 when it is none
const Senses* exact_word(std::uint64_t hash) noexcept;   // null when it is not in the lexicon
const Senses* word_stem(std::uint64_t hash) noexcept;
bool is_slang(std::uint64_t hash) noexcept;
const SlangRow* slang(std::uint64_t hash, std::uint8_t language) noexcept;
const char32_t* slang_word(Span span) noexcept;
std::uint16_t votes(std::uint64_t hash) noexcept;
const Mark* marks(std::size_t* count) noexcept;  // sorted by code point
bool is_explicit(std::uint64_t keyed_hash) noexcept;
const std::uint64_t* key() noexcept;                   // of the keyed list: two numbers
const char* class_name(std::uint8_t number) noexcept;  // "<AGE>"

// FNV-1a, 64 bits, a code point at a time.
inline constexpr std::uint64_t kHashStart = 0xCBF29CE484222325U;
constexpr std::uint64_t hash_step(std::uint64_t hash, char32_t code_point) noexcept {
  return (hash ^ code_point) * 0x100000001B3U;
}

}  // namespace safelight::text
