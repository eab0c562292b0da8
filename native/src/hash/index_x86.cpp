// POPCNT, AVX2 and AVX-512 (with VPOPCNTDQ), looked for at run time. Empty elsewhere.
#include "index_kernels.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#include <cstring>

#include "safelight/hash.h"

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in index_scalar.cpp.

#define SAFELIGHT_POPCNT __attribute__((target("popcnt")))
#define SAFELIGHT_POPCNT_INLINE inline __attribute__((target("popcnt"), always_inline))
#define SAFELIGHT_AVX2 __attribute__((target("avx2,popcnt")))
#define SAFELIGHT_AVX2_INLINE inline __attribute__((target("avx2,popcnt"), always_inline))
#define SAFELIGHT_AVX512 __attribute__((target("avx512f,avx512vpopcntdq,popcnt")))

namespace safelight::hash {
namespace {

// --- POPCNT ----------------------------------------------------------------------------------------------

struct Words {
  unsigned long long at[4];
};

SAFELIGHT_POPCNT_INLINE Words load_words(const std::uint8_t* hash) noexcept {
  Words words;
  std::memcpy(&words, hash, sizeof(words));
  return words;
}

// Unrelated hashes are 64 bits apart in their first half already: the second one is rarely looked at.
SAFELIGHT_POPCNT_INLINE std::size_t check_one(const std::uint8_t* hashes, std::uint32_t entry, const Words& query,
                                              std::uint32_t max_distance, Found* found) noexcept {
  const Words hash = load_words(hashes + std::size_t{entry} * kPdqBytes);
  const auto half =
      static_cast<std::uint32_t>(_mm_popcnt_u64(hash.at[0] ^ query.at[0]) + _mm_popcnt_u64(hash.at[1] ^ query.at[1]));
  if (half > max_distance) {
    return 0;
  }
  const std::uint32_t bits = half + static_cast<std::uint32_t>(_mm_popcnt_u64(hash.at[2] ^ query.at[2]) +
                                                               _mm_popcnt_u64(hash.at[3] ^ query.at[3]));
  if (bits > max_distance) {
    return 0;
  }
  *found = {entry, bits};
  return 1;
}

SAFELIGHT_POPCNT std::size_t scan_popcnt(const std::uint8_t* hashes, std::size_t first, std::size_t count,
                                         const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  const Words words = load_words(query);
  std::size_t hits = 0;
  for (std::size_t entry = first; entry < first + count; ++entry) {
    hits += check_one(hashes, static_cast<std::uint32_t>(entry), words, max_distance, found + hits);
  }
  return hits;
}

SAFELIGHT_POPCNT std::size_t check_popcnt(const std::uint8_t* hashes, const std::uint32_t* entries, std::size_t count,
                                          const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  const Words words = load_words(query);
  std::size_t hits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    hits += check_one(hashes, entries[i], words, max_distance, found + hits);
  }
  return hits;
}

constexpr IndexKernels kPopcntKernels = {"popcnt", &scan_popcnt, &check_popcnt};

// --- AVX2: four entries at a time, bits counted by looking half bytes up ----------------------------------

// Bits that differ, in each quarter of the hash.
SAFELIGHT_AVX2_INLINE __m256i quarters(const std::uint8_t* hash, __m256i query) noexcept {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(0x0F);
  const __m256i bits = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(hash)), query);
  const __m256i right = _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, low));
  const __m256i left = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), low));
  return _mm256_sad_epu8(_mm256_add_epi8(left, right), _mm256_setzero_si256());
}

SAFELIGHT_AVX2_INLINE __m256i add_halves(__m256i first, __m256i second) noexcept {
  return _mm256_add_epi64(_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
}

SAFELIGHT_AVX2 std::size_t scan_avx2(const std::uint8_t* hashes, std::size_t first, std::size_t count,
                                     const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  constexpr std::size_t kStep = 4;
  const __m256i wanted = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
  const __m256i limit = _mm256_set1_epi64x(static_cast<long long>(max_distance));
  std::size_t hits = 0;
  std::size_t done = 0;
  for (; done + kStep <= count; done += kStep) {
    const std::uint8_t* at = hashes + (first + done) * kPdqBytes;
    const __m256i near = add_halves(quarters(at, wanted), quarters(at + kPdqBytes, wanted));
    const __m256i far = add_halves(quarters(at + 2 * kPdqBytes, wanted), quarters(at + 3 * kPdqBytes, wanted));
    const __m256i bits =
        _mm256_add_epi64(_mm256_permute2x128_si256(near, far, 0x20), _mm256_permute2x128_si256(near, far, 0x31));
    const int above = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(bits, limit)));
    if (above != 0xF) {
      std::uint64_t distances[kStep];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(distances), bits);
      for (std::size_t i = 0; i < kStep; ++i) {
        if (distances[i] <= max_distance) {
          found[hits++] = {static_cast<std::uint32_t>(first + done + i), static_cast<std::uint32_t>(distances[i])};
        }
      }
    }
  }
  return hits + scan_popcnt(hashes, first + done, count - done, query, max_distance, found + hits);
}

