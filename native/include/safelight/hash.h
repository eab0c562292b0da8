// PDQ, the perceptual hash that lists of known material are exchanged in (Meta, 2017).
//
// The reference blurs a full-size float picture with two box filters each way and keeps 64x64 samples of it.
// Both are linear: every sample is a fixed weighted sum ("tent") over a small band of the picture. Here each
// band is read once and summed in integers, so the 64x64 samples are exact up to one rounding, and every kernel
// and every CPU gives the same bits. docs/adr/0009-pdq-in-one-pass.md says why.
//
// Rules of this header:
//  - No I/O, no exception, no allocation: the caller gives one scratch buffer, whose size a function says.
//  - Nothing is read outside the plane's stated length, and nothing is kept.
//  - Thread-safe, set_kernel() included.
//  - A perceptual hash can be inverted in part: treat it as sensitive, do not log it.
//
// The readable twin is tests/reference/pdq.py.
#pragma once

#include <cstddef>
#include <cstdint>

#include "safelight/image.h"
#include "safelight/status.h"

namespace safelight::hash {

inline constexpr std::size_t kPdqBytes = 32;
inline constexpr std::size_t kDihedralCount = 8;

// Below this a picture has no hash (the reference gives an all-zero one).
inline constexpr std::uint32_t kMinSidePx = 5;
// The reference's advice: a hash of quality 49 or less is not to be matched.
inline constexpr std::uint8_t kMinUsableQuality = 50;
// What the two pre-resizing profiles bring a larger picture to.
inline constexpr std::uint32_t kPreResizePx = 512;

// What happens to a picture before it is hashed. The three disagree by about 9 bits of 256, at worst by more than
// twice the distance that counts as a match: a hash belongs to its profile. Append, never reorder.
enum class Profile : std::uint8_t {
  kFull,      // nothing: Java, Rust, pdqhash, threatexchange, HMA
  kThumb512,  // the caller has shrunk it with Pillow's thumbnail((512, 512)): pure-Python reference
  kNear512,   // nearest neighbour to 512x512 when a side is above 512, done here: C++ command line, WASM
};
inline constexpr std::size_t kProfileCount = 3;

// Whether the bits mean something. Append, never reorder.
enum class PdqState : std::uint8_t {
  kOk,
  kLowQuality,  // there are bits, but of a picture without features: not to be matched
  kTooSmall,    // there are no bits
};
inline constexpr std::size_t kPdqStateCount = 3;

struct Pdq {
  PdqState state;
  std::uint8_t quality;          // 0..100: how much happens in the picture
  std::uint8_t bits[kPdqBytes];  // in the order of PDQ's hexadecimal text: the highest frequencies first
};

// The scratch that pdq() and pdq_dihedral() need for these arguments.
//
// All formats are taken; of YUV only the luma is read, so that the chroma planes of NV21, NV12 and I420 may be
// null. Luma counts as it is: limited and full range give nearly the same bits, because PDQ compares.
// kBadPicture: sides, stride and length do not fit together. kUnknownWord: format or profile. kOutOfRange: a
// rotation (hash as stored and use pdq_dihedral) or a picture for kThumb512 that is not shrunk yet.
Status pdq_scratch_bytes(const image::PictureView& picture, Profile profile, std::size_t* bytes) noexcept;

// Hashes the picture. On any status but kOk `*result` is untouched.
Status pdq(const image::PictureView& picture, Profile profile, Pdq* result, void* scratch,
           std::size_t scratch_bytes) noexcept;

// The eight turns and mirrors from one transform, in the reference's order: as it is, turned counter-clockwise by
// 90, 180 and 270 degrees, upside down, mirrored left to right, transposed, transposed along the other diagonal.
// `results` holds kDihedralCount. They are exact for the samples; hashing a turned picture differs by a few bits.
Status pdq_dihedral(const image::PictureView& picture, Profile profile, Pdq* results, void* scratch,
                    std::size_t scratch_bytes) noexcept;

// A picture that was stored smaller, each pixel the mean of a block of `factor` each way, the last ones of what is
// left: what JPEG decoders give at 1/2, 1/4 and 1/8 for a fraction of the time.
struct Reduction {
  std::uint32_t factor;  // 1, 2, 4 or 8
  std::uint32_t full_width_px;
  std::uint32_t full_height_px;
};

// Hashes it as if every pixel were spread over its block again: the filters are those of the full size, so that the
// answer is near the full picture's, by profile kFull. One result, or kDihedralCount when `dihedral`.
// kOutOfRange: another factor, or a full side too long. kBadPicture: the sides are not those of the full ones, reduced.
Status pdq_reduced_scratch_bytes(const image::PictureView& picture, const Reduction& reduction,
                                 std::size_t* bytes) noexcept;
Status pdq_reduced(const image::PictureView& picture, const Reduction& reduction, bool dihedral, Pdq* results,
                   void* scratch, std::size_t scratch_bytes) noexcept;

// Bits that differ, 0..256. Both arguments are kPdqBytes long.
std::uint32_t pdq_distance(const std::uint8_t* left, const std::uint8_t* right) noexcept;

// Which machine code runs. All give the same bits; "auto" is the fastest that this CPU has.
inline constexpr std::size_t kKernelCount = 5;  // scalar, sse2, avx2, avx512, neon
struct KernelInfo {
  const char* name;
  bool available;  // compiled in, and this CPU has it
};
KernelInfo kernel_info(std::size_t index) noexcept;  // {nullptr, false} from kKernelCount on
const char* kernel_in_use() noexcept;

// For tests and measurements: the whole process uses `name` ("auto" or one of the above) from the next call on.
// kUnknownWord for another name, kKernelUnavailable when this build or CPU lacks it; then nothing changes.
Status set_kernel(const char* name) noexcept;

}  // namespace safelight::hash
