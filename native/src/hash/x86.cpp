// SSE2 (every 64-bit x86), AVX2 and AVX-512 (looked for at run time). Empty elsewhere.
#include "kernels.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include <cstring>

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in scalar.cpp.

// Compiles one function for its instructions while the rest of the file stays at the baseline: no build flag, one
// binary. No FMA anywhere: it would round differently.
#define SAFELIGHT_AVX2 __attribute__((target("avx2")))
#define SAFELIGHT_AVX2_INLINE inline __attribute__((target("avx2"), always_inline))
#define SAFELIGHT_AVX512 __attribute__((target("avx512f,avx512bw")))

namespace safelight::hash {
namespace {

// A whole number below 2^52, put into the fraction of 2^52: subtracting that leaves it as a double.
constexpr long long kTwoTo52Bits = 0x4330000000000000;

int pair_bits(const RowPair& pair) noexcept {
  int bits = 0;
  std::memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

// The loops below name their sums one by one: gcc -O2 keeps an array of them in memory, at half the speed.

// --- SSE2 ------------------------------------------------------------------------------------------------

void store_sums(std::uint32_t* to, __m128i value, bool fresh) noexcept {
  auto* at = reinterpret_cast<__m128i*>(to);
  _mm_storeu_si128(at, fresh ? value : _mm_add_epi32(value, _mm_loadu_si128(at)));
}

void add_block_sse2(const std::uint8_t* const* rows, std::size_t at, const RowPair* weights, std::size_t pair_count,
                    bool fresh, std::uint32_t* sums) noexcept {
  const __m128i zero = _mm_setzero_si128();
  __m128i sum0 = zero;
  __m128i sum1 = zero;
  __m128i sum2 = zero;
  __m128i sum3 = zero;
  for (std::size_t pair = 0; pair < pair_count; ++pair) {
    const __m128i weight = _mm_set1_epi32(pair_bits(weights[pair]));
    const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[2 * pair] + at));
    const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[2 * pair + 1] + at));
    const __m128i left = _mm_unpacklo_epi8(upper, lower);
    const __m128i right = _mm_unpackhi_epi8(upper, lower);
    sum0 = _mm_add_epi32(sum0, _mm_madd_epi16(_mm_unpacklo_epi8(left, zero), weight));
    sum1 = _mm_add_epi32(sum1, _mm_madd_epi16(_mm_unpackhi_epi8(left, zero), weight));
    sum2 = _mm_add_epi32(sum2, _mm_madd_epi16(_mm_unpacklo_epi8(right, zero), weight));
    sum3 = _mm_add_epi32(sum3, _mm_madd_epi16(_mm_unpackhi_epi8(right, zero), weight));
  }
  store_sums(sums, sum0, fresh);
  store_sums(sums + 4, sum1, fresh);
  store_sums(sums + 8, sum2, fresh);
  store_sums(sums + 12, sum3, fresh);
}

void add_rows_sse2(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count, bool fresh,
                   std::size_t count, std::uint32_t* sums) {
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    add_block_sse2(rows, i, weights, pair_count, fresh, sums + i);
  }
  if (i < count) {
    RowTails tails;
    copy_tails(rows, pair_count, i, count, &tails);
    add_block_sse2(tails.rows, 0, weights, pair_count, fresh, sums + i);
  }
}

// Two partial sums of one tent.
__m128i add_tent_sse2(const std::uint32_t* sums, const ColumnTent& tent) noexcept {
  const std::uint32_t* from = sums + tent.first;
  __m128i even = _mm_setzero_si128();
  __m128i odd = _mm_setzero_si128();
  for (std::size_t i = 0; i < tent.length; i += 4) {
    const __m128i value = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    const __m128i weight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tent.weights + i));
    even = _mm_add_epi64(even, _mm_mul_epu32(value, weight));
    odd = _mm_add_epi64(odd, _mm_mul_epu32(_mm_srli_epi64(value, 32), _mm_srli_epi64(weight, 32)));
  }
  return _mm_add_epi64(even, odd);
}

