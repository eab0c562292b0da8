#include "safelight/status.h"

namespace safelight {

const char* status_message(Status status) noexcept {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kNullArgument:
      return "a required pointer is null: pass the address of a valid object";
    case Status::kUnknownWord:
      return "a word or its number is not in Safelight's vocabulary: use the names that this version lists";
    case Status::kBadRulesTable:
      return "the rules table has the wrong size or an action outside ALLOW..BLOCK: rebuild it from a rules document";
    case Status::kBufferTooSmall:
      return "the output buffer is too small: pass one of the documented size";
    case Status::kStructSizeMismatch:
      return "struct_size does not match this library: set it to sizeof the struct and compile with this library's "
             "header";
  }
  return "unknown status: the header and the library are of different versions";
}

}  // namespace safelight
