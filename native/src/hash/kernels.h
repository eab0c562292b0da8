// The inner loops that exist once per instruction set, and what they read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace safelight::hash {

inline constexpr std::size_t kSamples = 64;      // PDQ looks at 64x64 samples
inline constexpr std::size_t kFrequencies = 16;  // and keeps the 16 lowest frequencies each way, without the mean

// Halves the passes over the sums that 8 would take; 24 rows are more streams than processors prefetch (measured).
inline constexpr std::size_t kRowsAtOnce = 16;
inline constexpr std::size_t kPairsAtOnce = kRowsAtOnce / 2;
inline constexpr std::size_t kSumStep = 64;  // sums have room for whole multiples of this many elements
inline constexpr std::size_t kTapStep = 8;   // a column tent's weights are padded with zeros to a multiple of this

// The weights of two neighbouring rows. At most 256 (the tent of the largest picture).
struct RowPair {
  std::int16_t upper;
  std::int16_t lower;
};

// One sample's tent along a row: `length` sums from `first` on, times `weights`.
struct ColumnTent {
  const std::uint32_t* weights;
  std::uint32_t first;
  std::uint32_t length;  // a multiple of kTapStep
};

// The cosine transform's matrix, folded: frequencies are odd or even around the middle, so that half is enough.
// values[0] is of the odd ones (1, 3, .. 15), values[1] of the even ones (2, 4, .. 16); [sample][frequency].
inline constexpr std::size_t kFolded = kSamples / 2;
inline constexpr std::size_t kEachParity = kFrequencies / 2;
struct CosineTable {
  double values[2][kFolded][kEachParity];
};
extern const CosineTable kCosines;

struct Kernels {
  const char* name;
  // sums[i] (+)= the weighted sum of element i of 2 * pair_count rows, for i below `count`; what comes after, up to
  // the next multiple of kSumStep, is anything. `fresh` overwrites. pair_count is at most kPairsAtOnce.
  void (*add_rows)(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count, bool fresh,
                   std::size_t count, std::uint32_t* sums);
  // out[i] = the weighted sum of tent i, a whole number below 2^52: exact.
  void (*add_columns)(const std::uint32_t* sums, const ColumnTent* tents, std::size_t count, double* out);
  // out[i] = the weighted sum of the bytes of pixel i of kSamples in a row: for pictures that need no filter.
  void (*weigh_row)(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes, double* out);
  // Half a transform: `width` (a multiple of 8) columns of 64 samples to 16 frequencies, in place of the first 16
  // rows of `out`. `samples` is folded on the way and holds something else afterwards.
  void (*transform)(double* samples, std::size_t width, double* out);
  // Sum of |trunc(100 (a - b) / 255)| over all neighbours, in single precision as the reference has it.
  std::uint32_t (*gradients)(const float* samples);
};

extern const Kernels kScalarKernels;

// Null where this build or CPU does not have them.
const Kernels* sse2_kernels() noexcept;
const Kernels* avx2_kernels() noexcept;
const Kernels* avx512_kernels() noexcept;
const Kernels* neon_kernels() noexcept;

const Kernels& active_kernels() noexcept;

// The plain loop of weigh_row, for formats that no vector is made for.
void weigh_row_scalar(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes,
                      double* out) noexcept;

// Copies what is left of `2 * pair_count` rows from `from` on, padded with zeros, so that the vector loops need not
// read past the rows; `tails[i]` then points at the copy of row i.
struct RowTails {
  std::uint8_t bytes[kRowsAtOnce][kSumStep];
  const std::uint8_t* rows[kRowsAtOnce];
};
void copy_tails(const std::uint8_t* const* rows, std::size_t pair_count, std::size_t from, std::size_t count,
                RowTails* tails) noexcept;

}  // namespace safelight::hash