void add_columns_sse2(const std::uint32_t* sums, const ColumnTent* tents, std::size_t count, double* out) {
  const __m128i exponent = _mm_set1_epi64x(kTwoTo52Bits);
  const __m128d two_to_52 = _mm_castsi128_pd(exponent);
  for (std::size_t tent = 0; tent < count; tent += 2) {
    const bool pair = tent + 1 < count;
    const __m128i first = add_tent_sse2(sums, tents[tent]);
    const __m128i second = pair ? add_tent_sse2(sums, tents[tent + 1]) : _mm_setzero_si128();
    const __m128i both = _mm_add_epi64(_mm_unpacklo_epi64(first, second), _mm_unpackhi_epi64(first, second));
    const __m128d values = _mm_sub_pd(_mm_castsi128_pd(_mm_or_si128(both, exponent)), two_to_52);
    if (pair) {
      _mm_storeu_pd(out + tent, values);
    } else {
      _mm_store_sd(out + tent, values);
    }
  }
}

void transform_sse2(double* samples, std::size_t width, double* out) {
  for (std::size_t k = 0; k < kFolded; ++k) {
    double* near = samples + k * width;
    double* far = samples + (kSamples - 1 - k) * width;
    for (std::size_t x = 0; x < width; x += 2) {
      const __m128d a = _mm_loadu_pd(near + x);
      const __m128d b = _mm_loadu_pd(far + x);
      _mm_storeu_pd(near + x, _mm_add_pd(a, b));
      _mm_storeu_pd(far + x, _mm_sub_pd(a, b));
    }
  }
  const auto step = static_cast<std::ptrdiff_t>(width);
  for (std::size_t parity = 0; parity < 2; ++parity) {
    const double* folded = parity == 0 ? samples + (kSamples - 1) * width : samples;
    const std::ptrdiff_t direction = parity == 0 ? -step : step;
    for (std::size_t x = 0; x < width; x += 2) {
      const double* from = folded + x;
      __m128d sum0 = _mm_setzero_pd();
      __m128d sum1 = sum0;
      __m128d sum2 = sum0;
      __m128d sum3 = sum0;
      __m128d sum4 = sum0;
      __m128d sum5 = sum0;
      __m128d sum6 = sum0;
      __m128d sum7 = sum0;
      for (std::size_t k = 0; k < kFolded; ++k) {
        const double* cosine = kCosines.values[parity][k];
        const __m128d value = _mm_loadu_pd(from);
        from += direction;
        sum0 = _mm_add_pd(sum0, _mm_mul_pd(_mm_set1_pd(cosine[0]), value));
        sum1 = _mm_add_pd(sum1, _mm_mul_pd(_mm_set1_pd(cosine[1]), value));
        sum2 = _mm_add_pd(sum2, _mm_mul_pd(_mm_set1_pd(cosine[2]), value));
        sum3 = _mm_add_pd(sum3, _mm_mul_pd(_mm_set1_pd(cosine[3]), value));
        sum4 = _mm_add_pd(sum4, _mm_mul_pd(_mm_set1_pd(cosine[4]), value));
        sum5 = _mm_add_pd(sum5, _mm_mul_pd(_mm_set1_pd(cosine[5]), value));
        sum6 = _mm_add_pd(sum6, _mm_mul_pd(_mm_set1_pd(cosine[6]), value));
        sum7 = _mm_add_pd(sum7, _mm_mul_pd(_mm_set1_pd(cosine[7]), value));
      }
      double* to = out + parity * width + x;
      _mm_storeu_pd(to, sum0);
      _mm_storeu_pd(to + 2 * width, sum1);
      _mm_storeu_pd(to + 4 * width, sum2);
      _mm_storeu_pd(to + 6 * width, sum3);
      _mm_storeu_pd(to + 8 * width, sum4);
      _mm_storeu_pd(to + 10 * width, sum5);
      _mm_storeu_pd(to + 12 * width, sum6);
      _mm_storeu_pd(to + 14 * width, sum7);
    }
  }
}

__m128i plus_gradient(__m128i sum, __m128 left, __m128 right) noexcept {
  const __m128 scaled = _mm_div_ps(_mm_mul_ps(_mm_sub_ps(left, right), _mm_set1_ps(100.0F)), _mm_set1_ps(255.0F));
  return _mm_add_epi32(sum, _mm_cvttps_epi32(_mm_andnot_ps(_mm_set1_ps(-0.0F), scaled)));
}

