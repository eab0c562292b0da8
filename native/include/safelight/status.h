// What every native entry point returns. The core never throws across a face, never exits, never prints:
// each face (Python, C) turns a status into its own kind of error through one table.
#pragma once

#include <cstdint>

namespace safelight {

enum class Status : std::uint32_t {
  kOk = 0,
  kNullArgument = 1,        // a required pointer is null
  kUnknownWord = 2,         // a band, event, kind, state, label or name outside the vocabulary
  kBadRulesTable = 3,       // a rules table of the wrong size, outside the ladder, below a floor or out of order
  kBufferTooSmall = 4,      // the caller's buffer cannot hold the answer
  kStructSizeMismatch = 5,  // the caller was compiled against another layout of a C struct
  kBadPicture = 6,          // sizes, strides and buffer lengths of a picture do not fit together, or buffers overlap
  kOutOfRange = 7,          // a rotation, crop, size, scale, landmark or alignment that is not possible
  kKernelUnavailable = 8,   // this build or this CPU does not have the machine code asked for
  kBadIndex = 9,            // bytes that are no hash index of this version, or a damaged one
  kUnusableHash = 10,       // the hash of a picture without features: it is not to be matched
  kProfileMismatch = 11,    // a hash of one profile meets a list of another
};

inline constexpr std::uint32_t kStatusCount = 12;

// A sentence that says what was wrong; static storage, never null.
const char* status_message(Status status) noexcept;

}  // namespace safelight
