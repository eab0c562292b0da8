// docs/text-features.md step by step; tests/reference/text.py is the same in plain Python. The section numbers
// are those of the specification.
#include <algorithm>
#include <cmath>

#include "safelight/text_features.h"
#include "tables.h"

namespace safelight::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr int kMinVotes = 6;
constexpr std::size_t kMinStem = 3;
constexpr std::size_t kLongestSolidWord = 8;
constexpr std::size_t kLongestSolidExplicit = 6;

bool one_of(char kind, const char* kinds) noexcept {
  for (; *kinds != '\0'; ++kinds) {
    if (*kinds == kind) {
      return true;
    }
  }
  return false;
}

// A capital I between small letters, which may be meant as an l: word() looks which of the two is a word. The
// character itself (of the private use area) is read as U+FFFD.
constexpr char32_t kMaybeL = 0xE000;

bool is_letter(char kind) noexcept { return one_of(kind, "LAVOM"); }
bool is_solid(char kind) noexcept { return one_of(kind, "HKT"); }
bool is_wordy(char kind) noexcept { return kind == 'D' || is_letter(kind); }

bool is_sign(char32_t c, const char* signs) noexcept {
  return c < 0x80 && c != 0 && one_of(static_cast<char>(c), signs);
}

// Whether `words` (separated and ended by one space) contains the text.
bool in_list(const char* words, const char32_t* text, std::size_t length) noexcept {
  while (*words != '\0') {
    std::size_t at = 0;
    while (words[at] != ' ') {
      ++at;
    }
    if (at == length &&
        std::equal(words, words + at, text, [](char a, char32_t b) { return static_cast<char32_t>(a) == b; })) {
      return true;
    }
    words += at + 1;
  }
  return false;
}

constexpr char kElisions[] = "l d j m t s c n qu dell all nell sull dall un quell ";
constexpr char kTopLevel[] =
    "com net org gg io tv app xyz info link live chat club dev shop online site eu uk fr pt pl br nl jp ";
constexpr char kTopLevelWithPath[] = "me it de es in to so be is at no us my co ly gl ";
constexpr char kUnits[] =
    "st nd rd th x k m f w h s am pm uhr hs hrs min mins yo y yr yrs j ans anni anos jahre jaar lat yas ";
constexpr char kTimeUnits[] = "am pm h hs hrs uhr ";
constexpr char kLaughs[] = "ha ah he eh hi ih ja aj je ej rs sr xa ax ka ak ";

struct HiddenRange {
  char32_t first;
  char32_t last;
};
constexpr std::array<HiddenRange, 6> kHiddenRanges = {
    {{0xAD, 0xAD}, {0x200B, 0x200B}, {0x202A, 0x202E}, {0x2060, 0x2064}, {0x2066, 0x2069}, {0xE0000, 0xE0FFF}}};
constexpr std::array<std::size_t, 7> kLengths = {0, 5, 15, 40, 100, 300, 1000};

std::size_t utf8(char32_t c, unsigned char* out) noexcept {
  if (c < 0x80) {
    out[0] = static_cast<unsigned char>(c);
    return 1;
  }
  if (c < 0x800) {
    out[0] = static_cast<unsigned char>(0xC0U | (c >> 6U));
    out[1] = static_cast<unsigned char>(0x80U | (c & 0x3FU));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = static_cast<unsigned char>(0xE0U | (c >> 12U));
    out[1] = static_cast<unsigned char>(0x80U | ((c >> 6U) & 0x3FU));
    out[2] = static_cast<unsigned char>(0x80U | (c & 0x3FU));
    return 3;
  }
  out[0] = static_cast<unsigned char>(0xF0U | (c >> 18U));
  out[1] = static_cast<unsigned char>(0x80U | ((c >> 12U) & 0x3FU));
  out[2] = static_cast<unsigned char>(0x80U | ((c >> 6U) & 0x3FU));
  out[3] = static_cast<unsigned char>(0x80U | (c & 0x3FU));
  return 4;
}

// SipHash-2-4 (Aumasson and Bernstein, 2012), fed a code point at a time as UTF-8.
class SipHash {
 public:
  SipHash() noexcept {
    v_[0] = key()[0] ^ 0x736F6D6570736575U;
    v_[1] = key()[1] ^ 0x646F72616E646F6DU;
    v_[2] = key()[0] ^ 0x6C7967656E657261U;
    v_[3] = key()[1] ^ 0x7465646279746573U;
  }

  void add(char32_t c) noexcept {
    unsigned char bytes[4];
    const std::size_t count = utf8(c, bytes);
    for (std::size_t i = 0; i < count; ++i) {
      word_ |= static_cast<std::uint64_t>(bytes[i]) << (8U * (length_ & 7U));
      if ((++length_ & 7U) == 0) {
        compress();
      }
    }
  }

  std::uint64_t finish() noexcept {
    word_ |= (length_ & 0xFFU) << 56U;
    compress();
    v_[2] ^= 0xFFU;
    rounds(4);
    return v_[0] ^ v_[1] ^ v_[2] ^ v_[3];
  }

 private:
  static std::uint64_t rotate(std::uint64_t x, unsigned bits) noexcept { return (x << bits) | (x >> (64U - bits)); }

  void rounds(int count) noexcept {
    while (count-- > 0) {
      v_[0] += v_[1];
      v_[2] += v_[3];
      v_[1] = rotate(v_[1], 13) ^ v_[0];
      v_[3] = rotate(v_[3], 16) ^ v_[2];
      v_[0] = rotate(v_[0], 32);
      v_[2] += v_[1];
      v_[0] += v_[3];
      v_[1] = rotate(v_[1], 17) ^ v_[2];
      v_[3] = rotate(v_[3], 21) ^ v_[0];
      v_[2] = rotate(v_[2], 32);
    }
  }

  void compress() noexcept {
    v_[3] ^= word_;
    rounds(2);
    v_[0] ^= word_;
    word_ = 0;
  }

  std::array<std::uint64_t, 4> v_{};
  std::uint64_t word_ = 0;
  std::uint64_t length_ = 0;
};

bool explicit_text(const char32_t* text, std::size_t length) noexcept {
  SipHash hash;
  for (std::size_t i = 0; i < length; ++i) {
    hash.add(text[i]);
  }
  return is_explicit(hash.finish());
}

