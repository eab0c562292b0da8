// NEON, which every 64-bit ARM has. Empty elsewhere.
#include "index_kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#include "safelight/hash.h"

// NOLINTBEGIN(portability-simd-intrinsics): what this file is for; the portable loops are in index_scalar.cpp.

namespace safelight::hash {
namespace {

std::uint32_t distance(const std::uint8_t* hash, uint8x16_t left, uint8x16_t right) noexcept {
  const uint8x16_t first = vcntq_u8(veorq_u8(vld1q_u8(hash), left));
  const uint8x16_t second = vcntq_u8(veorq_u8(vld1q_u8(hash + kPdqBytes / 2), right));
  return vaddlvq_u8(vaddq_u8(first, second));
}

std::size_t scan(const std::uint8_t* hashes, std::size_t first, std::size_t count, const std::uint8_t* query,
                 std::uint32_t max_distance, Found* found) {
  const uint8x16_t left = vld1q_u8(query);
  const uint8x16_t right = vld1q_u8(query + kPdqBytes / 2);
  std::size_t hits = 0;
  for (std::size_t entry = first; entry < first + count; ++entry) {
    const std::uint32_t bits = distance(hashes + entry * kPdqBytes, left, right);
    if (bits <= max_distance) {
      found[hits++] = {static_cast<std::uint32_t>(entry), bits};
    }
  }
  return hits;
}

std::size_t check(const std::uint8_t* hashes, const std::uint32_t* entries, std::size_t count,
                  const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  const uint8x16_t left = vld1q_u8(query);
  const uint8x16_t right = vld1q_u8(query + kPdqBytes / 2);
  std::size_t hits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = distance(hashes + std::size_t{entries[i]} * kPdqBytes, left, right);
    if (bits <= max_distance) {
      found[hits++] = {entries[i], bits};
    }
  }
  return hits;
}

constexpr IndexKernels kNeonKernels = {"neon", &scan, &check};

}  // namespace

const IndexKernels* neon_index_kernels() noexcept { return &kNeonKernels; }

}  // namespace safelight::hash
// NOLINTEND(portability-simd-intrinsics)

#else

namespace safelight::hash {
const IndexKernels* neon_index_kernels() noexcept { return nullptr; }
}  // namespace safelight::hash

#endif
