// NEON, which every 64-bit ARM has. Empty elsewhere: 32-bit ARM has it only sometimes and uses the plain loops.
#include "kernels.h"

#if defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in scalar.cpp.

namespace safelight::image {
namespace {

// The loops below name their sums one by one: gcc -O2 keeps an array of them in memory, at half the speed.
struct Sums {
  uint32x4_t low;
  uint32x4_t high;
};

Sums no_sums() noexcept { return {vdupq_n_u32(0), vdupq_n_u32(0)}; }

// The two parts put together, rounded and scaled down; 16 bits, a little above 255 at most.
uint16x4_t finish(const Sums& sums) noexcept {
  const uint32x4_t sum = vaddq_u32(vshlq_n_u32(sums.high, kLowBits), sums.low);
  return vmovn_u32(vshrq_n_u32(vaddq_u32(sum, vdupq_n_u32(kWeightHalf)), kWeightBits));
}

uint8x8_t finish(const Sums& first, const Sums& second) noexcept {
  return vqmovn_u16(vcombine_u16(finish(first), finish(second)));
}

void expand_rgb(const std::uint8_t* rgb, std::size_t count, std::uint8_t* rgbx) {
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const uint8x16x3_t in = vld3q_u8(rgb + 3 * i);
    vst4q_u8(rgbx + kPixelBytes * i, (uint8x16x4_t{{in.val[0], in.val[1], in.val[2], vdupq_n_u8(0)}}));
  }
  expand_rgb_tail(rgb, i, count, rgbx);
}

// The high halves of eight 16 x 16 bit products.
int16x8_t high_half(int16x8_t values, std::int16_t weight) noexcept {
  return vcombine_s16(vshrn_n_s32(vmull_n_s16(vget_low_s16(values), weight), 16),
                      vshrn_n_s32(vmull_n_s16(vget_high_s16(values), weight), 16));
}

void expand_yuv(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                std::size_t count, std::uint8_t* rgbx) {
  const int16x8_t half = vdupq_n_s16(kYuvHalf);
  const int16x8_t luma_zero = vdupq_n_s16(weights.luma_zero);
  const uint8x8_t sign = vdup_n_u8(0x80);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const uint8x8x2_t pairs = vld2_u8(chroma + i);
    // (c - 128) * 256: flip the sign bit and move the byte up.
    const auto widened = [&](uint8x8_t c) { return vreinterpretq_s16_u16(vshll_n_u8(veor_u8(c, sign), 8)); };
    const int16x8_t u = widened(pairs.val[v_first ? 1 : 0]);
    const int16x8_t v = widened(pairs.val[v_first ? 0 : 1]);
    const int16x8_t terms[3] = {high_half(v, weights.v_red),
                                vaddq_s16(high_half(u, weights.u_green), high_half(v, weights.v_green)),
                                high_half(u, weights.u_blue)};
    const uint8x16_t y = vld1q_u8(luma + i);
    const auto scaled = [&](uint8x8_t values) {
      const int16x8_t wide = vsubq_s16(vreinterpretq_s16_u16(vmovl_u8(values)), luma_zero);
      return vaddq_s16(high_half(vshlq_n_s16(wide, kLumaShift), weights.luma), half);
    };
    const int16x8_t y_low = scaled(vget_low_u8(y));
    const int16x8_t y_high = scaled(vget_high_u8(y));
    uint8x16x4_t out;
    for (std::size_t c = 0; c < 3; ++c) {
      const int16x8x2_t twice = vzipq_s16(terms[c], terms[c]);  // one chroma value serves two pixels
      out.val[c] = vcombine_u8(vqshrun_n_s16(vaddq_s16(y_low, twice.val[0]), kYuvFractionBits),
                               vqshrun_n_s16(vaddq_s16(y_high, twice.val[1]), kYuvFractionBits));
    }
    out.val[3] = vdupq_n_u8(0);
    vst4q_u8(rgbx + kPixelBytes * i, out);
  }
  expand_yuv_tail(luma, chroma, v_first, weights, i, count, rgbx);
}

// Four pixels with their weights, which are stored in the order 0, 2, 1, 3.
Sums plus_group(Sums sums, const std::uint8_t* pixels, uint16x4_t low_weights, uint16x4_t high_weights) noexcept {
  const uint8x16_t four = vld1q_u8(pixels);
  const uint16x8_t left = vmovl_u8(vget_low_u8(four));
  const uint16x8_t right = vmovl_u8(vget_high_u8(four));
  sums.low = vmlal_lane_u16(sums.low, vget_low_u16(left), low_weights, 0);
  sums.high = vmlal_lane_u16(sums.high, vget_low_u16(left), high_weights, 0);
  sums.low = vmlal_lane_u16(sums.low, vget_high_u16(left), low_weights, 2);
  sums.high = vmlal_lane_u16(sums.high, vget_high_u16(left), high_weights, 2);
  sums.low = vmlal_lane_u16(sums.low, vget_low_u16(right), low_weights, 1);
  sums.high = vmlal_lane_u16(sums.high, vget_low_u16(right), high_weights, 1);
  sums.low = vmlal_lane_u16(sums.low, vget_high_u16(right), low_weights, 3);
  sums.high = vmlal_lane_u16(sums.high, vget_high_u16(right), high_weights, 3);
  return sums;
}