std::uint64_t hash_of(const char32_t* text, std::size_t length) noexcept {
  std::uint64_t hash = kHashStart;
  for (std::size_t i = 0; i < length; ++i) {
    hash = hash_step(hash, text[i]);
  }
  return hash;
}

char kind_of(char32_t c) noexcept { return c == kMaybeL ? 'L' : character(c).kind; }

// A word with runs of a letter as one, cut at kMaxWord.
struct Short {
  std::array<char32_t, kMaxWord> word;
  std::size_t length = 0;
};

Short collapse(const char32_t* text, std::size_t length, char32_t maybe_l = U'i') noexcept {
  Short out;
  char32_t before = 0;
  for (std::size_t i = 0; i < length && out.length < kMaxWord; ++i) {
    const char32_t c = text[i] == kMaybeL ? maybe_l : text[i];
    if (i == 0 || c != before || !is_letter(kind_of(c))) {
      out.word[out.length++] = c;
    }
    before = c;
  }
  return out;
}

bool in_lexicon(const Short& word) noexcept {
  const std::uint64_t hash = hash_of(word.word.data(), word.length);
  return exact_word(hash) != nullptr || word_stem(hash) != nullptr || votes(hash) != 0;
}

// Exactly a word or a stem of the lexicon, a word that votes for a language, or a word of the keyed list.
bool known(const char32_t* text, std::size_t length, char32_t maybe_l = U'i') noexcept {
  const Short word = collapse(text, length, maybe_l);
  return in_lexicon(word) || explicit_text(word.word.data(), word.length);
}

bool is_vowel(char32_t c) noexcept { return is_sign(c, "aeiou"); }

char32_t leet_letter(char32_t c) noexcept {
  switch (c) {
    case U'0':
      return U'o';
    case U'3':
    case 0x20AC:
      return U'e';
    case U'4':
    case U'@':
      return U'a';
    case U'5':
    case U'$':
      return U's';
    case U'7':
      return U't';
    case U'!':
      return U'i';
    case U'|':
      return U'l';
    default:
      return c;
  }
}

// The text with digits and signs as letters; 1, ! and | as `letter`, or by their neighbours when it is 0.
void leet_as(const char32_t* text, std::size_t length, char32_t letter, char32_t* out) noexcept {
  for (std::size_t i = 0; i < length; ++i) {
    if (letter != 0 && is_sign(text[i], "1!|")) {
      out[i] = letter;
    } else if (text[i] == U'1') {
      const char32_t beside = i > 0 ? out[i - 1] : (i + 1 < length ? text[i + 1] : 0);
      out[i] = is_vowel(beside) ? U'l' : U'i';
    } else {
      out[i] = leet_letter(text[i]);
    }
  }
}

// The same, where 1, ! and | are an i or an l as it makes a word; returns whether anything changed.
bool leet(const char32_t* text, std::size_t length, char32_t* out) noexcept {
  leet_as(text, length, 0, out);
  const bool ambiguous = std::any_of(text, text + length, [](char32_t c) { return is_sign(c, "1!|"); });
  if (ambiguous && !known(out, length)) {
    leet_as(text, length, U'l', out);
    if (!known(out, length)) {
      leet_as(text, length, U'i', out);
      if (!known(out, length)) {
        leet_as(text, length, 0, out);
      }
    }
  }
  return !std::equal(text, text + length, out);
}

std::size_t count_letters(const char* kinds, std::size_t length) noexcept {
  return static_cast<std::size_t>(std::count_if(kinds, kinds + length, is_letter));
}

std::size_t count_digits(const char* kinds, std::size_t length) noexcept {
  return static_cast<std::size_t>(std::count(kinds, kinds + length, 'D'));
}

// A stretch of text with the class of each code point.
struct View {
  const char32_t* text;
  const char* kind;
  std::size_t length;

  [[nodiscard]] View part(std::size_t from, std::size_t to) const noexcept {
    return {text + from, kind + from, to - from};
  }
};

class Reader {
 public:
  Reader(const char32_t* input, std::size_t length, Workspace* work) noexcept : input_(input), work_(*work) {
    work_.token_count = 0;
    work_.touched = kMaxFolded;
    work_.touched_tokens = kMaxTokens;
    input_length_ = length;
    if (length > kMaxInput) {
      input_length_ = kMaxInput;
      flags_ |= kTruncated;
    }
  }

  void read(const Context& context, std::uint32_t flags, Features* out) noexcept {
    flags_ |= flags;
    fold();
    latinise();
    find_chunks();
    join_letters();
    for (std::size_t at = 0; at < chunk_count_;) {
      const std::size_t count = phone(at);
      if (count > 0) {
        emit(OwnClass::kPhone);
      } else {
        chunk(view_of(work_.chunks[at]));
      }
      at += std::max<std::size_t>(count, 1);
    }
    const std::uint8_t language = guess_language();
    expand_slang(language);
    understand(language);
    out->language = static_cast<Language>(language);
    find_ids(out);
    describe(context, out);
    out->flags = flags_;
    work_.touched = static_cast<std::uint32_t>(std::max(input_length_, length_));
  }

 private:
  // 1. Folding

