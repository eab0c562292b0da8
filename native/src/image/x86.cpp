// SSE2 (every 64-bit x86) and AVX2 (looked for at run time). Empty elsewhere.
#include "kernels.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include <cstring>

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in scalar.cpp.

// Compiles one function for AVX2 while the rest of the file stays at the baseline: no build flag, one binary.
#define SAFELIGHT_AVX2 __attribute__((target("avx2")))

namespace safelight::image {
namespace {

constexpr short kChromaSign = -0x8000;  // flips an unsigned byte in the high half to signed: c - 128

// --- SSE2 ------------------------------------------------------------------------------------------------

__m128i load(const void* from) noexcept { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }

void store(void* to, __m128i value) noexcept { _mm_storeu_si128(static_cast<__m128i*>(to), value); }

void store_pixel(void* to, int value) noexcept { std::memcpy(to, &value, sizeof(value)); }

// The loops below name their sums one by one: gcc -O2 keeps an array of them in memory, at half the speed.
struct Sums {
  __m128i low;
  __m128i high;
};

// Products of pairs of neighbouring 16-bit lanes with the two parts of their weights.
Sums plus(const Sums& sums, __m128i pairs, __m128i low_weights, __m128i high_weights) noexcept {
  return {_mm_add_epi32(sums.low, _mm_madd_epi16(pairs, low_weights)),
          _mm_add_epi32(sums.high, _mm_madd_epi16(pairs, high_weights))};
}

// The two parts put together, rounded and scaled down to 0..255 (or a little above).
__m128i finish(const Sums& sums) noexcept {
  const __m128i sum = _mm_add_epi32(_mm_slli_epi32(sums.high, kLowBits), sums.low);
  return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(static_cast<int>(kWeightHalf))), kWeightBits);
}

void expand_rgb_sse2(const std::uint8_t* rgb, std::size_t count, std::uint8_t* rgbx) {
  const __m128i colours = _mm_set1_epi32(0x00FFFFFF);
  std::size_t i = 0;
  for (; i + 6 <= count; i += 4) {  // 16 bytes are read for 12
    const __m128i pixels = load(rgb + 3 * i);
    const __m128i first = _mm_unpacklo_epi32(pixels, _mm_srli_si128(pixels, 3));
    const __m128i second = _mm_unpacklo_epi32(_mm_srli_si128(pixels, 6), _mm_srli_si128(pixels, 9));
    store(rgbx + kPixelBytes * i, _mm_and_si128(_mm_unpacklo_epi64(first, second), colours));
  }
  expand_rgb_tail(rgb, i, count, rgbx);
}