std::uint32_t gradients_sse2(const float* samples) {
  // The neighbour to the right of a row's last sample is none: there the last four are taken once more, and what
  // was counted before is masked.
  const __m128 fresh = _mm_castsi128_ps(_mm_set_epi32(-1, -1, -1, 0));
  __m128i sum = _mm_setzero_si128();
  for (std::size_t y = 0; y < kSamples; ++y) {
    const float* row = samples + y * kSamples;
    for (std::size_t x = 0; x + 4 < kSamples; x += 4) {
      sum = plus_gradient(sum, _mm_loadu_ps(row + x), _mm_loadu_ps(row + x + 1));
    }
    const __m128 left = _mm_and_ps(fresh, _mm_loadu_ps(row + kSamples - 5));
    sum = plus_gradient(sum, left, _mm_and_ps(fresh, _mm_loadu_ps(row + kSamples - 4)));
    for (std::size_t x = 0; y + 1 < kSamples && x < kSamples; x += 4) {
      sum = plus_gradient(sum, _mm_loadu_ps(row + x), _mm_loadu_ps(row + kSamples + x));
    }
  }
  const __m128i pairs = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 0xB1))));
}

void weigh_row_plain(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes, double* out) {
  weigh_row_scalar(row, weights, pixel_bytes, out);
}

constexpr Kernels kSse2Kernels = {"sse2",           &add_rows_sse2,  &add_columns_sse2,
                                  &weigh_row_plain, &transform_sse2, &gradients_sse2};

// --- AVX2 ------------------------------------------------------------------------------------------------

SAFELIGHT_AVX2 void store_sums(std::uint32_t* to, __m256i value, bool fresh) noexcept {
  auto* at = reinterpret_cast<__m256i*>(to);
  _mm256_storeu_si256(at, fresh ? value : _mm256_add_epi32(value, _mm256_loadu_si256(at)));
}

SAFELIGHT_AVX2 void add_block_avx2(const std::uint8_t* const* rows, std::size_t at, const RowPair* weights,
                                   std::size_t pair_count, bool fresh, std::uint32_t* sums) noexcept {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sum0 = zero;
  __m256i sum1 = zero;
  __m256i sum2 = zero;
  __m256i sum3 = zero;
  for (std::size_t pair = 0; pair < pair_count; ++pair) {
    const __m256i weight = _mm256_set1_epi32(pair_bits(weights[pair]));
    const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[2 * pair] + at));
    const __m256i lower = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[2 * pair + 1] + at));
    const __m256i left = _mm256_unpacklo_epi8(upper, lower);
    const __m256i right = _mm256_unpackhi_epi8(upper, lower);
    sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(_mm256_unpacklo_epi8(left, zero), weight));
    sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(_mm256_unpackhi_epi8(left, zero), weight));
    sum2 = _mm256_add_epi32(sum2, _mm256_madd_epi16(_mm256_unpacklo_epi8(right, zero), weight));
    sum3 = _mm256_add_epi32(sum3, _mm256_madd_epi16(_mm256_unpackhi_epi8(right, zero), weight));
  }
  // Unpacking works in 16-byte lanes: put the lanes back in order.
  store_sums(sums, _mm256_permute2x128_si256(sum0, sum1, 0x20), fresh);
  store_sums(sums + 8, _mm256_permute2x128_si256(sum2, sum3, 0x20), fresh);
  store_sums(sums + 16, _mm256_permute2x128_si256(sum0, sum1, 0x31), fresh);
  store_sums(sums + 24, _mm256_permute2x128_si256(sum2, sum3, 0x31), fresh);
}

SAFELIGHT_AVX2 void add_rows_avx2(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count,
                                  bool fresh, std::size_t count, std::uint32_t* sums) {
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    add_block_avx2(rows, i, weights, pair_count, fresh, sums + i);
  }
  if (i < count) {
    RowTails tails;
    copy_tails(rows, pair_count, i, count, &tails);
    add_block_avx2(tails.rows, 0, weights, pair_count, fresh, sums + i);
  }
}

// Four partial sums of one tent.
SAFELIGHT_AVX2_INLINE __m256i add_tent_avx2(const std::uint32_t* sums, const ColumnTent& tent) noexcept {
  const std::uint32_t* from = sums + tent.first;
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (std::size_t i = 0; i < tent.length; i += kTapStep) {
    const __m256i value = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    const __m256i weight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(tent.weights + i));
    even = _mm256_add_epi64(even, _mm256_mul_epu32(value, weight));
    odd = _mm256_add_epi64(odd, _mm256_mul_epu32(_mm256_srli_epi64(value, 32), _mm256_srli_epi64(weight, 32)));
  }
  return _mm256_add_epi64(even, odd);
}