  void fold() noexcept {
    for (std::size_t at = 0; at < input_length_; ++at) {
      char32_t c = input_[at];
      if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF) || c == kMaybeL) {
        c = kReplacement;
        flags_ |= kInvalid;
      }
      const Character& row = character(c);
      const char32_t* folded = &c;
      std::size_t length = 1;
      if (c == U'I' && at > 0 && at + 1 < input_length_ && is_small(input_[at - 1]) && is_small(input_[at + 1])) {
        folded = &kMaybeL;
      } else if (row.folded_length != kIdentity) {
        folded = folded_at(row.folded_at);
        length = row.folded_length;
      }
      upper_ += row.upper;
      cased_ += length > 0 && is_letter(kind_of(folded[0])) ? 1U : 0U;
      for (const HiddenRange& range : kHiddenRanges) {
        if (c >= range.first && c <= range.last) {
          flags_ |= kHidden;
        }
      }
      if (length == 1 && (folded[0] == 0x3099 || folded[0] == 0x309A)) {
        if (length_ > 0) {
          const char32_t both = compose_kana(work_.text[length_ - 1], folded[0]);
          if (both != 0) {
            work_.text[length_ - 1] = both;
          }
        }
        continue;
      }
      if (length_ + length > kMaxFolded) {
        flags_ |= kTruncated;
        break;
      }
      for (std::size_t i = 0; i < length; ++i) {
        work_.text[length_++] = folded[i];
      }
    }
    for (std::size_t i = 0; i < length_; ++i) {
      work_.kind[i] = kind_of(work_.text[i]);
      asks_ = asks_ || work_.text[i] == U'?';
      exclaims_ = exclaims_ || work_.text[i] == U'!';
    }
  }

  static bool is_small(char32_t c) noexcept { return c >= U'a' && c <= U'z'; }

  // 2. Lookalikes

  void latinise() noexcept {
    bool unlike = false;
    for (std::size_t i = 0; i < length_; ++i) {
      for (std::size_t script = 0; script < kScripts.size(); ++script) {
        scripts_[script] += work_.kind[i] == kScripts[script] ? 1U : 0U;
      }
      unlike = unlike || (work_.kind[i] == 'O' && character(work_.text[i]).latin == 0);
    }
    const std::size_t latin = scripts_[0];
    const bool latin_message = latin > scripts_[3] || (latin > 0 && !unlike);
    for (std::size_t at = 0; at < length_;) {
      std::size_t end = at;
      bool has_latin = false;
      bool has_other = false;
      bool all_like = true;
      for (; end < length_ && is_letter(work_.kind[end]); ++end) {
        const char kind = work_.kind[end];
        has_latin = has_latin || kind == 'L';
        has_other = has_other || kind == 'O';
        all_like = all_like && one_of(kind, "LOM") && (kind != 'O' || character(work_.text[end]).latin != 0);
      }
      if (has_other && all_like && (has_latin || latin_message)) {
        for (std::size_t i = at; i < end; ++i) {
          if (work_.kind[i] == 'O') {
            work_.text[i] = static_cast<char32_t>(character(work_.text[i]).latin);
            work_.kind[i] = 'L';
          }
        }
        flags_ |= kLookalike;
      }
      at = std::max(end, at + 1);
    }
  }

  // 3. Chunks

  void find_chunks() noexcept {
    unsigned spaces = 2;
    for (std::size_t at = 0; at < length_;) {
      const char kind = work_.kind[at];
      if (kind == 'S' || kind == 'N') {
        spaces += kind == 'S' ? 1 : 2;
        ++at;
        continue;
      }
      std::size_t end = at + 1;
      if (kind != 'E') {
        while (end < length_ && !one_of(work_.kind[end], "SNE")) {
          ++end;
        }
      }
      if (chunk_count_ == kMaxChunks) {
        flags_ |= kTruncated;
        return;
      }
      work_.chunks[chunk_count_++] = {static_cast<std::uint16_t>(at), static_cast<std::uint16_t>(end),
                                      kind != 'E' && spaces == 1, false};
      spaces = kind == 'E' ? 2 : 0;
      at = end;
    }
  }

  [[nodiscard]] View view_of(const Chunk& chunk) const noexcept {
    const std::size_t length = static_cast<std::size_t>(chunk.end) - chunk.start;
    return chunk.joined ? View{work_.joined.data() + chunk.start, work_.joined_kind.data() + chunk.start, length}
                        : View{work_.text.data() + chunk.start, work_.kind.data() + chunk.start, length};
  }

  [[nodiscard]] bool is_single(const Chunk& chunk) const noexcept {
    return chunk.end - chunk.start == 1 &&
           (one_of(work_.kind[chunk.start], "LAVOHK") || is_sign(work_.text[chunk.start], "013457@$"));
  }

  void join_letters() noexcept {
    std::size_t count = 0;
    std::size_t used = 0;
    for (std::size_t at = 0; at < chunk_count_;) {
      std::size_t end = at;
      std::size_t letters = 0;
      while (end < chunk_count_ && is_single(work_.chunks[end]) && (end == at || work_.chunks[end].close)) {
        const std::uint16_t from = work_.chunks[end].start;
        work_.joined[used + end - at] = work_.text[from];
        work_.joined_kind[used + end - at] = work_.kind[from];
        letters += is_letter(work_.kind[from]) || is_solid(work_.kind[from]) ? 1U : 0U;
        ++end;
      }
      const std::size_t singles = end - at;
      bool join = singles >= 3 && letters * 2 >= singles;
      if (join && singles == 3) {
        std::array<char32_t, 3> word{};
        leet(work_.joined.data() + used, singles, word.data());
        join = known(word.data(), singles);
      }
      if (join) {
        work_.other_chunks[count++] = {static_cast<std::uint16_t>(used), static_cast<std::uint16_t>(used + singles),
                                       work_.chunks[at].close, true};
        used += singles;
        flags_ |= kJoined;
      } else {
        end = std::max(end, at + 1);
        for (std::size_t i = at; i < end; ++i) {
          work_.other_chunks[count++] = work_.chunks[i];
        }
      }
      at = end;
    }
    std::copy_n(work_.other_chunks.begin(), count, work_.chunks.begin());
    chunk_count_ = count;
  }

  static std::size_t phone_digits(const View& view) noexcept {
    std::size_t digits = 0;
    for (std::size_t i = 0; i < view.length; ++i) {
      if (!is_sign(view.text[i], "+0123456789-.()/")) {
        return 0;
      }
      digits += view.kind[i] == 'D' ? 1U : 0U;
    }
    return digits;
  }

  [[nodiscard]] std::size_t phone(std::size_t at) const noexcept {
    std::size_t digits = 0;
    std::size_t end = at;
    while (end < chunk_count_ && (end == at || work_.chunks[end].close)) {
      const std::size_t more = phone_digits(view_of(work_.chunks[end]));
      if (more < 2) {
        break;
      }
      digits += more;
      ++end;
    }
    if (end - at >= 2 && digits >= 8) {
      return end - at;
    }
    return phone_digits(view_of(work_.chunks[at])) >= 7 ? 1 : 0;
  }

  // 4. A chunk

  void push(const Token& token) noexcept {
    if (work_.token_count == kMaxTokens) {
      flags_ |= kTruncated;
      return;
    }
    work_.tokens[work_.token_count++] = token;
  }

  void emit(std::uint8_t number) noexcept {
    Token token;
    token.length = 0;
    token.solid = false;
    token.class_count = 1;
    token.classes[0] = number;
    push(token);
  }

  void push_word(const char32_t* text, std::size_t length, bool solid) noexcept {
    Token token;
    token.length = static_cast<std::uint8_t>(length);
    token.solid = solid;
    token.class_count = 0;
    std::copy_n(text, length, token.word.begin());
    push(token);
  }

  void chunk(View view) noexcept {
    if (view.kind[0] == 'E') {
      const std::uint8_t number = emoji_class(view.text[0]);
      const Token* last = work_.token_count > 0 ? &work_.tokens[work_.token_count - 1] : nullptr;
      if (last == nullptr || last->length != 0 || last->classes[0] != number) {
        emit(number);
      }
      return;
    }
    const int emoticon = emoticon_class(hash_of(view.text, view.length));
    if (emoticon >= 0) {
      emit(static_cast<std::uint8_t>(emoticon));
      return;
    }
    std::size_t start = 0;
    std::size_t end = view.length;
    while (start < end && is_edge(view.kind[start]) && !is_sign(view.text[start], "@+#")) {
      ++start;
    }
    while (end > start && is_edge(view.kind[end - 1])) {
      --end;
    }
    view = view.part(start, end);
    if (view.length == 0 || url(view)) {
      return;
    }
    if (is_user(view)) {
      user(view);
    } else if (is_money(view)) {
      emit(OwnClass::kMoney);
    } else if (is_time(view)) {
      emit(OwnClass::kTime);
    } else {
      for (std::size_t at = 0; at < view.length;) {
        const bool without_spaces = is_solid(view.kind[at]);
        std::size_t stop = at;
        while (stop < view.length && is_solid(view.kind[stop]) == without_spaces) {
          ++stop;
        }
        if (without_spaces) {
          solid(view.part(at, stop));
        } else {
          spaced(view.part(at, stop));
        }
        at = stop;
      }
    }
  }

  static bool is_edge(char kind) noexcept { return kind == 0 || kind == 'Q'; }

  static bool starts_with(const View& view, const char* prefix) noexcept {
    std::size_t i = 0;
    for (; prefix[i] != '\0'; ++i) {
      if (i >= view.length || view.text[i] != static_cast<char32_t>(prefix[i])) {
        return false;
      }
    }
    return true;
  }

  bool url(const View& view) noexcept {
    const bool scheme = starts_with(view, "http:") || starts_with(view, "https:");
    const bool start = scheme || starts_with(view, "www.");
    View host = view;
    if (scheme) {
      for (std::size_t i = 0; i + 3 <= view.length; ++i) {
        if (view.text[i] == U':' && view.text[i + 1] == U'/' && view.text[i + 2] == U'/') {
          host = view.part(i + 3, view.length);
          break;
        }
      }
    }
    std::size_t stop = 0;
    while (stop < host.length && !is_sign(host.text[stop], "/?#:")) {
      ++stop;
    }
    if (!start && !is_host(host, stop)) {
      return false;
    }
    emit(OwnClass::kUrl);
    for (std::size_t from = 0; from <= stop;) {
      std::size_t to = from;
      while (to < stop && host.text[to] != U'.') {
        ++to;
      }
      if (to > from) {
        const Short label = collapse(host.text + from, to - from);
        const Senses* senses = exact_word(hash_of(label.word.data(), label.length));
        if (senses != nullptr) {
          for (const Sense& sense : *senses) {
            if ((sense.languages & 1U) != 0) {
              emit(sense.number);
              return true;
            }
          }
        }
      }
      from = to + 1;
    }
    return true;
  }

  static bool is_host(const View& host, std::size_t stop) noexcept {
    std::size_t label = 0;
    std::size_t dots = 0;
    for (std::size_t i = 0; i < stop; ++i) {
      const char32_t c = host.text[i];
      if (c == U'.') {
        if (i == label) {
          return false;
        }
        label = i + 1;
        ++dots;
      } else if (!is_small(c) && (c < U'0' || c > U'9') && c != U'-') {
        return false;
      }
    }
    if (dots == 0 || label == stop) {
      return false;
    }
    const bool path = stop < host.length && host.text[stop] == U'/';
    return in_list(kTopLevel, host.text + label, stop - label) ||
           (path && in_list(kTopLevelWithPath, host.text + label, stop - label));
  }

  static bool is_user(const View& view) noexcept {
    std::size_t at = 0;
    while (at < view.length && view.text[at] != U'@') {
      ++at;
    }
    if (at == 0) {
      for (std::size_t i = 1; i < view.length; ++i) {
        if (!is_wordy(view.kind[i]) && !is_sign(view.text[i], "_.-")) {
          return false;
        }
      }
      return view.length >= 3;
    }
    if (at < view.length) {
      return at + 1 < view.length && (view.kind[at + 1] == 'L' || view.kind[at + 1] == 'D') &&
             std::find(view.text + at + 1, view.text + view.length, U'.') != view.text + view.length;
    }
    return view.length >= 7 && view.text[view.length - 5] == U'#' && count_digits(view.kind + view.length - 4, 4) == 4;
  }

  // A short name after the sign may be a word in disguise.
  void user(const View& view) noexcept {
    std::array<char32_t, 3> as_word{};
    if (view.length <= as_word.size()) {
      leet(view.text, view.length, as_word.data());
      if (known(as_word.data(), view.length)) {
        flags_ |= kLeet;
        word(as_word.data(), view.length);
        return;
      }
    }
    emit(OwnClass::kUser);
  }

  static bool is_money(View view) noexcept {
    if (view.kind[0] == 'C') {
      view = view.part(1, view.length);
    } else if (view.kind[view.length - 1] == 'C') {
      view = view.part(0, view.length - 1);
    } else {
      return false;
    }
    if (view.length == 0 || view.kind[0] != 'D') {
      return false;
    }
    for (std::size_t i = 0; i < view.length; ++i) {
      if (view.kind[i] != 'D' && !is_sign(view.text[i], ".,k")) {
        return false;
      }
    }
    return true;
  }

  static bool is_time(const View& view) noexcept {
    std::size_t digits = 0;
    unsigned hour = 0;
    while (digits < view.length && view.kind[digits] == 'D' && digits < 3) {
      hour = hour * 10 + static_cast<unsigned>(view.text[digits] - U'0');
      ++digits;
    }
    if (digits < 1 || digits > 2 || hour > 24) {
      return false;
    }
    const View rest = view.part(digits, view.length);
    if (in_list(kTimeUnits, rest.text, rest.length)) {
      return true;
    }
    return rest.length >= 3 && is_sign(rest.text[0], ":h") && count_digits(rest.kind + 1, 2) == 2 &&
           (rest.length == 3 || in_list(kTimeUnits, rest.text + 3, rest.length - 3));
  }

  // 5. Words

  void spaced(const View& view) noexcept {
    // Segments are written one after the other into scratch; ends_ holds where each one ends.
    std::size_t segments = 0;
    std::size_t used = 0;
    std::size_t from = 0;
    bool elided = false;
    bool single = true;
    const auto close = [&]() noexcept {
      if (used > from) {
        single = single && used - from == 1;
        work_.input[segments++] = static_cast<char32_t>(used);
        from = used;
      }
    };
    for (std::size_t at = 0; at < view.length; ++at) {
      const char32_t c = view.text[at];
      const char before = at > 0 ? view.kind[at - 1] : 'S';
      const char after = at + 1 < view.length ? view.kind[at + 1] : 'S';
      const bool between = is_wordy(before) && is_wordy(after);
      if (is_wordy(view.kind[at]) || ((is_sign(c, "@!|") || c == 0x20AC) && between) ||
          (c == U'$' && (is_wordy(before) || is_wordy(after)))) {
        work_.scratch[used] = c;
        work_.scratch_kind[used++] = view.kind[at];
        continue;
      }
      if (c == U'\'' && is_letter(before) && is_letter(after)) {
        if (!in_list(kElisions, work_.scratch.data() + from, used - from)) {
          continue;
        }
        elided = true;
      }
      close();
    }
    close();
    const View whole{work_.scratch.data(), work_.scratch_kind.data(), used};
    const std::size_t letters = count_letters(whole.kind, used);
    if (segments >= 3 && single && letters * 2 >= used) {
      flags_ |= kJoined;
      segment(whole);
      return;
    }
    if (segments >= 2 && !elided && used <= kMaxWord && letters > 0) {
      std::array<char32_t, kMaxWord> word{};
      leet(whole.text, used, word.data());
      if (known(word.data(), used)) {
        flags_ |= kJoined;
        segment(whole);
        return;
      }
    }
    for (std::size_t i = 0, start = 0; i < segments; ++i) {
      const auto end = static_cast<std::size_t>(work_.input[i]);
      segment(whole.part(start, end));
      start = end;
    }
  }

  void segment(const View& view) noexcept {
    const std::size_t letters = count_letters(view.kind, view.length);
    const std::size_t digits = count_digits(view.kind, view.length);
    if (letters == 0) {
      if (digits > 0) {
        number(view, digits);
      }
      return;
    }
    if (letters == view.length) {
      word(view.text, view.length);
      return;
    }
    std::size_t lead = 0;
    while (view.kind[lead] == 'D') {
      ++lead;
    }
    std::size_t trail = 0;
    while (view.kind[view.length - 1 - trail] == 'D') {
      ++trail;
    }
    const View rest = view.part(lead, view.length);
    const bool plain = count_letters(rest.kind, rest.length) == rest.length;
    char32_t* plain_text = work_.plain.data();
    const bool changed = leet(view.text, view.length, plain_text);
    const Short as_written = collapse(view.text, view.length);
    // The order of the readings is the specification, so two of them may do the same.
    // NOLINTNEXTLINE(bugprone-branch-clone)
    if (is_slang(hash_of(as_written.word.data(), as_written.length))) {
      word(view.text, view.length);
    } else if (lead > 0 && plain && (lead >= 2 || in_list(kUnits, rest.text, rest.length))) {
      number(view.part(0, lead), lead);
      word(rest.text, rest.length);
    } else if (all_letters(plain_text, view.length) && known(plain_text, view.length)) {
      flags_ |= kLeet;
      word(plain_text, view.length);
    } else if (trail >= 2 && !(trail == 2 && view.length >= 4 && is_sign(view.text[view.length - 1], "03457") &&
                               is_sign(view.text[view.length - 2], "03457"))) {
      const std::size_t stem = view.length - trail;
      flags_ |= leet(view.text, stem, plain_text) ? kLeet : 0U;
      word(plain_text, stem);
      number(view.part(stem, view.length), trail);
    } else if (trail == 1 && view.length <= 3 && letters == view.length - 1) {
      word(view.text, view.length);
    } else {
      flags_ |= changed ? kLeet : 0U;
      word(plain_text, view.length);
    }
  }

  static bool all_letters(const char32_t* text, std::size_t length) noexcept {
    return std::all_of(text, text + length, [](char32_t c) { return is_letter(kind_of(c)); });
  }

  void number(const View& view, std::size_t digits) noexcept {
    unsigned value = 0;
    for (std::size_t i = 0; i < view.length && digits <= 2; ++i) {
      if (view.kind[i] == 'D') {
        value = value * 10 + static_cast<unsigned>(view.text[i] - U'0');
      }
    }
    emit(digits <= 2 && value >= 8 && value <= 17 ? OwnClass::kAge : OwnClass::kNum);
  }

  void word(const char32_t* text, std::size_t length) noexcept {
    char32_t maybe_l = U'i';
    if (std::find(text, text + length, kMaybeL) != text + length && known(text, length, U'l') && !known(text, length)) {
      maybe_l = U'l';
      flags_ |= kLookalike;
    }
    const auto letter = [&](std::size_t at) noexcept { return text[at] == kMaybeL ? maybe_l : text[at]; };
    for (std::size_t at = 2; at < length; ++at) {
      if (letter(at) == letter(at - 1) && letter(at) == letter(at - 2) && is_letter(kind_of(text[at]))) {
        flags_ |= kStretched;
      }
    }
    const Short brief = collapse(text, length, maybe_l);
    const auto& w = brief.word;
    if (length >= 3 && brief.length == 1 && (w[0] == U'k' || w[0] == U'w')) {
      emit(OwnClass::kLaugh);
      return;
    }
    if (brief.length >= 4 && in_list(kLaughs, w.data(), 2)) {
      std::size_t at = 2;
      while (at < brief.length && w[at] == w[at - 2]) {
        ++at;
      }
      if (at == brief.length) {
        emit(OwnClass::kLaugh);
        return;
      }
    }
    push_word(w.data(), brief.length, false);
  }

  void solid(const View& whole) noexcept {
    // Runs of one kana longer than two are stretched.
    std::size_t length = 0;
    for (std::size_t i = 0; i < whole.length; ++i) {
      if (i >= 2 && whole.kind[i] == 'K' && whole.text[i] == whole.text[i - 1] && whole.text[i] == whole.text[i - 2]) {
        flags_ |= kStretched;
        continue;
      }
      work_.scratch[length++] = whole.text[i];
    }
    const char32_t* text = work_.scratch.data();
    std::size_t rest = 0;  // where the unknown stretch before `at` starts
    for (std::size_t at = 0; at < length;) {
      const std::size_t found = longest(text + at, std::min(kLongestSolidExplicit, length - at), 2, explicit_text);
      if (found > 0) {
        pairs(text + rest, at - rest);
        emit(OwnClass::kSex);
        flags_ |= kSexualised;
        at += found;
        rest = at;
        continue;
      }
      const std::size_t word_length =
          longest(text + at, std::min(kLongestSolidWord, length - at), 1,
                  [](const char32_t* part, std::size_t size) { return exact_word(hash_of(part, size)) != nullptr; });
      if (word_length > 0) {
        pairs(text + rest, at - rest);
        push_word(text + at, word_length, true);
        at += word_length;
        rest = at;
      } else {
        ++at;
      }
    }
    pairs(text + rest, length - rest);
  }

  template <typename Test>
  static std::size_t longest(const char32_t* text, std::size_t from, std::size_t to, Test test) noexcept {
    for (std::size_t length = from; length >= to && length > 0; --length) {
      if (test(text, length)) {
        return length;
      }
    }
    return 0;
  }

  void pairs(const char32_t* text, std::size_t length) noexcept {
    if (length == 1) {
      push_word(text, 1, true);
    }
    for (std::size_t i = 1; i < length; ++i) {
      push_word(text + i - 1, 2, true);
    }
  }

  // 6. Language, slang, classes

  [[nodiscard]] std::uint8_t guess_language() const noexcept {
    std::size_t total = 0;
    for (const std::size_t count : scripts_) {
      total += count;
    }
    if (total == 0) {
      return 0;
    }
    const std::size_t han = scripts_[4];
    const std::size_t kana = scripts_[5];
    if (kana > 0 && (kana + han) * 2 > total) {
      return static_cast<std::uint8_t>(Language::kJa);
    }
    if (scripts_[1] * 2 > total) {
      return static_cast<std::uint8_t>(Language::kAr);
    }
    if (scripts_[2] * 2 > total) {
      return static_cast<std::uint8_t>(Language::kHi);
    }
    if ((scripts_[3] + han + scripts_[6]) * 2 > total && (flags_ & kLookalike) == 0) {
      return static_cast<std::uint8_t>(Language::kOther);
    }
    std::array<int, kLanguageCount> points{};
    for (std::size_t i = 0; i < work_.token_count; ++i) {
      const Token& token = work_.tokens[i];
      const std::uint32_t mask = token.length > 0 ? votes(hash_of(token.word.data(), token.length)) : 0U;
      int languages = 0;
      for (std::size_t language = 0; language < kLanguageCount; ++language) {
        languages += static_cast<int>((mask >> language) & 1U);
      }
      for (std::size_t language = 0; languages > 0 && language < kLanguageCount; ++language) {
        points[language] += ((mask >> language) & 1U) != 0 ? 12 / languages : 0;
      }
    }
    for (std::size_t language = 0; language < kLanguageCount; ++language) {
      points[language] += mark_points_[language];
    }
    const auto* best = std::max_element(points.begin(), points.end());
    return *best >= kMinVotes ? static_cast<std::uint8_t>(best - points.begin()) : std::uint8_t{0};
  }

  void expand_slang(std::uint8_t language) noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < work_.token_count && count < kMaxTokens; ++i) {
      const Token& token = work_.tokens[i];
      const SlangRow* row = nullptr;
      if (token.length > 0 && !token.solid) {
        const std::uint64_t hash = hash_of(token.word.data(), token.length);
        row = slang(hash, language);
        if (row == nullptr) {
          row = slang(hash, language != 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(Language::kEn));
        }
      }
      if (row == nullptr) {
        work_.other_tokens[count++] = token;
        continue;
      }
      for (std::size_t part = 0; part < row->count && count < kMaxTokens; ++part) {
        Token& out = work_.other_tokens[count++];
        out.length = static_cast<std::uint8_t>(row->words[part].length);
        out.solid = false;
        out.class_count = 0;
        std::copy_n(slang_word(row->words[part]), out.length, out.word.begin());
      }
    }
    other_count_ = count;
    work_.touched_tokens = std::max(work_.token_count, static_cast<std::uint32_t>(count));
  }

  void understand(std::uint8_t language) noexcept {
    std::size_t count = 0;
    for (std::size_t at = 0; at < other_count_;) {
      const std::size_t length = explicit_phrase(at);
      Token& out = work_.tokens[count++];
      if (length > 0) {
        out.length = 0;
        out.solid = false;
        out.class_count = 1;
        out.classes[0] = OwnClass::kSex;
        flags_ |= kSexualised;
        at += length;
        continue;
      }
      out = work_.other_tokens[at++];
      if (out.length > 0) {
        classify(&out, language);
      }
    }
    work_.token_count = static_cast<std::uint32_t>(count);
  }

  [[nodiscard]] std::size_t explicit_phrase(std::size_t at) const noexcept {
    for (std::size_t count = std::min<std::size_t>(3, other_count_ - at); count > 0; --count) {
      SipHash hash;
      bool words = true;
      for (std::size_t i = at; i < at + count && words; ++i) {
        const Token& token = work_.other_tokens[i];
        words = token.length > 0 && !token.solid;
        if (i > at) {
          hash.add(U' ');
        }
        for (std::size_t c = 0; c < token.length; ++c) {
          hash.add(token.word[c]);
        }
      }
      if (words && is_explicit(hash.finish())) {
        return count;
      }
    }
    return 0;
  }

  static void classify(Token* token, std::uint8_t language) noexcept {
    const Senses* senses = nullptr;
    const Senses* stem = nullptr;
    std::uint64_t hash = kHashStart;
    for (std::size_t i = 0; i < token->length; ++i) {
      hash = hash_step(hash, token->word[i]);
      if (i + 1 >= kMinStem && !token->solid) {
        const Senses* longer = word_stem(hash);
        stem = longer != nullptr ? longer : stem;
      }
    }
    senses = exact_word(hash);
    senses = senses != nullptr ? senses : stem;
    token->class_count = 0;
    if (senses != nullptr) {
      for (const Sense& sense : *senses) {
        if (((std::uint32_t{sense.languages} >> language) & 1U) != 0 && token->class_count < kMaxClasses) {
          token->classes[token->class_count++] = sense.number;
        }
      }
    }
  }

  // 7. Features

  // FNV-1a, 32 bits, over UTF-8.
  struct Bucket {
    std::uint32_t hash = 0x811C9DC5U;

    void byte(unsigned char value) noexcept { hash = (hash ^ value) * 0x01000193U; }
    void ascii(const char* text) noexcept {
      for (; *text != '\0'; ++text) {
        byte(static_cast<unsigned char>(*text));
      }
    }
    void code_point(char32_t c) noexcept {
      unsigned char bytes[4];
      const std::size_t count = utf8(c, bytes);
      for (std::size_t i = 0; i < count; ++i) {
        byte(bytes[i]);
      }
    }
    void word(const Token& token) noexcept {
      for (std::size_t i = 0; i < token.length; ++i) {
        code_point(token.word[i]);
      }
    }
  };

  static void add(const Bucket& bucket, Features* out) noexcept {
    const auto id = static_cast<std::int32_t>(1 + bucket.hash % (kBuckets - 1));
    if (out->count < kMaxIds &&
        std::find(out->ids.begin(), out->ids.begin() + out->count, id) == out->ids.begin() + out->count) {
      out->ids[out->count++] = id;
    }
  }

  void find_ids(Features* out) noexcept {
    out->ids.fill(0);
    out->count = 0;
    const std::size_t count = work_.token_count;
    const auto& tokens = work_.tokens;
    std::array<const char*, kMaxTokens> chain{};
    std::size_t links = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Token& token = tokens[i];
      if (token.length > 0) {
        Bucket bucket;
        bucket.ascii("w:");
        bucket.word(token);
        add(bucket, out);
      }
      for (std::size_t c = 0; c < token.class_count; ++c) {
        Bucket bucket;
        bucket.ascii("c:");
        bucket.ascii(class_name(token.classes[c]));
        add(bucket, out);
      }
      if (token.class_count > 0) {
        const char* name = class_name(token.classes[0]);
        if (links == 0 || chain[links - 1] != name) {
          chain[links++] = name;
        }
      }
    }
    for (std::size_t i = 0; i + 1 < links; ++i) {
      Bucket bucket;
      bucket.ascii("o:");
      bucket.ascii(chain[i]);
      bucket.byte(' ');
      bucket.ascii(chain[i + 1]);
      add(bucket, out);
    }
    for (std::size_t i = 0; i + 1 < count; ++i) {
      const Token& a = tokens[i];
      const Token& b = tokens[i + 1];
      if (a.length > 0 && b.length > 0 && a.class_count + b.class_count > 0) {
        Bucket bucket;
        bucket.ascii("b:");
        bucket.word(a);
        bucket.byte(' ');
        bucket.word(b);
        add(bucket, out);
      }
    }
    for (std::size_t i = 0; i < count && out->count < kMaxIds; ++i) {
      if (tokens[i].length >= 2 && !tokens[i].solid) {
        add_grams(tokens[i], out);
      }
    }
  }

  static void add_grams(const Token& token, Features* out) noexcept {
    std::array<char32_t, kMaxWord + 2> framed{};
    framed[0] = U'^';
    std::copy_n(token.word.begin(), token.length, framed.begin() + 1);
    framed[token.length + 1U] = U'$';
    for (std::size_t at = 0; at + 4 <= token.length + 2U; ++at) {
      Bucket bucket;
      bucket.ascii("g:");
      for (std::size_t i = at; i < at + 4; ++i) {
        bucket.code_point(framed[i]);
      }
      add(bucket, out);
    }
  }

  void describe(const Context& context, Features* out) const noexcept {
    const auto flag = [&](std::uint32_t bits) noexcept { return (flags_ & bits) != 0 ? 1.0F : 0.0F; };
    const auto yes = [](bool value) noexcept { return value ? 1.0F : 0.0F; };
    std::size_t length = 0;
    for (const std::size_t limit : kLengths) {
      length += length_ > limit ? 1U : 0U;
    }
    const double gap = context.gap_s;
    const bool has_gap = gap >= 0.0;  // false for NaN
    out->dense = {
        yes(context.from_other),
        yes(context.trust == Trust::kChild),
        yes(context.trust == Trust::kGuardian),
        static_cast<float>(length) / 8.0F,
        yes(!has_gap),
        yes(has_gap && gap < 60.0),
        yes(has_gap && gap >= 60.0 && gap < 3600.0),
        yes(has_gap && gap >= 3600.0 && gap < 86400.0),
        yes(has_gap && gap >= 86400.0),
        yes(asks_),
        yes(exclaims_),
        cased_ >= 4 ? static_cast<float>(std::min(upper_ * 8 / cased_, std::size_t{8})) / 8.0F : 0.0F,
        flag(kSexualised),
        flag(kHidden | kLookalike | kLeet | kJoined),
        flag(kStretched),
        flag(kTruncated),
    };
  }

 public:
  // Before the input is overwritten: letters that only some languages have.
  void count_marks() noexcept {
    std::size_t count = 0;
    const Mark* rows = marks(&count);
    for (std::size_t i = 0; i < input_length_; ++i) {
      const char32_t c = input_[i];
      if (c < 0x80) {
        continue;
      }
      const Mark* row = std::lower_bound(rows, rows + count, c,
                                         [](const Mark& mark, char32_t value) { return mark.code_point < value; });
      for (; row != rows + count && row->code_point == c; ++row) {
        mark_points_[row->language] += row->points;
      }
    }
  }

 private:
  static constexpr std::array<char, 7> kScripts = {'L', 'A', 'V', 'O', 'H', 'K', 'T'};

  const char32_t* input_;
  std::size_t input_length_ = 0;
  Workspace& work_;
  std::size_t length_ = 0;
  std::size_t chunk_count_ = 0;
  std::size_t other_count_ = 0;
  std::size_t upper_ = 0;
  std::size_t cased_ = 0;
  bool asks_ = false;
  bool exclaims_ = false;
  std::uint32_t flags_ = 0;
  std::array<std::size_t, 7> scripts_{};
  std::array<int, kLanguageCount> mark_points_{};
};

