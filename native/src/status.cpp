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
      return "the rules table has the wrong size, an action outside ALLOW..BLOCK or below a floor, or less protection "
             "for a younger band or a more severe situation: rebuild it from a rules document";
    case Status::kBufferTooSmall:
      return "the output buffer is too small: pass one of the documented size";
    case Status::kStructSizeMismatch:
      return "struct_size does not match this library: set it to sizeof the struct and compile with this library's "
             "header";
    case Status::kBadPicture:
      return "the picture's sizes, strides and buffer lengths do not fit together, or its buffers overlap: give 1 to "
             "32767 pixels a side, rows no longer than their stride, and buffers that hold every row";
    case Status::kOutOfRange:
      return "a rotation, crop, size, window, scale or landmark is not possible: rotation is 0, 90, 180 or 270, a crop "
             "lies inside the upright picture, a window inside the resized one, numbers are finite";
    case Status::kKernelUnavailable:
      return "this build or this CPU does not have that kernel: use one that safelight._image.kernels() lists";
    case Status::kBadIndex:
      return "the bytes are not a hash index of this version, are cut short or damaged: got something else, expected "
             "an "
             "index as HashIndex.save writes it; fetch or build it again, and until then treat the list as missing";
    case Status::kUnusableHash:
      return "got a hash without any bit or of quality 49 or less, expected one of a picture with features: do not "
             "match "
             "it, and treat the picture as one that could not be judged";
    case Status::kProfileMismatch:
      return "got a hash of another profile than the index has, expected the same: hash the picture with the index's "
             "profile";
  }
  return "unknown status: the header and the library are of different versions";
}

}  // namespace safelight
