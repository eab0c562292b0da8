// The plain loops: what every other kernel of the index must equal.
#include <cstring>

#include "index_kernels.h"
#include "safelight/hash.h"

namespace safelight::hash {
namespace {

constexpr std::size_t kWords = kPdqBytes / sizeof(std::uint64_t);

// Bits in a word without the instruction for it (Warren, Hacker's Delight, 5-1).
std::uint32_t bit_count(std::uint64_t word) noexcept {
  word -= (word >> 1U) & 0x5555555555555555U;
  word = (word & 0x3333333333333333U) + ((word >> 2U) & 0x3333333333333333U);
  word = (word + (word >> 4U)) & 0x0F0F0F0F0F0F0F0FU;
  return static_cast<std::uint32_t>((word * 0x0101010101010101U) >> 56U);
}

std::uint32_t distance(const std::uint8_t* left, const std::uint8_t* right) noexcept {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kWords; ++i) {
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    std::memcpy(&a, left + i * sizeof(a), sizeof(a));
    std::memcpy(&b, right + i * sizeof(b), sizeof(b));
    sum += bit_count(a ^ b);
  }
  return sum;
}

std::size_t scan(const std::uint8_t* hashes, std::size_t first, std::size_t count, const std::uint8_t* query,
                 std::uint32_t max_distance, Found* found) {
  std::size_t hits = 0;
  for (std::size_t entry = first; entry < first + count; ++entry) {
    const std::uint32_t bits = distance(hashes + entry * kPdqBytes, query);
    if (bits <= max_distance) {
      found[hits++] = {static_cast<std::uint32_t>(entry), bits};
    }
  }
  return hits;
}

std::size_t check(const std::uint8_t* hashes, const std::uint32_t* entries, std::size_t count,
                  const std::uint8_t* query, std::uint32_t max_distance, Found* found) {
  std::size_t hits = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = distance(hashes + std::size_t{entries[i]} * kPdqBytes, query);
    if (bits <= max_distance) {
      found[hits++] = {entries[i], bits};
    }
  }
  return hits;
}

}  // namespace

const IndexKernels kScalarIndexKernels = {"scalar", &scan, &check};

}  // namespace safelight::hash