// Decodes at most kMaxInput code points; WHATWG's "maximal subpart" rule for what is invalid.
std::size_t decode(const unsigned char* bytes, std::size_t length, char32_t* out, std::uint32_t* flags) noexcept {
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < length && used < kMaxInput) {
    const unsigned char lead = bytes[at++];
    if (lead < 0x80) {
      out[used++] = lead;
      continue;
    }
    std::size_t more = 0;
    char32_t c = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
      more = 1;
      c = lead & 0x1FU;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      more = 2;
      c = lead & 0x0FU;
      low = lead == 0xE0 ? 0xA0 : low;
      high = lead == 0xED ? 0x9F : high;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      more = 3;
      c = lead & 0x07U;
      low = lead == 0xF0 ? 0x90 : low;
      high = lead == 0xF4 ? 0x8F : high;
    }
    bool valid = more > 0;
    for (; more > 0; --more) {
      if (at >= length || bytes[at] < low || bytes[at] > high) {
        valid = false;
        break;
      }
      c = (c << 6U) | (bytes[at++] & 0x3FU);
      low = 0x80;
      high = 0xBF;
    }
    *flags |= valid ? 0U : static_cast<std::uint32_t>(kInvalid);
    out[used++] = valid ? c : kReplacement;
  }
  *flags |= at < length ? static_cast<std::uint32_t>(kTruncated) : 0U;
  return used;
}