SAFELIGHT_AVX2_INLINE __m256i add_halves(__m256i first, __m256i second) noexcept {
  return _mm256_add_epi64(_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
}

SAFELIGHT_AVX2 void add_columns_avx2(const std::uint32_t* sums, const ColumnTent* tents, std::size_t count,
                                     double* out) {
  const __m256i exponent = _mm256_set1_epi64x(kTwoTo52Bits);
  const __m256d two_to_52 = _mm256_castsi256_pd(exponent);
  std::size_t tent = 0;
  for (; tent + 4 <= count; tent += 4) {
    const __m256i first = add_halves(add_tent_avx2(sums, tents[tent]), add_tent_avx2(sums, tents[tent + 1]));
    const __m256i second = add_halves(add_tent_avx2(sums, tents[tent + 2]), add_tent_avx2(sums, tents[tent + 3]));
    const __m256i four = _mm256_add_epi64(_mm256_permute2x128_si256(first, second, 0x20),
                                          _mm256_permute2x128_si256(first, second, 0x31));
    _mm256_storeu_pd(out + tent, _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(four, exponent)), two_to_52));
  }
  add_columns_sse2(sums, tents + tent, count - tent, out + tent);
}

SAFELIGHT_AVX2 void transform_avx2(double* samples, std::size_t width, double* out) {
  for (std::size_t k = 0; k < kFolded; ++k) {
    double* near = samples + k * width;
    double* far = samples + (kSamples - 1 - k) * width;
    for (std::size_t x = 0; x < width; x += 4) {
      const __m256d a = _mm256_loadu_pd(near + x);
      const __m256d b = _mm256_loadu_pd(far + x);
      _mm256_storeu_pd(near + x, _mm256_add_pd(a, b));
      _mm256_storeu_pd(far + x, _mm256_sub_pd(a, b));
    }
  }
  const auto step = static_cast<std::ptrdiff_t>(width);
  for (std::size_t parity = 0; parity < 2; ++parity) {
    const double* folded = parity == 0 ? samples + (kSamples - 1) * width : samples;
    const std::ptrdiff_t direction = parity == 0 ? -step : step;
    for (std::size_t x = 0; x < width; x += 4) {
      const double* from = folded + x;
      __m256d sum0 = _mm256_setzero_pd();
      __m256d sum1 = sum0;
      __m256d sum2 = sum0;
      __m256d sum3 = sum0;
      __m256d sum4 = sum0;
      __m256d sum5 = sum0;
      __m256d sum6 = sum0;
      __m256d sum7 = sum0;
      for (std::size_t k = 0; k < kFolded; ++k) {
        const double* cosine = kCosines.values[parity][k];
        const __m256d value = _mm256_loadu_pd(from);
        from += direction;
        sum0 = _mm256_add_pd(sum0, _mm256_mul_pd(_mm256_set1_pd(cosine[0]), value));
        sum1 = _mm256_add_pd(sum1, _mm256_mul_pd(_mm256_set1_pd(cosine[1]), value));
        sum2 = _mm256_add_pd(sum2, _mm256_mul_pd(_mm256_set1_pd(cosine[2]), value));
        sum3 = _mm256_add_pd(sum3, _mm256_mul_pd(_mm256_set1_pd(cosine[3]), value));
        sum4 = _mm256_add_pd(sum4, _mm256_mul_pd(_mm256_set1_pd(cosine[4]), value));
        sum5 = _mm256_add_pd(sum5, _mm256_mul_pd(_mm256_set1_pd(cosine[5]), value));
        sum6 = _mm256_add_pd(sum6, _mm256_mul_pd(_mm256_set1_pd(cosine[6]), value));
        sum7 = _mm256_add_pd(sum7, _mm256_mul_pd(_mm256_set1_pd(cosine[7]), value));
      }
      double* to = out + parity * width + x;
      _mm256_storeu_pd(to, sum0);
      _mm256_storeu_pd(to + 2 * width, sum1);
      _mm256_storeu_pd(to + 4 * width, sum2);
      _mm256_storeu_pd(to + 6 * width, sum3);
      _mm256_storeu_pd(to + 8 * width, sum4);
      _mm256_storeu_pd(to + 10 * width, sum5);
      _mm256_storeu_pd(to + 12 * width, sum6);
      _mm256_storeu_pd(to + 14 * width, sum7);
    }
  }
}

SAFELIGHT_AVX2_INLINE __m256i plus_gradient(__m256i sum, __m256 left, __m256 right) noexcept {
  const __m256 times = _mm256_mul_ps(_mm256_sub_ps(left, right), _mm256_set1_ps(100.0F));
  const __m256 scaled = _mm256_div_ps(times, _mm256_set1_ps(255.0F));
  return _mm256_add_epi32(sum, _mm256_cvttps_epi32(_mm256_andnot_ps(_mm256_set1_ps(-0.0F), scaled)));
}