void expand_yuv_sse2(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first, const YuvWeights& weights,
                     std::size_t count, std::uint8_t* rgbx) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i sign = _mm_set1_epi16(kChromaSign);
  const __m128i high_byte = _mm_set1_epi16(static_cast<short>(0xFF00));
  const __m128i half = _mm_set1_epi16(kYuvHalf);
  const __m128i luma_zero = _mm_set1_epi16(weights.luma_zero);
  const __m128i luma_weight = _mm_set1_epi16(weights.luma);
  const __m128i v_red = _mm_set1_epi16(weights.v_red);
  const __m128i u_green = _mm_set1_epi16(weights.u_green);
  const __m128i v_green = _mm_set1_epi16(weights.v_green);
  const __m128i u_blue = _mm_set1_epi16(weights.u_blue);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i pairs = load(chroma + i);
    const __m128i first = _mm_xor_si128(_mm_slli_epi16(pairs, 8), sign);
    const __m128i second = _mm_xor_si128(_mm_and_si128(pairs, high_byte), sign);
    const __m128i u = v_first ? second : first;
    const __m128i v = v_first ? first : second;
    const __m128i red = _mm_mulhi_epi16(v, v_red);
    const __m128i green = _mm_add_epi16(_mm_mulhi_epi16(u, u_green), _mm_mulhi_epi16(v, v_green));
    const __m128i blue = _mm_mulhi_epi16(u, u_blue);
    const __m128i y = load(luma + i);
    const auto scaled = [&](__m128i wide) {
      const __m128i shifted = _mm_slli_epi16(_mm_sub_epi16(wide, luma_zero), kLumaShift);
      return _mm_add_epi16(_mm_mulhi_epi16(shifted, luma_weight), half);
    };
    const __m128i y_low = scaled(_mm_unpacklo_epi8(y, zero));
    const __m128i y_high = scaled(_mm_unpackhi_epi8(y, zero));
    // One chroma value serves two pixels.
    const auto channel = [&](__m128i term) {
      return _mm_packus_epi16(_mm_srai_epi16(_mm_add_epi16(y_low, _mm_unpacklo_epi16(term, term)), kYuvFractionBits),
                              _mm_srai_epi16(_mm_add_epi16(y_high, _mm_unpackhi_epi16(term, term)), kYuvFractionBits));
    };
    const __m128i r = channel(red);
    const __m128i g = channel(green);
    const __m128i b = channel(blue);
    const __m128i rg_low = _mm_unpacklo_epi8(r, g);
    const __m128i rg_high = _mm_unpackhi_epi8(r, g);
    const __m128i bx_low = _mm_unpacklo_epi8(b, zero);
    const __m128i bx_high = _mm_unpackhi_epi8(b, zero);
    std::uint8_t* out = rgbx + kPixelBytes * i;
    store(out, _mm_unpacklo_epi16(rg_low, bx_low));
    store(out + 16, _mm_unpackhi_epi16(rg_low, bx_low));
    store(out + 32, _mm_unpacklo_epi16(rg_high, bx_high));
    store(out + 48, _mm_unpackhi_epi16(rg_high, bx_high));
  }
  expand_yuv_tail(luma, chroma, v_first, weights, i, count, rgbx);
}

struct GroupWeights {
  __m128i low_even;  // of pixels 0 and 2, for each channel
  __m128i low_odd;   // of pixels 1 and 3
  __m128i high_even;
  __m128i high_odd;
};

Sums plus_group(const Sums& sums, const std::uint8_t* pixels, const GroupWeights& weights) noexcept {
  const __m128i zero = _mm_setzero_si128();
  const __m128i four = load(pixels);
  const __m128i left = _mm_unpacklo_epi8(four, zero);
  const __m128i right = _mm_unpackhi_epi8(four, zero);
  const Sums even = plus(sums, _mm_unpacklo_epi16(left, right), weights.low_even, weights.high_even);
  return plus(even, _mm_unpackhi_epi16(left, right), weights.low_odd, weights.high_odd);
}

void filter_rows_sse2(const std::uint8_t* const* rows, const RowTaps& taps, std::uint8_t* const* out) {
  const __m128i zero = _mm_setzero_si128();
  for (std::size_t row = 0; row < kRowsAtOnce; row += 2) {  // two rows: what 16 registers hold
    const TapGroup* group = taps.groups;
    for (std::size_t x = 0; x < taps.width; ++x) {
      const std::uint8_t* first = rows[row] + kPixelBytes * taps.first[x];
      const std::uint8_t* second = rows[row + 1] + kPixelBytes * taps.first[x];
      Sums sums0 = {zero, zero};
      Sums sums1 = {zero, zero};
      for (std::size_t i = 0; i < taps.group_count; ++i, ++group) {
        const __m128i all = load(group);
        const GroupWeights weights = {_mm_shuffle_epi32(all, 0x00), _mm_shuffle_epi32(all, 0x55),
                                      _mm_shuffle_epi32(all, 0xAA), _mm_shuffle_epi32(all, 0xFF)};
        sums0 = plus_group(sums0, first + kGroupBytes * i, weights);
        sums1 = plus_group(sums1, second + kGroupBytes * i, weights);
      }
      const __m128i words = _mm_packs_epi32(finish(sums0), finish(sums1));
      const __m128i bytes = _mm_packus_epi16(words, words);
      store_pixel(out[row] + kPixelBytes * x, _mm_cvtsi128_si32(bytes));
      store_pixel(out[row + 1] + kPixelBytes * x, _mm_cvtsi128_si32(_mm_srli_si128(bytes, 4)));
    }
  }
}