void run(Reader* reader, const Context& context, std::uint32_t flags, Features* out) noexcept {
  reader->count_marks();
  reader->read(context, flags, out);
}

bool in_vocabulary(const Context& context) noexcept { return context.trust <= Trust::kGuardian; }

}  // namespace

Status features(const char32_t* text, std::size_t length, const Context& context, Workspace* workspace,
                Features* out) noexcept {
  if ((text == nullptr && length > 0) || workspace == nullptr || out == nullptr) {
    return Status::kNullArgument;
  }
  if (!in_vocabulary(context)) {
    return Status::kUnknownWord;
  }
  Reader reader(text, length, workspace);
  run(&reader, context, 0, out);
  return Status::kOk;
}

Status features_utf8(const char* bytes, std::size_t length, const Context& context, Workspace* workspace,
                     Features* out) noexcept {
  if ((bytes == nullptr && length > 0) || workspace == nullptr || out == nullptr) {
    return Status::kNullArgument;
  }
  if (!in_vocabulary(context)) {
    return Status::kUnknownWord;
  }
  std::uint32_t flags = 0;
  const std::size_t used =
      decode(reinterpret_cast<const unsigned char*>(bytes), length, workspace->input.data(), &flags);
  Reader reader(workspace->input.data(), used, workspace);
  run(&reader, context, flags, out);
  return Status::kOk;
}

