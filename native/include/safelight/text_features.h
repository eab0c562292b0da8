// One chat message as numbers: the text features of docs/text-features.md, which specifies every step.
//
// Nothing is allocated, kept, printed or thrown. All working memory is the caller's Workspace (about 250 KB, so
// that a call fits a small thread stack); its content means nothing between calls and holds the message's text
// until forget().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "safelight/status.h"

namespace safelight::text {

// Raised with any change of ids or dense values for any message; a model names the version that it was trained on.
inline constexpr std::uint32_t kFeatureVersion = 2;

inline constexpr std::size_t kMaxInput = 4096;    // code points read; the rest sets kTruncated
inline constexpr std::size_t kMaxFolded = 8192;   // after folding (one code point may become 18)
inline constexpr std::size_t kMaxChunks = 512;    // stretches between spaces
inline constexpr std::size_t kMaxTokens = 256;    // words and class tokens
inline constexpr std::size_t kMaxWord = 32;       // code points of one word
inline constexpr std::size_t kMaxIds = 96;        // distinct feature ids of one message
inline constexpr std::size_t kDense = 16;         // numbers beside them
inline constexpr std::uint32_t kBuckets = 65536;  // ids are 1 … kBuckets - 1; 0 is padding
inline constexpr std::size_t kMaxClasses = 2;     // of one word

enum class Language : std::uint8_t { kUnknown, kEn, kDe, kEs, kFr, kIt, kPt, kNl, kPl, kTr, kHi, kAr, kJa, kOther };
inline constexpr std::size_t kLanguageCount = 14;

enum class Trust : std::uint8_t { kUnknown, kChild, kGuardian };  // who knows this contact

// What was seen on the way; bits of Features::flags.
enum Flag : std::uint32_t {
  kTruncated = 0x01,   // more text than the limits above
  kInvalid = 0x02,     // a surrogate, invalid UTF-8 or a number beyond Unicode was read as U+FFFD
  kHidden = 0x04,      // invisible characters
  kLookalike = 0x08,   // letters of another script in place of Latin ones
  kLeet = 0x10,        // digits or signs in place of letters
  kJoined = 0x20,      // letters set apart
  kStretched = 0x40,   // the same letter three times or more
  kSexualised = 0x80,  // a word of the keyed list
};
inline constexpr std::size_t kFlagCount = 8;

struct Context {
  bool from_other = true;  // written by the contact, not by the child
  Trust trust = Trust::kUnknown;
  double gap_s = -1.0;  // seconds since the message before; negative or NaN: there is none, or it is not known
};

struct Features {
  std::array<std::int32_t, kMaxIds> ids;  // distinct, in the order of the specification, padded with 0
  std::uint32_t count;                    // of ids
  std::array<float, kDense> dense;        // each in [0, 1]
  Language language;
  std::uint32_t flags;
};

struct Token {
  std::array<char32_t, kMaxWord> word;
  std::uint8_t length;  // 0: a class token that stands for no word
  bool solid;           // of a script without spaces
  std::uint8_t class_count;
  std::array<std::uint8_t, kMaxClasses> classes;
};

struct Chunk {
  std::uint16_t start;  // into Workspace::text, or into Workspace::joined
  std::uint16_t end;
  bool close;   // exactly one space stands before it
  bool joined;  // put together from single letters
};

struct Workspace {
  std::array<char32_t, kMaxInput> input;
  std::array<char32_t, kMaxFolded> text;
  std::array<char, kMaxFolded> kind;  // the class of each code point of text
  std::array<char32_t, kMaxFolded> scratch;
  std::array<char, kMaxFolded> scratch_kind;
  std::array<char32_t, kMaxFolded> plain;
  std::array<char32_t, kMaxChunks> joined;
  std::array<char, kMaxChunks> joined_kind;
  std::array<Chunk, kMaxChunks> chunks;
  std::array<Chunk, kMaxChunks> other_chunks;
  std::array<Token, kMaxTokens> tokens;
  std::array<Token, kMaxTokens> other_tokens;
  std::uint32_t token_count;
  std::uint32_t touched;         // code points of the arrays of text that were written to
  std::uint32_t touched_tokens;  // and of the arrays of tokens
};

// Overwrites what a call left of the message; to be called before the memory is kept for the next one or freed.
void forget(Workspace* workspace) noexcept;

// Features of `length` code points (any numbers; what is no character counts as U+FFFD).
// After kOk, `workspace->tokens` holds the tokens for normalised().
Status features(const char32_t* text, std::size_t length, const Context& context, Workspace* workspace,
                Features* out) noexcept;

// The same of UTF-8; every maximal invalid part counts as one U+FFFD, as in WHATWG's decoder.
Status features_utf8(const char* bytes, std::size_t length, const Context& context, Workspace* workspace,
                     Features* out) noexcept;

// A code point of normalised() for every one that a token can have: word, and two classes with their signs.
inline constexpr std::size_t kMaxNormalised = kMaxTokens * (kMaxWord + std::size_t{2} * 20 + 1);

// The tokens of the workspace in words: "word/<CLASS>" separated by spaces. For tests and tools, not for logs.
Status normalised(const Workspace& workspace, char32_t* out, std::size_t capacity, std::size_t* written) noexcept;

const char* language_name(Language language) noexcept;  // "en"; static storage, never null
const char* flag_name(std::size_t bit) noexcept;        // "truncated" for bit 0; null beyond kFlagCount
const char* text_data_sha256() noexcept;                // of the data files that the tables were made from

}  // namespace safelight::text
