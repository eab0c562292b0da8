// A list of PDQ hashes to look pictures up in: every entry within a distance, none missed.
//
// Multi-index hashing (Norouzi, Punjani and Fleet, 2012): the 256 bits are cut into slots. Of at most 31 differing
// bits some slot of sixteen has at most one, so that looking up every slot's value and its one-bit neighbours finds
// everything; of eleven slots some has at most two. Small lists, lists whose slots are all alike, and distances
// that would take too many look-ups are read through instead, by SIMD. Either way the answer is exact.
// docs/adr/0010-the-index-is-its-file.md says why it is built like this.
//
// The index is one block of bytes, in memory as in a file (little-endian, all places from the block's start):
//      0  8  "SLPDQIDX"
//      8  4  version, 1
//     12  4  bytes of this header, 256
//     16  8  bytes of the block
//     24  8  number of entries N, below 2^31
//     32  8  number of negatives K, below 2^31
//     40  1  profile          41  1  number of slots S: 0 or 11 to 16
//     42  1  flags: 1 has ids, 2 has categories          43  5  zero
//     48  8  place of the hashes: N x 32 bytes, in the order of PDQ's text
//     56  8  place of the ids: N x u64, or 0: entry i has id i
//     64  8  place of the categories: N x u16, or 0
//     72  8  place of the negatives: K x 32 bytes
//     80  8  place of the bucket starts, or 0: for each slot, 2^width + 1 x u32, positions in the slot's postings
//     88  8  place of the postings, or 0: for each slot, N x u32, entries by bucket
//     96     zero to 252
//    252  4  CRC-32 (zlib's) of bytes 0 to 251
// Sections follow each other in this order, each from a multiple of 64 on: there is one right place for each.
// Slot s of S has 256/S bits, and one more when s < 256%S; slots follow each other from bit 0, which is the lowest bit
// of byte 0; a bucket's number is the slot's bits, lowest first.
//
// Rules of this header:
//  - No I/O, no exception, no allocation: callers own every buffer, and a view borrows the block for its life.
//  - Opening reads the header only, so that a mapped file of any size opens at once. Everything that a query follows
//    is checked when it is followed: a hostile block gives wrong answers or kBadIndex, and never reads outside.
//    Whether the content is what somebody meant is for a signature to say, not for this file.
//  - Thread-safe, set_index_kernel() included: any number of queries on one view.
//
// The readable twin is tests/reference/hash_index.py.
#pragma once

#include <cstddef>
#include <cstdint>

#include "safelight/hash.h"
#include "safelight/status.h"

namespace safelight::hash {

inline constexpr std::uint32_t kIndexVersion = 1;
inline constexpr std::size_t kIndexHeaderBytes = 256;
inline constexpr std::size_t kMaxEntries = 0x7FFFFFFF;
inline constexpr std::uint32_t kMaxDistance = 8 * kPdqBytes;
// At most this many bits differ between two copies of a picture: the reference's advice.
inline constexpr std::uint32_t kMatchDistance = 31;
inline constexpr std::uint32_t kNoCategory = 0xFFFFFFFF;

inline constexpr std::uint32_t kMinSlots = 11;
inline constexpr std::uint32_t kMaxSlots = 16;
// How many slots an index of `count` entries gets unless told otherwise; 0 reads the list through.
std::uint32_t usual_slot_count(std::size_t count) noexcept;

// What the block depends on in size.
struct IndexShape {
  Profile profile;
  std::uint32_t slot_count;  // 0, or kMinSlots to kMaxSlots
  std::size_t count;
  std::size_t negative_count;
  bool has_ids;
  bool has_categories;
};

// kOutOfRange: too many entries or another number of slots. kUnknownWord: profile.
Status index_bytes(const IndexShape& shape, std::size_t* bytes) noexcept;

// Building, in steps so that a caller can show progress or share slots among threads: begin, then every slot once in
// any order, then finish. The block does not open before finish.
struct IndexInput {
  IndexShape shape;
  const std::uint8_t* hashes;       // count x kPdqBytes
  const std::uint64_t* ids;         // when has_ids; one id may stand for several entries
  const std::uint16_t* categories;  // when has_categories
  const std::uint8_t* negatives;    // negative_count x kPdqBytes
};
Status index_begin(const IndexInput& input, std::uint8_t* block, std::size_t block_bytes) noexcept;
Status index_fill_slot(const IndexShape& shape, std::uint32_t slot, std::uint8_t* block,
                       std::size_t block_bytes) noexcept;
Status index_finish(const IndexShape& shape, std::uint8_t* block, std::size_t block_bytes) noexcept;

// A block that was opened. Fields are for reading.
struct IndexView {
  IndexShape shape;
  const std::uint8_t* hashes;
  const std::uint8_t* ids;         // null: entry i has id i
  const std::uint8_t* categories;  // null: kNoCategory
  const std::uint8_t* negatives;
  const std::uint8_t* starts[kMaxSlots];
  const std::uint8_t* postings[kMaxSlots];
};

// kBadIndex: not such a block, of another version, cut short, or its header damaged. Any alignment will do.
Status index_open(const void* block, std::size_t block_bytes, IndexView* view) noexcept;

// Reads everything: every entry in its bucket of every slot, once, and in order. kBadIndex when not.
Status index_verify(const IndexView& view) noexcept;

struct IndexMatch {
  std::uint64_t entry_id;
  std::uint32_t distance;
  std::uint32_t category;  // kNoCategory when the index has none
};

// All entries at most `max_distance` (0 to kMaxDistance) from `hash`, nearest first, of the same distance the lower id
// first. An entry does not match when a negative hash is as near to `hash` as the entry is, or nearer. The hash without
// any bit, which pictures without features have, is no entry's match, and to look it up is kUnusableHash.
//
// `*count` is set to how many there are. kBufferTooSmall when `capacity` is less: call again with that many.
// kBadIndex when something inside the block is not as it must be; then there is no answer, which is not "no match".
Status index_query(const IndexView& view, const std::uint8_t* hash, std::uint32_t max_distance, IndexMatch* matches,
                   std::size_t capacity, std::size_t* count) noexcept;

// As kernel_info() and set_kernel() in hash.h, for looking up.
inline constexpr std::size_t kIndexKernelCount = 5;  // scalar, popcnt, avx2, avx512, neon
KernelInfo index_kernel_info(std::size_t index) noexcept;
const char* index_kernel_in_use() noexcept;
Status set_index_kernel(const char* name) noexcept;

}  // namespace safelight::hash