Status normalised(const Workspace& workspace, char32_t* out, std::size_t capacity, std::size_t* written) noexcept {
  if (out == nullptr || written == nullptr) {
    return Status::kNullArgument;
  }
  *written = 0;
  if (capacity < kMaxNormalised) {
    return Status::kBufferTooSmall;
  }
  std::size_t used = 0;
  for (std::size_t i = 0; i < workspace.token_count; ++i) {
    const Token& token = workspace.tokens[i];
    if (i > 0) {
      out[used++] = U' ';
    }
    for (std::size_t c = 0; c < token.length; ++c) {
      out[used++] = token.word[c];
    }
    for (std::size_t c = 0; c < token.class_count; ++c) {
      if (c > 0 || token.length > 0) {
        out[used++] = U'/';
      }
      for (const char* name = class_name(token.classes[c]); *name != '\0'; ++name) {
        out[used++] = static_cast<char32_t>(*name);
      }
    }
  }
  *written = used;
  return Status::kOk;
}

void forget(Workspace* workspace) noexcept {
  if (workspace == nullptr) {
    return;
  }
  const std::size_t points = std::min<std::size_t>(workspace->touched, kMaxFolded);
  std::fill_n(workspace->input.begin(), std::min(points, kMaxInput), U'\0');
  std::fill_n(workspace->text.begin(), points, U'\0');
  std::fill_n(workspace->scratch.begin(), points, U'\0');
  std::fill_n(workspace->plain.begin(), points, U'\0');
  std::fill_n(workspace->joined.begin(), std::min(points, kMaxChunks), U'\0');
  const std::size_t tokens = std::min<std::size_t>(workspace->touched_tokens, kMaxTokens);
  std::fill_n(workspace->tokens.begin(), tokens, Token{});
  std::fill_n(workspace->other_tokens.begin(), tokens, Token{});
  workspace->token_count = 0;
}

const char* language_name(Language language) noexcept {
  static constexpr std::array<const char*, kLanguageCount> kNames = {"unknown", "en", "de", "es", "fr", "it", "pt",
                                                                     "nl",      "pl", "tr", "hi", "ar", "ja", "other"};
  const auto number = static_cast<std::size_t>(language);
  return number < kLanguageCount ? kNames[number] : "unknown";
}

const char* flag_name(std::size_t bit) noexcept {
  static constexpr std::array<const char*, kFlagCount> kNames = {"truncated", "invalid", "hidden",    "lookalike",
                                                                 "leet",      "joined",  "stretched", "sexualised"};
  return bit < kFlagCount ? kNames[bit] : nullptr;
}

}  // namespace safelight::text