void filter_columns_sse2(const std::uint8_t* const* rows, const TapPair* taps, std::size_t pair_count,
                         std::size_t bytes, std::uint8_t* out) {
  const __m128i zero = _mm_setzero_si128();
  for (std::size_t at = 0; at < bytes; at += 16) {
    Sums sums0 = {zero, zero};
    Sums sums1 = {zero, zero};
    Sums sums2 = {zero, zero};
    Sums sums3 = {zero, zero};
    for (std::size_t i = 0; i < pair_count; ++i) {
      const __m128i weights = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(taps + i));
      const __m128i low = _mm_shuffle_epi32(weights, 0x00);
      const __m128i high = _mm_shuffle_epi32(weights, 0x55);
      const __m128i upper = load(rows[2 * i] + at);
      const __m128i lower = load(rows[2 * i + 1] + at);
      const __m128i left = _mm_unpacklo_epi8(upper, lower);
      const __m128i right = _mm_unpackhi_epi8(upper, lower);
      sums0 = plus(sums0, _mm_unpacklo_epi8(left, zero), low, high);
      sums1 = plus(sums1, _mm_unpackhi_epi8(left, zero), low, high);
      sums2 = plus(sums2, _mm_unpacklo_epi8(right, zero), low, high);
      sums3 = plus(sums3, _mm_unpackhi_epi8(right, zero), low, high);
    }
    store(out + at, _mm_packus_epi16(_mm_packs_epi32(finish(sums0), finish(sums1)),
                                     _mm_packs_epi32(finish(sums2), finish(sums3))));
  }
}

std::uint64_t low_half(__m128i value) noexcept { return static_cast<std::uint64_t>(_mm_cvtsi128_si64(value)); }

// The greatest of 16 bytes.
std::uint32_t greatest_byte(__m128i bytes) noexcept {
  bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 8));
  bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 4));
  bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 2));
  bytes = _mm_max_epu8(bytes, _mm_srli_si128(bytes, 1));
  return static_cast<std::uint8_t>(_mm_cvtsi128_si32(bytes));
}

std::uint32_t spans_sse2(const RowPair& rows, const std::uint8_t* mask, std::size_t span_count, std::uint32_t* sums) {
  const __m128i zero = _mm_setzero_si128();
  const __m128i half_mask = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask));
  const __m128i masks = _mm_unpacklo_epi64(half_mask, half_mask);
  __m128i greatest = zero;
  std::size_t i = 0;
  for (; i + 2 <= span_count; i += 2) {
    const std::uint8_t* one = rows.one + kSpanBytes * i;
    const std::uint8_t* other = rows.other + kSpanBytes * i;
    __m128i sum = zero;
    for (std::size_t row = 0; row < rows.rows; ++row) {
      const __m128i left = load(one);
      const __m128i right = load(other);
      const __m128i difference =
          _mm_and_si128(_mm_or_si128(_mm_subs_epu8(left, right), _mm_subs_epu8(right, left)), masks);
      greatest = _mm_max_epu8(greatest, difference);
      sum = _mm_add_epi64(sum, _mm_sad_epu8(difference, zero));
      one += rows.one_stride_bytes;
      other += rows.other_stride_bytes;
    }
    sums[i] = static_cast<std::uint32_t>(low_half(sum));
    sums[i + 1] = static_cast<std::uint32_t>(low_half(_mm_srli_si128(sum, 8)));
  }
  const std::uint32_t rest = spans_tail(rows, mask, i, span_count, sums);
  const std::uint32_t most = greatest_byte(greatest);
  return rest > most ? rest : most;
}

constexpr Kernels kSse2Kernels = {
    "sse2", &expand_rgb_sse2, &expand_yuv_sse2, &filter_rows_sse2, &filter_columns_sse2, &spans_sse2};

// --- AVX2: the same, twice as wide. Its unpack and pack work within 128-bit halves, so pairs of them cancel. ---