constexpr IndexKernels kAvx2Kernels = {"avx2", &scan_avx2, &check_popcnt};

// --- AVX-512: eight entries at a time ---------------------------------------------------------------------

SAFELIGHT_AVX512 std::size_t scan_avx512(const std::uint8_t* hashes, std::size_t first, std::size_t count,
                                         const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  constexpr std::size_t kStep = 8;
  constexpr std::size_t kVector = 64;
  constexpr __mmask8 kAllLanes = 0xFF;                            // gcc 12 warns of its own header without the mask
  constexpr std::size_t kLane[kStep] = {0, 2, 1, 3, 4, 6, 5, 7};  // where the sums below leave entry i
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query));
  const __m512i wanted = _mm512_maskz_broadcast_i64x4(kAllLanes, half);
  const __m512i limit = _mm512_set1_epi64(static_cast<long long>(max_distance));
  std::size_t hits = 0;
  std::size_t done = 0;
  for (; done + kStep <= count; done += kStep) {
    const std::uint8_t* at = hashes + (first + done) * kPdqBytes;
    const __m512i bits01 = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at), wanted));
    const __m512i bits23 = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + kVector), wanted));
    const __m512i bits45 = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + 2 * kVector), wanted));
    const __m512i bits67 = _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(at + 3 * kVector), wanted));
    const __m512i near = _mm512_add_epi64(_mm512_maskz_unpacklo_epi64(kAllLanes, bits01, bits23),
                                          _mm512_maskz_unpackhi_epi64(kAllLanes, bits01, bits23));
    const __m512i far = _mm512_add_epi64(_mm512_maskz_unpacklo_epi64(kAllLanes, bits45, bits67),
                                         _mm512_maskz_unpackhi_epi64(kAllLanes, bits45, bits67));
    const __m512i bits = _mm512_add_epi64(_mm512_maskz_shuffle_i64x2(kAllLanes, near, far, 0x88),
                                          _mm512_maskz_shuffle_i64x2(kAllLanes, near, far, 0xDD));
    if (_mm512_cmple_epu64_mask(bits, limit) != 0) {
      std::uint64_t distances[kStep];
      _mm512_storeu_si512(distances, bits);
      for (std::size_t i = 0; i < kStep; ++i) {
        const std::uint64_t distance = distances[kLane[i]];
        if (distance <= max_distance) {
          found[hits++] = {static_cast<std::uint32_t>(first + done + i), static_cast<std::uint32_t>(distance)};
        }
      }
    }
  }
  return hits + scan_popcnt(hashes, first + done, count - done, query, max_distance, found + hits);
}

constexpr IndexKernels kAvx512Kernels = {"avx512", &scan_avx512, &check_popcnt};

bool has_popcnt() noexcept { return __builtin_cpu_supports("popcnt") != 0; }

}  // namespace

const IndexKernels* popcnt_index_kernels() noexcept { return has_popcnt() ? &kPopcntKernels : nullptr; }

// The compiler's check asks the operating system too, which must save the wide registers.
const IndexKernels* avx2_index_kernels() noexcept {
  return has_popcnt() && __builtin_cpu_supports("avx2") != 0 ? &kAvx2Kernels : nullptr;
}

const IndexKernels* avx512_index_kernels() noexcept {
  const bool has = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vpopcntdq") != 0;
  return has_popcnt() && has ? &kAvx512Kernels : nullptr;
}

}  // namespace safelight::hash
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::hash {
const IndexKernels* popcnt_index_kernels() noexcept { return nullptr; }
const IndexKernels* avx2_index_kernels() noexcept { return nullptr; }
const IndexKernels* avx512_index_kernels() noexcept { return nullptr; }
}  // namespace safelight::hash

#endif
