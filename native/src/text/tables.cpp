#include "tables.h"

#include <algorithm>
#include <iterator>

#include "safelight/text_features.h"

namespace safelight::text {
namespace {

struct Vote {
  std::uint64_t hash;
  std::uint16_t languages;
};

struct Emoticon {
  std::uint64_t hash;
  std::uint8_t number;
};

struct Kana {
  char32_t base;
  char32_t mark;
  char32_t composed;
};

struct Emoji {
  char32_t code_point;
  std::uint8_t number;
};

#include "text_tables.inc"

constexpr std::size_t kBlock = 128;

// Every table is at most half full, so that a probe ends at an empty slot.
template <typename Row, std::size_t kSize>
const Row* find(const Row (&table)[kSize], std::uint64_t hash) noexcept {
  for (std::size_t at = hash & (kSize - 1); table[at].hash != 0; at = (at + 1) & (kSize - 1)) {
    if (table[at].hash == hash) {
      return &table[at];
    }
  }
  return nullptr;
}

}  // namespace

const Character& character(char32_t code_point) noexcept {
  return kCharacters[kBlocks[kBlockOf[code_point / kBlock] * kBlock + code_point % kBlock]];
}

const char32_t* folded_at(std::size_t offset) noexcept { return kFolded + offset; }

char32_t compose_kana(char32_t base, char32_t mark) noexcept {
  for (const Kana& pair : kKana) {
    if (pair.base == base && pair.mark == mark) {
      return pair.composed;
    }
  }
  return 0;
}

std::uint8_t emoji_class(char32_t code_point) noexcept {
  const auto* found = std::lower_bound(std::begin(kEmojiTable), std::end(kEmojiTable), code_point,
                                       [](const Emoji& row, char32_t value) { return row.code_point < value; });
  return found != std::end(kEmojiTable) && found->code_point == code_point
             ? found->number
             : static_cast<std::uint8_t>(OwnClass::kEmoji);
}

int emoticon_class(std::uint64_t hash) noexcept {
  const Emoticon* row = find(kEmoticons, hash);
  return row != nullptr ? row->number : -1;
}

const Senses* exact_word(std::uint64_t hash) noexcept {
  const Word* row = find(kExact, hash);
  return row != nullptr ? &row->senses : nullptr;
}

const Senses* word_stem(std::uint64_t hash) noexcept {
  const Word* row = find(kPrefix, hash);
  return row != nullptr ? &row->senses : nullptr;
}

bool is_slang(std::uint64_t hash) noexcept { return find(kSlang, hash) != nullptr; }

const SlangRow* slang(std::uint64_t hash, std::uint8_t language) noexcept {
  const Slang* row = find(kSlang, hash);
  if (row != nullptr) {
    for (std::size_t at = row->first; at < static_cast<std::size_t>(row->first) + row->count; ++at) {
      if (kSlangRows[at].language == language) {
        return &kSlangRows[at];
      }
    }
  }
  return nullptr;
}

const char32_t* slang_word(Span span) noexcept { return kSlangWords + span.at; }

std::uint16_t votes(std::uint64_t hash) noexcept {
  const Vote* row = find(kVotes, hash);
  return row != nullptr ? row->languages : std::uint16_t{0};
}

const Mark* marks(std::size_t* count) noexcept {
  *count = std::size(kMarks);
  return kMarks;
}

bool is_explicit(std::uint64_t keyed_hash) noexcept {
  return std::binary_search(std::begin(kExplicit), std::end(kExplicit), keyed_hash);
}

const std::uint64_t* key() noexcept { return kKey; }

const char* class_name(std::uint8_t number) noexcept { return kClassNames[number]; }

const char* text_data_sha256() noexcept { return kDataSha256; }

}  // namespace safelight::text