SAFELIGHT_AVX2 __m256i load_avx2(const void* from) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

SAFELIGHT_AVX2 void store_avx2(void* to, __m256i value) noexcept {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

SAFELIGHT_AVX2 __m256i load_twice(const void* from) noexcept { return _mm256_broadcastsi128_si256(load(from)); }

struct WideSums {
  __m256i low;
  __m256i high;
};

SAFELIGHT_AVX2 WideSums plus(const WideSums& sums, __m256i pairs, __m256i low_weights, __m256i high_weights) noexcept {
  return {_mm256_add_epi32(sums.low, _mm256_madd_epi16(pairs, low_weights)),
          _mm256_add_epi32(sums.high, _mm256_madd_epi16(pairs, high_weights))};
}

SAFELIGHT_AVX2 __m256i finish(const WideSums& sums) noexcept {
  const __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(sums.high, kLowBits), sums.low);
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(static_cast<int>(kWeightHalf))), kWeightBits);
}

SAFELIGHT_AVX2 void expand_rgb_avx2(const std::uint8_t* rgb, std::size_t count, std::uint8_t* rgbx) {
  const __m256i spread =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
  std::size_t i = 0;
  for (; i + 10 <= count; i += 8) {  // 28 bytes are read for 24
    const __m256i pixels =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load(rgb + 3 * i)), load(rgb + 3 * i + 12), 1);
    store_avx2(rgbx + kPixelBytes * i, _mm256_shuffle_epi8(pixels, spread));
  }
  expand_rgb_tail(rgb, i, count, rgbx);
}

SAFELIGHT_AVX2 void expand_yuv_avx2(const std::uint8_t* luma, const std::uint8_t* chroma, bool v_first,
                                    const YuvWeights& weights, std::size_t count, std::uint8_t* rgbx) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i sign = _mm256_set1_epi16(kChromaSign);
  const __m256i high_byte = _mm256_set1_epi16(static_cast<short>(0xFF00));
  const __m256i half = _mm256_set1_epi16(kYuvHalf);
  const __m256i luma_zero = _mm256_set1_epi16(weights.luma_zero);
  const __m256i luma_weight = _mm256_set1_epi16(weights.luma);
  const __m256i v_red = _mm256_set1_epi16(weights.v_red);
  const __m256i u_green = _mm256_set1_epi16(weights.u_green);
  const __m256i v_green = _mm256_set1_epi16(weights.v_green);
  const __m256i u_blue = _mm256_set1_epi16(weights.u_blue);
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i pairs = load_avx2(chroma + i);
    const __m256i first = _mm256_xor_si256(_mm256_slli_epi16(pairs, 8), sign);
    const __m256i second = _mm256_xor_si256(_mm256_and_si256(pairs, high_byte), sign);
    const __m256i u = v_first ? second : first;
    const __m256i v = v_first ? first : second;
    const __m256i terms[3] = {_mm256_mulhi_epi16(v, v_red),
                              _mm256_add_epi16(_mm256_mulhi_epi16(u, u_green), _mm256_mulhi_epi16(v, v_green)),
                              _mm256_mulhi_epi16(u, u_blue)};
    const __m256i y = load_avx2(luma + i);
    __m256i y_low = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_unpacklo_epi8(y, zero), luma_zero), kLumaShift);
    __m256i y_high = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_unpackhi_epi8(y, zero), luma_zero), kLumaShift);
    y_low = _mm256_add_epi16(_mm256_mulhi_epi16(y_low, luma_weight), half);
    y_high = _mm256_add_epi16(_mm256_mulhi_epi16(y_high, luma_weight), half);
    __m256i rgb[3];
    for (std::size_t c = 0; c < 3; ++c) {
      const __m256i low = _mm256_add_epi16(y_low, _mm256_unpacklo_epi16(terms[c], terms[c]));
      const __m256i high = _mm256_add_epi16(y_high, _mm256_unpackhi_epi16(terms[c], terms[c]));
      rgb[c] = _mm256_packus_epi16(_mm256_srai_epi16(low, kYuvFractionBits), _mm256_srai_epi16(high, kYuvFractionBits));
    }
    const __m256i rg_low = _mm256_unpacklo_epi8(rgb[0], rgb[1]);
    const __m256i rg_high = _mm256_unpackhi_epi8(rgb[0], rgb[1]);
    const __m256i bx_low = _mm256_unpacklo_epi8(rgb[2], zero);
    const __m256i bx_high = _mm256_unpackhi_epi8(rgb[2], zero);
    const __m256i pixels[4] = {_mm256_unpacklo_epi16(rg_low, bx_low), _mm256_unpackhi_epi16(rg_low, bx_low),
                               _mm256_unpacklo_epi16(rg_high, bx_high), _mm256_unpackhi_epi16(rg_high, bx_high)};
    std::uint8_t* out = rgbx + kPixelBytes * i;
    store_avx2(out, _mm256_permute2x128_si256(pixels[0], pixels[1], 0x20));
    store_avx2(out + 32, _mm256_permute2x128_si256(pixels[2], pixels[3], 0x20));
    store_avx2(out + 64, _mm256_permute2x128_si256(pixels[0], pixels[1], 0x31));
    store_avx2(out + 96, _mm256_permute2x128_si256(pixels[2], pixels[3], 0x31));
  }
  expand_yuv_tail(luma, chroma, v_first, weights, i, count, rgbx);
}

