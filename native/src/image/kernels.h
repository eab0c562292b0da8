// The inner loops that exist once per instruction set, and the tables that they read.
//
// Inside this directory a row of pixels is RGBX: four bytes a pixel in the source's own order (BGR stays BGR
// and is swapped when it is written out), the fourth byte of no meaning.
#pragma once

#include <cstddef>
#include <cstdint>

namespace safelight::image {

inline constexpr std::size_t kPixelBytes = 4;

// Weights are fixed-point with the bits that Pillow uses (32 - 8 bits of pixel - 2 of head room), which bit
// exactness needs. They are stored in two parts that fit 16-bit multipliers: weight = high * 2048 + low.
// Both sums wrap modulo 2^32 and their combination cannot exceed it, so the split loses nothing.
inline constexpr unsigned kWeightBits = 22;
inline constexpr unsigned kLowBits = 11;
inline constexpr std::uint32_t kWeightOne = 1U << kWeightBits;
inline constexpr std::uint32_t kWeightHalf = 1U << (kWeightBits - 1);

// Four neighbouring pixels' weights, in the order 0, 2, 1, 3: what unpacking puts side by side.
inline constexpr std::size_t kGroupPixels = 4;
inline constexpr std::size_t kGroupBytes = kGroupPixels * kPixelBytes;
inline constexpr std::size_t kGroupOrder[kGroupPixels] = {0, 2, 1, 3};
struct TapGroup {
  std::int16_t low[kGroupPixels];
  std::int16_t high[kGroupPixels];
};

// The filter along a row: output pixel x is the weighted sum of `group_count` groups from pixel first[x] on.
struct RowTaps {
  const std::uint32_t* first;
  const TapGroup* groups;  // group_count for each output pixel; weights past the filter are 0
  std::size_t group_count;
  std::size_t width;
};

// The filter down the columns: weights of two neighbouring rows.
struct TapPair {
  std::int16_t low[2];
  std::int16_t high[2];
};

// Y, U, V → RGB in 16-bit lanes: high halves of products, 5 fractional bits kept.
inline constexpr int kYuvFractionBits = 5;
inline constexpr int kYuvHalf = 16;
inline constexpr int kLumaShift = 7;  // (Y - luma_zero) << 7 still fits 16 bits
inline constexpr int kLumaGain = 128;
struct YuvWeights {
  std::int16_t luma_zero;
  std::int16_t luma;     // times 2^14
  std::int16_t v_red;    // this and below: times 2^13
  std::int16_t u_green;  // negative
  std::int16_t v_green;  // negative
  std::int16_t u_blue;
};

inline constexpr std::size_t kRowsAtOnce = 4;   // rows that filter_rows takes, so that weights are loaded once
inline constexpr std::size_t kColumnStep = 32;  // filter_columns works on whole multiples of this many bytes

// Eight bytes of a row: what one addition of absolute differences sums up.
inline constexpr std::size_t kSpanBytes = 8;
// Rows that spans() takes at most: 8 rows of 8 differences of 255 fit 16 bits, which NEON adds in.
inline constexpr std::size_t kSpanRows = 8;

// Two planes side by side: the same rows of both, from the same byte on.
struct RowPair {
  const std::uint8_t* one;
  const std::uint8_t* other;
  std::size_t one_stride_bytes;
  std::size_t other_stride_bytes;
  std::size_t rows;  // 1..kSpanRows
};

struct Kernels {
  const char* name;
  // `count` 3-byte pixels to RGBX.
  void (*expand_rgb)(const std::uint8_t* rgb, std::size_t count, std::uint8_t* rgbx);
  // `count` pixels from luma and interleaved half-width chroma (V first or U first) to RGBX.
  void (*expand_yuv)(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                     std::size_t count, std::uint8_t* rgbx);
  // Four rows at once; they may repeat (a short group), with their output repeating too.
  void (*filter_rows)(const std::uint8_t* const* rows, const RowTaps& taps, std::uint8_t* const* out);
  // 2 * pair_count rows into one; `bytes` is a multiple of kColumnStep.
  void (*filter_columns)(const std::uint8_t* const* rows, const TapPair* taps, std::size_t pair_count,
                         std::size_t bytes, std::uint8_t* out);
  // sums[i] = absolute differences of bytes 8 i to 8 i + 7 of all rows, those bytes alone that `mask` (8 bytes of 0
  // or 255) lets through. Returns the greatest of them.
  std::uint32_t (*spans)(const RowPair& rows, const std::uint8_t* mask, std::size_t span_count, std::uint32_t* sums);
};

extern const Kernels kScalarKernels;

// Null where this build or CPU does not have them.
const Kernels* sse2_kernels() noexcept;
const Kernels* avx2_kernels() noexcept;
const Kernels* neon_kernels() noexcept;

const Kernels& active_kernels() noexcept;

// What the vector loops leave over is done by these; the scalar kernel is nothing else.
void expand_rgb_tail(const std::uint8_t* rgb, std::size_t from, std::size_t count, std::uint8_t* rgbx) noexcept;
void expand_yuv_tail(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                     std::size_t from, std::size_t count, std::uint8_t* rgbx) noexcept;

// Spans from `from` on.
std::uint32_t spans_tail(const RowPair& rows, const std::uint8_t* mask, std::size_t from, std::size_t span_count,
                         std::uint32_t* sums) noexcept;

}  // namespace safelight::image