SAFELIGHT_AVX2 std::uint32_t gradients_avx2(const float* samples) {
  const __m256 fresh = _mm256_castsi256_ps(_mm256_set_epi32(-1, -1, -1, -1, -1, -1, -1, 0));  // as for SSE2
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t y = 0; y < kSamples; ++y) {
    const float* row = samples + y * kSamples;
    for (std::size_t x = 0; x + 8 < kSamples; x += 8) {
      sum = plus_gradient(sum, _mm256_loadu_ps(row + x), _mm256_loadu_ps(row + x + 1));
    }
    const __m256 left = _mm256_and_ps(fresh, _mm256_loadu_ps(row + kSamples - 9));
    sum = plus_gradient(sum, left, _mm256_and_ps(fresh, _mm256_loadu_ps(row + kSamples - 8)));
    for (std::size_t x = 0; y + 1 < kSamples && x < kSamples; x += 8) {
      sum = plus_gradient(sum, _mm256_loadu_ps(row + x), _mm256_loadu_ps(row + kSamples + x));
    }
  }
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  const __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
  return static_cast<std::uint32_t>(_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xB1))));
}

// Of eight pixels of three or four bytes, the first two bytes each as one pair of 16-bit numbers, the third as another.
struct PixelShuffle {
  alignas(32) char firsts[32];
  alignas(32) char thirds[32];
};

// `into`: where the second four pixels begin in what is loaded for them.
constexpr PixelShuffle make_shuffle(std::size_t pixel_bytes, std::size_t into) {
  PixelShuffle shuffle = {};
  for (std::size_t i = 0; i < 8; ++i) {
    const std::size_t byte = i % 4 * pixel_bytes + (i < 4 ? 0 : into);
    for (std::size_t j = 0; j < 4; ++j) {
      shuffle.firsts[4 * i + j] = static_cast<char>(j % 2 == 1 ? -1 : static_cast<int>(byte + j / 2));
      shuffle.thirds[4 * i + j] = static_cast<char>(j > 0 ? -1 : static_cast<int>(byte + 2));
    }
  }
  return shuffle;
}

// Four pixels of three bytes end 24 bytes on: the second four are loaded from byte 8, so that nothing beyond is read.
constexpr PixelShuffle kOfThree = make_shuffle(3, 4);
constexpr PixelShuffle kOfFour = make_shuffle(4, 0);

SAFELIGHT_AVX2 void weigh_row_avx2(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes,
                                   double* out) {
  constexpr std::size_t kStep = 8;
  constexpr std::size_t kHalf = 4;
  if (pixel_bytes != 3 && pixel_bytes != 4) {
    weigh_row_scalar(row, weights, pixel_bytes, out);
    return;
  }
  const std::size_t second = pixel_bytes == 3 ? 8 : 16;
  const PixelShuffle& shuffle = pixel_bytes == 3 ? kOfThree : kOfFour;
  const __m256i take_two = _mm256_load_si256(reinterpret_cast<const __m256i*>(shuffle.firsts));
  const __m256i take_one = _mm256_load_si256(reinterpret_cast<const __m256i*>(shuffle.thirds));
  const __m256i weigh_two = _mm256_set1_epi32(static_cast<int>(weights[0] | weights[1] << 16U));
  const __m256i weigh_one = _mm256_set1_epi32(static_cast<int>(weights[2]));
  for (std::size_t x = 0; x < kSamples; x += kStep) {
    const std::uint8_t* at = row + x * pixel_bytes;
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + second));
    const __m256i bytes = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
    const __m256i sums = _mm256_add_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(bytes, take_two), weigh_two),
                                          _mm256_madd_epi16(_mm256_shuffle_epi8(bytes, take_one), weigh_one));
    _mm256_storeu_pd(out + x, _mm256_cvtepi32_pd(_mm256_castsi256_si128(sums)));
    _mm256_storeu_pd(out + x + kHalf, _mm256_cvtepi32_pd(_mm256_extracti128_si256(sums, 1)));
  }
}

constexpr Kernels kAvx2Kernels = {"avx2",          &add_rows_avx2,  &add_columns_avx2,
                                  &weigh_row_avx2, &transform_avx2, &gradients_avx2};

// --- AVX-512: the rows only, which is where large pictures spend their time -----------------------------