// Both halves of the sums are of the same pixel: pixels 0 and 2 below, 1 and 3 above.
SAFELIGHT_AVX2 __m128i finish_halves(const WideSums& sums) noexcept {
  const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(sums.high, kLowBits), sums.low);
  const __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(static_cast<int>(kWeightHalf))), kWeightBits);
}

SAFELIGHT_AVX2 void filter_rows_avx2(const std::uint8_t* const* rows, const RowTaps& taps, std::uint8_t* const* out) {
  // Lower half: pixels 0 and 2, channel by channel, widened to 16 bits; upper half: pixels 1 and 3.
  const __m256i pair_up = _mm256_setr_epi8(0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11, -1,  //
                                           4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15, -1);
  const __m256i pick_low = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i pick_high = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
  const __m256i zero = _mm256_setzero_si256();
  const std::uint8_t* const row0 = rows[0];
  const std::uint8_t* const row1 = rows[1];
  const std::uint8_t* const row2 = rows[2];
  const std::uint8_t* const row3 = rows[3];
  const TapGroup* group = taps.groups;
  for (std::size_t x = 0; x < taps.width; ++x) {
    std::size_t at = kPixelBytes * taps.first[x];
    WideSums sums0 = {zero, zero};
    WideSums sums1 = {zero, zero};
    WideSums sums2 = {zero, zero};
    WideSums sums3 = {zero, zero};
    for (std::size_t i = 0; i < taps.group_count; ++i, ++group, at += kGroupBytes) {
      const __m256i weights = load_twice(group);
      const __m256i low = _mm256_permutevar8x32_epi32(weights, pick_low);
      const __m256i high = _mm256_permutevar8x32_epi32(weights, pick_high);
      sums0 = plus(sums0, _mm256_shuffle_epi8(load_twice(row0 + at), pair_up), low, high);
      sums1 = plus(sums1, _mm256_shuffle_epi8(load_twice(row1 + at), pair_up), low, high);
      sums2 = plus(sums2, _mm256_shuffle_epi8(load_twice(row2 + at), pair_up), low, high);
      sums3 = plus(sums3, _mm256_shuffle_epi8(load_twice(row3 + at), pair_up), low, high);
    }
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(finish_halves(sums0), finish_halves(sums1)),
                                           _mm_packs_epi32(finish_halves(sums2), finish_halves(sums3)));
    store_pixel(out[0] + kPixelBytes * x, _mm_cvtsi128_si32(bytes));
    store_pixel(out[1] + kPixelBytes * x, _mm_extract_epi32(bytes, 1));
    store_pixel(out[2] + kPixelBytes * x, _mm_extract_epi32(bytes, 2));
    store_pixel(out[3] + kPixelBytes * x, _mm_extract_epi32(bytes, 3));
  }
}

