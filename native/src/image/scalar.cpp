// The plain loops: what every other kernel must equal, byte for byte.
#include <algorithm>
#include <cstring>

#include "kernels.h"

namespace safelight::image {
namespace {

std::uint32_t whole_weight(std::int16_t low, std::int16_t high) noexcept {
  return (static_cast<std::uint32_t>(high) << kLowBits) + static_cast<std::uint32_t>(low);
}

std::uint8_t rounded(std::uint32_t sum) noexcept {
  return static_cast<std::uint8_t>(std::min<std::uint32_t>(255, (sum + kWeightHalf) >> kWeightBits));
}

// Rounds down, also below zero, where >> is left to the compiler. For values from -2^30 on.
int shifted_down(int value, unsigned bits) noexcept {
  constexpr std::uint32_t kOffset = 0x40000000;
  return static_cast<int>((static_cast<std::uint32_t>(value) + kOffset) >> bits) - static_cast<int>(kOffset >> bits);
}

// The high half of a 16 x 16 bit product, as the vector instructions give it.
int high_half(int left, int right) noexcept { return shifted_down(left * right, 16); }

std::uint8_t clamped(int value) noexcept {
  return static_cast<std::uint8_t>(std::clamp(shifted_down(value + kYuvHalf, kYuvFractionBits), 0, 255));
}

void expand_rgb(const std::uint8_t* rgb, std::size_t count, std::uint8_t* rgbx) {
  expand_rgb_tail(rgb, 0, count, rgbx);
}

void expand_yuv(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                std::size_t count, std::uint8_t* rgbx) {
  expand_yuv_tail(luma, chroma, v_first, weights, 0, count, rgbx);
}

void filter_rows(const std::uint8_t* const* rows, const RowTaps& taps, std::uint8_t* const* out) {
  for (std::size_t row = 0; row < kRowsAtOnce; ++row) {
    const TapGroup* group = taps.groups;
    for (std::size_t x = 0; x < taps.width; ++x) {
      const std::uint8_t* pixels = rows[row] + kPixelBytes * taps.first[x];
      std::uint32_t red = 0;
      std::uint32_t green = 0;
      std::uint32_t blue = 0;
      for (std::size_t i = 0; i < taps.group_count; ++i, ++group, pixels += kGroupBytes) {
        for (std::size_t j = 0; j < kGroupPixels; ++j) {
          const std::uint32_t weight = whole_weight(group->low[j], group->high[j]);
          const std::uint8_t* pixel = pixels + kPixelBytes * kGroupOrder[j];
          red += weight * pixel[0];
          green += weight * pixel[1];
          blue += weight * pixel[2];
        }
      }
      const std::uint8_t pixel[kPixelBytes] = {rounded(red), rounded(green), rounded(blue), 0};
      std::memcpy(out[row] + kPixelBytes * x, pixel, kPixelBytes);
    }
  }
}

void filter_columns(const std::uint8_t* const* rows, const TapPair* taps, std::size_t pair_count, std::size_t bytes,
                    std::uint8_t* out) {
  for (std::size_t i = 0; i < bytes; ++i) {
    std::uint32_t sum = 0;
    for (std::size_t pair = 0; pair < pair_count; ++pair) {
      for (std::size_t j = 0; j < 2; ++j) {
        sum += whole_weight(taps[pair].low[j], taps[pair].high[j]) * rows[2 * pair + j][i];
      }
    }
    out[i] = rounded(sum);
  }
}

std::uint32_t spans(const RowPair& rows, const std::uint8_t* mask, std::size_t span_count, std::uint32_t* sums) {
  return spans_tail(rows, mask, 0, span_count, sums);
}

}  // namespace

const Kernels kScalarKernels = {"scalar", &expand_rgb, &expand_yuv, &filter_rows, &filter_columns, &spans};

void expand_rgb_tail(const std::uint8_t* rgb, std::size_t from, std::size_t count, std::uint8_t* rgbx) noexcept {
  for (std::size_t i = from; i < count; ++i) {
    rgbx[kPixelBytes * i] = rgb[3 * i];
    rgbx[kPixelBytes * i + 1] = rgb[3 * i + 1];
    rgbx[kPixelBytes * i + 2] = rgb[3 * i + 2];
    rgbx[kPixelBytes * i + 3] = 0;
  }
}

void expand_yuv_tail(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                     std::size_t from, std::size_t count, std::uint8_t* rgbx) noexcept {
  for (std::size_t i = from; i < count; ++i) {
    const std::uint8_t* pair = chroma + (i & ~std::size_t{1});
    const int u = (pair[v_first ? 1 : 0] - 128) * 256;
    const int v = (pair[v_first ? 0 : 1] - 128) * 256;
    const int y = high_half((luma[i] - weights.luma_zero) * kLumaGain, weights.luma);
    rgbx[kPixelBytes * i] = clamped(y + high_half(v, weights.v_red));
    rgbx[kPixelBytes * i + 1] = clamped(y + high_half(u, weights.u_green) + high_half(v, weights.v_green));
    rgbx[kPixelBytes * i + 2] = clamped(y + high_half(u, weights.u_blue));
    rgbx[kPixelBytes * i + 3] = 0;
  }
}

std::uint32_t spans_tail(const RowPair& rows, const std::uint8_t* mask, std::size_t from, std::size_t span_count,
                         std::uint32_t* sums) noexcept {
  std::uint32_t greatest = 0;
  for (std::size_t i = from; i < span_count; ++i) {
    std::uint32_t sum = 0;
    for (std::size_t row = 0; row < rows.rows; ++row) {
      const std::uint8_t* one = rows.one + row * rows.one_stride_bytes + kSpanBytes * i;
      const std::uint8_t* other = rows.other + row * rows.other_stride_bytes + kSpanBytes * i;
      for (std::size_t j = 0; j < kSpanBytes; ++j) {
        const std::uint32_t apart =
            one[j] > other[j] ? std::uint32_t{one[j]} - other[j] : std::uint32_t{other[j]} - one[j];
        sum += apart & mask[j];
        greatest = std::max(greatest, apart & mask[j]);
      }
    }
    sums[i] = sum;
  }
  return greatest;
}

}  // namespace safelight::image
