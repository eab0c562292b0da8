// Text from outside made safe to show: what a terminal or a page would obey or hide becomes visible.
#pragma once

#include <cstddef>

#include "safelight/status.h"

namespace safelight::text {

// The longest escape, "\u{10FFFF}", in code points: the output needs at most this times the input.
inline constexpr std::size_t kMaxEscapeLength = 10;

// True for code points that must not reach a screen as they are: C0 and C1 controls (terminal escapes),
// bidirectional controls (they reorder the text around them: Unicode TR 36, CVE-2021-42574), zero-width and
// tag characters (they hide), line and paragraph separators, lone surrogates and noncharacters.
bool must_escape(char32_t code_point) noexcept;

// Copies `length` code points to `out`, each one that must_escape() as `\u{HEX}`.
// `out` must hold kMaxEscapeLength * length code points; `*written` receives the number used.
Status printable(const char32_t* text, std::size_t length, char32_t* out, std::size_t capacity,
                 std::size_t* written) noexcept;

}  // namespace safelight::text