SAFELIGHT_AVX2 void filter_columns_avx2(const std::uint8_t* const* rows, const TapPair* taps, std::size_t pair_count,
                                        std::size_t bytes, std::uint8_t* out) {
  const __m256i zero = _mm256_setzero_si256();
  for (std::size_t at = 0; at < bytes; at += 32) {
    WideSums sums0 = {zero, zero};
    WideSums sums1 = {zero, zero};
    WideSums sums2 = {zero, zero};
    WideSums sums3 = {zero, zero};
    for (std::size_t i = 0; i < pair_count; ++i) {
      const __m256i weights = _mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(taps + i)));
      const __m256i low = _mm256_shuffle_epi32(weights, 0x00);
      const __m256i high = _mm256_shuffle_epi32(weights, 0x55);
      const __m256i upper = load_avx2(rows[2 * i] + at);
      const __m256i lower = load_avx2(rows[2 * i + 1] + at);
      const __m256i left = _mm256_unpacklo_epi8(upper, lower);
      const __m256i right = _mm256_unpackhi_epi8(upper, lower);
      sums0 = plus(sums0, _mm256_unpacklo_epi8(left, zero), low, high);
      sums1 = plus(sums1, _mm256_unpackhi_epi8(left, zero), low, high);
      sums2 = plus(sums2, _mm256_unpacklo_epi8(right, zero), low, high);
      sums3 = plus(sums3, _mm256_unpackhi_epi8(right, zero), low, high);
    }
    store_avx2(out + at, _mm256_packus_epi16(_mm256_packs_epi32(finish(sums0), finish(sums1)),
                                             _mm256_packs_epi32(finish(sums2), finish(sums3))));
  }
}

SAFELIGHT_AVX2 std::uint32_t spans_avx2(const RowPair& rows, const std::uint8_t* mask, std::size_t span_count,
                                        std::uint32_t* sums) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i masks = _mm256_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask)));
  // The low 32 bits of each sum, side by side.
  const __m256i low_words = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
  __m256i greatest = zero;
  std::size_t i = 0;
  for (; i + 4 <= span_count; i += 4) {
    const std::uint8_t* one = rows.one + kSpanBytes * i;
    const std::uint8_t* other = rows.other + kSpanBytes * i;
    __m256i sum = zero;
    for (std::size_t row = 0; row < rows.rows; ++row) {
      const __m256i left = load_avx2(one);
      const __m256i right = load_avx2(other);
      const __m256i difference =
          _mm256_and_si256(_mm256_or_si256(_mm256_subs_epu8(left, right), _mm256_subs_epu8(right, left)), masks);
      greatest = _mm256_max_epu8(greatest, difference);
      sum = _mm256_add_epi64(sum, _mm256_sad_epu8(difference, zero));
      one += rows.one_stride_bytes;
      other += rows.other_stride_bytes;
    }
    store(sums + i, _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(sum, low_words)));
  }
  const std::uint32_t rest = spans_tail(rows, mask, i, span_count, sums);
  const std::uint32_t most =
      greatest_byte(_mm_max_epu8(_mm256_castsi256_si128(greatest), _mm256_extracti128_si256(greatest, 1)));
  return rest > most ? rest : most;
}

constexpr Kernels kAvx2Kernels = {
    "avx2", &expand_rgb_avx2, &expand_yuv_avx2, &filter_rows_avx2, &filter_columns_avx2, &spans_avx2};

}  // namespace

const Kernels* sse2_kernels() noexcept { return &kSse2Kernels; }

// The compiler's check asks the operating system too, which must save the wide registers.
const Kernels* avx2_kernels() noexcept { return __builtin_cpu_supports("avx2") != 0 ? &kAvx2Kernels : nullptr; }

}  // namespace safelight::image
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::image {
const Kernels* sse2_kernels() noexcept { return nullptr; }
const Kernels* avx2_kernels() noexcept { return nullptr; }
}  // namespace safelight::image

#endif
