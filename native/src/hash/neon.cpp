// NEON, which every 64-bit ARM has. Empty elsewhere: 32-bit ARM has it only sometimes, and never for doubles.
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in scalar.cpp.

namespace safelight::hash {
namespace {

constexpr std::size_t kBlock = 16;

void store_sums(std::uint32_t* to, uint32x4_t value, bool fresh) noexcept {
  vst1q_u32(to, fresh ? value : vaddq_u32(value, vld1q_u32(to)));
}

void add_block(const std::uint8_t* const* rows, std::size_t at, const RowPair* weights, std::size_t pair_count,
               bool fresh, std::uint32_t* sums) noexcept {
  uint32x4_t sum0 = vdupq_n_u32(0);
  uint32x4_t sum1 = sum0;
  uint32x4_t sum2 = sum0;
  uint32x4_t sum3 = sum0;
  for (std::size_t row = 0; row < 2 * pair_count; ++row) {
    const RowPair& pair = weights[row / 2];
    const auto weight = static_cast<std::uint16_t>(row % 2 == 0 ? pair.upper : pair.lower);
    const uint8x16_t bytes = vld1q_u8(rows[row] + at);
    const uint16x8_t left = vmovl_u8(vget_low_u8(bytes));
    const uint16x8_t right = vmovl_u8(vget_high_u8(bytes));
    sum0 = vmlal_n_u16(sum0, vget_low_u16(left), weight);
    sum1 = vmlal_n_u16(sum1, vget_high_u16(left), weight);
    sum2 = vmlal_n_u16(sum2, vget_low_u16(right), weight);
    sum3 = vmlal_n_u16(sum3, vget_high_u16(right), weight);
  }
  store_sums(sums, sum0, fresh);
  store_sums(sums + 4, sum1, fresh);
  store_sums(sums + 8, sum2, fresh);
  store_sums(sums + 12, sum3, fresh);
}

void add_rows(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count, bool fresh,
              std::size_t count, std::uint32_t* sums) {
  std::size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    add_block(rows, i, weights, pair_count, fresh, sums + i);
  }
  if (i < count) {
    RowTails tails;
    copy_tails(rows, pair_count, i, count, &tails);
    add_block(tails.rows, 0, weights, pair_count, fresh, sums + i);
  }
}

void add_columns(const std::uint32_t* sums, const ColumnTent* tents, std::size_t count, double* out) {
  for (std::size_t tent = 0; tent < count; ++tent) {
    const std::uint32_t* from = sums + tents[tent].first;
    const std::uint32_t* weights = tents[tent].weights;
    uint64x2_t low = vdupq_n_u64(0);
    uint64x2_t high = low;
    for (std::size_t i = 0; i < tents[tent].length; i += 4) {
      const uint32x4_t value = vld1q_u32(from + i);
      const uint32x4_t weight = vld1q_u32(weights + i);
      low = vmlal_u32(low, vget_low_u32(value), vget_low_u32(weight));
      high = vmlal_u32(high, vget_high_u32(value), vget_high_u32(weight));
    }
    out[tent] = static_cast<double>(vaddvq_u64(vaddq_u64(low, high)));
  }
}

// Multiplied and added apart: a fused step would round differently.
float64x2_t plus(float64x2_t sum, double cosine, float64x2_t value) noexcept {
  return vaddq_f64(sum, vmulq_n_f64(value, cosine));
}

void transform(double* samples, std::size_t width, double* out) {
  for (std::size_t k = 0; k < kFolded; ++k) {
    double* near = samples + k * width;
    double* far = samples + (kSamples - 1 - k) * width;
    for (std::size_t x = 0; x < width; x += 2) {
      const float64x2_t a = vld1q_f64(near + x);
      const float64x2_t b = vld1q_f64(far + x);
      vst1q_f64(near + x, vaddq_f64(a, b));
      vst1q_f64(far + x, vsubq_f64(a, b));
    }
  }
  const auto step = static_cast<std::ptrdiff_t>(width);
  for (std::size_t parity = 0; parity < 2; ++parity) {
    const double* folded = parity == 0 ? samples + (kSamples - 1) * width : samples;
    const std::ptrdiff_t direction = parity == 0 ? -step : step;
    for (std::size_t x = 0; x < width; x += 2) {
      const double* from = folded + x;
      float64x2_t sum0 = vdupq_n_f64(0.0);
      float64x2_t sum1 = sum0;
      float64x2_t sum2 = sum0;
      float64x2_t sum3 = sum0;
      float64x2_t sum4 = sum0;
      float64x2_t sum5 = sum0;
      float64x2_t sum6 = sum0;
      float64x2_t sum7 = sum0;
      for (std::size_t k = 0; k < kFolded; ++k) {
        const double* cosine = kCosines.values[parity][k];
        const float64x2_t value = vld1q_f64(from);
        from += direction;
        sum0 = plus(sum0, cosine[0], value);
        sum1 = plus(sum1, cosine[1], value);
        sum2 = plus(sum2, cosine[2], value);
        sum3 = plus(sum3, cosine[3], value);
        sum4 = plus(sum4, cosine[4], value);
        sum5 = plus(sum5, cosine[5], value);
        sum6 = plus(sum6, cosine[6], value);
        sum7 = plus(sum7, cosine[7], value);
      }
      double* to = out + parity * width + x;
      vst1q_f64(to, sum0);
      vst1q_f64(to + 2 * width, sum1);
      vst1q_f64(to + 4 * width, sum2);
      vst1q_f64(to + 6 * width, sum3);
      vst1q_f64(to + 8 * width, sum4);
      vst1q_f64(to + 10 * width, sum5);
      vst1q_f64(to + 12 * width, sum6);
      vst1q_f64(to + 14 * width, sum7);
    }
  }
}

uint32x4_t plus_gradient(uint32x4_t sum, float32x4_t left, float32x4_t right) noexcept {
  const float32x4_t times = vmulq_n_f32(vsubq_f32(left, right), 100.0F);
  return vaddq_u32(sum, vcvtq_u32_f32(vabsq_f32(vdivq_f32(times, vdupq_n_f32(255.0F)))));
}

std::uint32_t gradients(const float* samples) {
  // The neighbour to the right of a row's last sample is none: there the last four are taken once more, and what
  // was counted before is set equal.
  uint32x4_t sum = vdupq_n_u32(0);
  for (std::size_t y = 0; y < kSamples; ++y) {
    const float* row = samples + y * kSamples;
    for (std::size_t x = 0; x + 4 < kSamples; x += 4) {
      sum = plus_gradient(sum, vld1q_f32(row + x), vld1q_f32(row + x + 1));
    }
    const float32x4_t left = vsetq_lane_f32(0.0F, vld1q_f32(row + kSamples - 5), 0);
    sum = plus_gradient(sum, left, vsetq_lane_f32(0.0F, vld1q_f32(row + kSamples - 4), 0));
    for (std::size_t x = 0; y + 1 < kSamples && x < kSamples; x += 4) {
      sum = plus_gradient(sum, vld1q_f32(row + x), vld1q_f32(row + kSamples + x));
    }
  }
  return vaddvq_u32(sum);
}

void store_doubles(double* to, uint32x4_t values) noexcept {
  vst1q_f64(to, vcvtq_f64_u64(vmovl_u32(vget_low_u32(values))));
  vst1q_f64(to + 2, vcvtq_f64_u64(vmovl_u32(vget_high_u32(values))));
}

void weigh_row(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes, double* out) {
  if (pixel_bytes != 3) {
    weigh_row_scalar(row, weights, pixel_bytes, out);
    return;
  }
  constexpr std::size_t kStep = 8;
  for (std::size_t x = 0; x < kSamples; x += kStep) {
    const uint8x8x3_t pixels = vld3_u8(row + 3 * x);
    uint32x4_t left = vdupq_n_u32(0);
    uint32x4_t right = left;
    for (std::size_t i = 0; i < 3; ++i) {
      const uint16x8_t bytes = vmovl_u8(pixels.val[i]);
      const auto weight = static_cast<std::uint16_t>(weights[i]);
      left = vmlal_n_u16(left, vget_low_u16(bytes), weight);
      right = vmlal_n_u16(right, vget_high_u16(bytes), weight);
    }
    store_doubles(out + x, left);
    store_doubles(out + x + 4, right);
  }
}

constexpr Kernels kNeonKernels = {"neon", &add_rows, &add_columns, &weigh_row, &transform, &gradients};

}  // namespace

const Kernels* neon_kernels() noexcept { return &kNeonKernels; }

}  // namespace safelight::hash
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::hash {
const Kernels* neon_kernels() noexcept { return nullptr; }
}  // namespace safelight::hash

#endif