SAFELIGHT_AVX512 void store_sums(std::uint32_t* to, __m512i value, bool fresh) noexcept {
  _mm512_storeu_si512(to, fresh ? value : _mm512_add_epi32(value, _mm512_loadu_si512(to)));
}

SAFELIGHT_AVX512 void add_block_avx512(const std::uint8_t* const* rows, std::size_t at, const RowPair* weights,
                                       std::size_t pair_count, bool fresh, std::uint32_t* sums) noexcept {
  const __m512i zero = _mm512_setzero_si512();
  __m512i sum0 = zero;
  __m512i sum1 = zero;
  __m512i sum2 = zero;
  __m512i sum3 = zero;
  for (std::size_t pair = 0; pair < pair_count; ++pair) {
    const __m512i weight = _mm512_set1_epi32(pair_bits(weights[pair]));
    const __m512i upper = _mm512_loadu_si512(rows[2 * pair] + at);
    const __m512i lower = _mm512_loadu_si512(rows[2 * pair + 1] + at);
    const __m512i left = _mm512_unpacklo_epi8(upper, lower);
    const __m512i right = _mm512_unpackhi_epi8(upper, lower);
    sum0 = _mm512_add_epi32(sum0, _mm512_madd_epi16(_mm512_unpacklo_epi8(left, zero), weight));
    sum1 = _mm512_add_epi32(sum1, _mm512_madd_epi16(_mm512_unpackhi_epi8(left, zero), weight));
    sum2 = _mm512_add_epi32(sum2, _mm512_madd_epi16(_mm512_unpacklo_epi8(right, zero), weight));
    sum3 = _mm512_add_epi32(sum3, _mm512_madd_epi16(_mm512_unpackhi_epi8(right, zero), weight));
  }
  // Four 16-byte lanes of four sums: transposed. (gcc 12 warns of its own header without the mask.)
  constexpr __mmask16 kAllLanes = 0xFFFF;
  const __m512i low01 = _mm512_maskz_shuffle_i32x4(kAllLanes, sum0, sum1, 0x44);
  const __m512i high01 = _mm512_maskz_shuffle_i32x4(kAllLanes, sum0, sum1, 0xEE);
  const __m512i low23 = _mm512_maskz_shuffle_i32x4(kAllLanes, sum2, sum3, 0x44);
  const __m512i high23 = _mm512_maskz_shuffle_i32x4(kAllLanes, sum2, sum3, 0xEE);
  store_sums(sums, _mm512_maskz_shuffle_i32x4(kAllLanes, low01, low23, 0x88), fresh);
  store_sums(sums + 16, _mm512_maskz_shuffle_i32x4(kAllLanes, low01, low23, 0xDD), fresh);
  store_sums(sums + 32, _mm512_maskz_shuffle_i32x4(kAllLanes, high01, high23, 0x88), fresh);
  store_sums(sums + 48, _mm512_maskz_shuffle_i32x4(kAllLanes, high01, high23, 0xDD), fresh);
}

SAFELIGHT_AVX512 void add_rows_avx512(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count,
                                      bool fresh, std::size_t count, std::uint32_t* sums) {
  std::size_t i = 0;
  for (; i + kSumStep <= count; i += kSumStep) {
    add_block_avx512(rows, i, weights, pair_count, fresh, sums + i);
  }
  if (i < count) {
    RowTails tails;
    copy_tails(rows, pair_count, i, count, &tails);
    add_block_avx512(tails.rows, 0, weights, pair_count, fresh, sums + i);
  }
}

constexpr Kernels kAvx512Kernels = {"avx512",        &add_rows_avx512, &add_columns_avx2,
                                    &weigh_row_avx2, &transform_avx2,  &gradients_avx2};

}  // namespace

const Kernels* sse2_kernels() noexcept { return &kSse2Kernels; }

// The compiler's check asks the operating system too, which must save the wide registers.
const Kernels* avx2_kernels() noexcept { return __builtin_cpu_supports("avx2") != 0 ? &kAvx2Kernels : nullptr; }

const Kernels* avx512_kernels() noexcept {
  const bool has = __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx2") != 0;
  return has ? &kAvx512Kernels : nullptr;
}

}  // namespace safelight::hash
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::hash {
const Kernels* sse2_kernels() noexcept { return nullptr; }
const Kernels* avx2_kernels() noexcept { return nullptr; }
const Kernels* avx512_kernels() noexcept { return nullptr; }
}  // namespace safelight::hash

#endif