void store_pixels(std::uint8_t* first, std::uint8_t* second, uint8x8_t pixels) noexcept {
  const uint32x2_t words = vreinterpret_u32_u8(pixels);
  vst1_lane_u32(reinterpret_cast<std::uint32_t*>(first), words, 0);
  vst1_lane_u32(reinterpret_cast<std::uint32_t*>(second), words, 1);
}

void filter_rows(const std::uint8_t* const* rows, const RowTaps& taps, std::uint8_t* const* out) {
  const TapGroup* group = taps.groups;
  for (std::size_t x = 0; x < taps.width; ++x) {
    std::size_t at = kPixelBytes * taps.first[x];
    Sums sums0 = no_sums();
    Sums sums1 = no_sums();
    Sums sums2 = no_sums();
    Sums sums3 = no_sums();
    for (std::size_t i = 0; i < taps.group_count; ++i, ++group, at += kGroupBytes) {
      const uint16x4_t low = vreinterpret_u16_s16(vld1_s16(group->low));
      const uint16x4_t high = vreinterpret_u16_s16(vld1_s16(group->high));
      sums0 = plus_group(sums0, rows[0] + at, low, high);
      sums1 = plus_group(sums1, rows[1] + at, low, high);
      sums2 = plus_group(sums2, rows[2] + at, low, high);
      sums3 = plus_group(sums3, rows[3] + at, low, high);
    }
    const std::size_t to = kPixelBytes * x;
    store_pixels(out[0] + to, out[1] + to, finish(sums0, sums1));
    store_pixels(out[2] + to, out[3] + to, finish(sums2, sums3));
  }
}

Sums plus(Sums sums, uint16x4_t values, std::uint16_t low_weight, std::uint16_t high_weight) noexcept {
  sums.low = vmlal_n_u16(sums.low, values, low_weight);
  sums.high = vmlal_n_u16(sums.high, values, high_weight);
  return sums;
}

void filter_columns(const std::uint8_t* const* rows, const TapPair* taps, std::size_t pair_count, std::size_t bytes,
                    std::uint8_t* out) {
  for (std::size_t at = 0; at < bytes; at += 16) {
    Sums sums0 = no_sums();
    Sums sums1 = no_sums();
    Sums sums2 = no_sums();
    Sums sums3 = no_sums();
    for (std::size_t i = 0; i < 2 * pair_count; ++i) {
      const auto low = static_cast<std::uint16_t>(taps[i / 2].low[i % 2]);
      const auto high = static_cast<std::uint16_t>(taps[i / 2].high[i % 2]);
      const uint8x16_t row = vld1q_u8(rows[i] + at);
      const uint16x8_t left = vmovl_u8(vget_low_u8(row));
      const uint16x8_t right = vmovl_u8(vget_high_u8(row));
      sums0 = plus(sums0, vget_low_u16(left), low, high);
      sums1 = plus(sums1, vget_high_u16(left), low, high);
      sums2 = plus(sums2, vget_low_u16(right), low, high);
      sums3 = plus(sums3, vget_high_u16(right), low, high);
    }
    vst1q_u8(out + at, vcombine_u8(finish(sums0, sums1), finish(sums2, sums3)));
  }
}

std::uint32_t spans(const RowPair& rows, const std::uint8_t* mask, std::size_t span_count, std::uint32_t* sums) {
  const uint8x8_t half_mask = vld1_u8(mask);
  const uint8x16_t masks = vcombine_u8(half_mask, half_mask);
  uint8x16_t greatest = vdupq_n_u8(0);
  std::size_t i = 0;
  for (; i + 2 <= span_count; i += 2) {
    const std::uint8_t* one = rows.one + kSpanBytes * i;
    const std::uint8_t* other = rows.other + kSpanBytes * i;
    uint16x8_t sum = vdupq_n_u16(0);
    for (std::size_t row = 0; row < rows.rows; ++row) {
      const uint8x16_t difference = vandq_u8(vabdq_u8(vld1q_u8(one), vld1q_u8(other)), masks);
      greatest = vmaxq_u8(greatest, difference);
      sum = vpadalq_u8(sum, difference);
      one += rows.one_stride_bytes;
      other += rows.other_stride_bytes;
    }
    vst1_u32(sums + i, vmovn_u64(vpaddlq_u32(vpaddlq_u16(sum))));
  }
  const std::uint32_t rest = spans_tail(rows, mask, i, span_count, sums);
  const std::uint32_t most = vmaxvq_u8(greatest);
  return rest > most ? rest : most;
}

constexpr Kernels kNeonKernels = {"neon", &expand_rgb, &expand_yuv, &filter_rows, &filter_columns, &spans};

}  // namespace

const Kernels* neon_kernels() noexcept { return &kNeonKernels; }

}  // namespace safelight::image
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::image {
const Kernels* neon_kernels() noexcept { return nullptr; }
}  // namespace safelight::image

#endif
