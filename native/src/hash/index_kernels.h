// The index's inner loops that exist once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace safelight::hash {

inline constexpr std::size_t kIndexBlock = 256;  // entries that a kernel looks at in one call, at most

struct Found {
  std::uint32_t entry;
  std::uint32_t distance;
};

struct IndexKernels {
  const char* name;
  // Entries `first` to `first + count` that are near enough, in order. Returns how many.
  std::size_t (*scan)(const std::uint8_t* hashes, std::size_t first, std::size_t count, const std::uint8_t* query,
                      std::uint32_t max_distance, Found* found);
  // The same for entries named one by one; they lie anywhere and their cache lines have been asked for.
  std::size_t (*check)(const std::uint8_t* hashes, const std::uint32_t* entries, std::size_t count,
                       const std::uint8_t* query, std::uint32_t max_distance, Found* found);
};

extern const IndexKernels kScalarIndexKernels;

// Null where this build or CPU does not have them.
const IndexKernels* popcnt_index_kernels() noexcept;
const IndexKernels* avx2_index_kernels() noexcept;
const IndexKernels* avx512_index_kernels() noexcept;
const IndexKernels* neon_index_kernels() noexcept;

const IndexKernels& active_index_kernels() noexcept;

}  // namespace safelight::hash
