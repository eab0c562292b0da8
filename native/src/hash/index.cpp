// The index's block: how it is laid out, filled, opened and searched.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "index_kernels.h"
#include "safelight/hash_index.h"

namespace safelight::hash {
namespace {

constexpr char kMagic[] = {'S', 'L', 'P', 'D', 'Q', 'I', 'D', 'X'};
constexpr std::size_t kSectionStep = 64;  // a cache line

// Places in the header, as hash_index.h lists them.
constexpr std::size_t kAtVersion = 8;
constexpr std::size_t kAtHeaderBytes = 12;
constexpr std::size_t kAtFileBytes = 16;
constexpr std::size_t kAtCount = 24;
constexpr std::size_t kAtNegativeCount = 32;
constexpr std::size_t kAtProfile = 40;
constexpr std::size_t kAtSlotCount = 41;
constexpr std::size_t kAtFlags = 42;
constexpr std::size_t kAtSections = 48;
constexpr std::size_t kAtChecksum = kIndexHeaderBytes - sizeof(std::uint32_t);

constexpr std::uint32_t kHasIds = 1;
constexpr std::uint32_t kHasCategories = 2;

// How many slots are the quickest within twice the memory of sixteen (tests/bench/bench_hash_index.py --slots). Below
// the first number, reading the list through is as quick as looking up and needs no tables.
constexpr std::size_t kSixteenSlotsFrom = 16'384;
constexpr std::size_t kFourteenSlotsFrom = 500'000;
constexpr std::size_t kTwelveSlotsFrom = 3'000'000;
// One entry that is looked up costs as much as this many that are read through: it lies anywhere in memory.
constexpr std::uint64_t kLookUpCost = 6;
// What this code looks up around a slot's value: up to two bits off.
constexpr int kMaxRadius = 2;
constexpr std::size_t kMaxSlotProbes = 1 + 24 + 24 * 23 / 2;
constexpr std::size_t kMaxProbes = 3'200;  // 3,119 for eleven slots, fewer for more

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr bool kReadsBlocks = false;  // the block is little-endian and is used in place
#else
constexpr bool kReadsBlocks = true;
#endif

// Blocks may lie anywhere: numbers are copied out, which is one instruction.
template <typename T>
T load(const std::uint8_t* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}
template <typename T>
void store(std::uint8_t* to, T value) noexcept {
  std::memcpy(to, &value, sizeof(value));
}
std::uint32_t load_u32(const std::uint8_t* table, std::size_t at) noexcept {
  return load<std::uint32_t>(table + at * sizeof(std::uint32_t));
}
void store_u32(std::uint8_t* table, std::size_t at, std::uint32_t value) noexcept {
  store(table + at * sizeof(value), value);
}

void prefetch(const std::uint8_t* address) noexcept {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address);
#else
  static_cast<void>(address);
#endif
}

// CRC-32 of IEEE 802.3, bit by bit: the header is 252 bytes.
std::uint32_t crc32(const std::uint8_t* bytes, std::size_t count) noexcept {
  constexpr std::uint32_t kReversed = 0xEDB88320U;
  std::uint32_t sum = 0xFFFFFFFFU;
  for (std::size_t i = 0; i < count; ++i) {
    sum ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? kReversed : 0U);
    }
  }
  return ~sum;
}

// --- Slots -----------------------------------------------------------------------------------------------

constexpr std::uint32_t slot_width(std::uint32_t slots, std::uint32_t slot) noexcept {
  return kMaxDistance / slots + (slot < kMaxDistance % slots ? 1 : 0);
}

constexpr std::uint32_t slot_start(std::uint32_t slots, std::uint32_t slot) noexcept {
  return slot * (kMaxDistance / slots) + std::min(slot, kMaxDistance % slots);
}

constexpr std::size_t bucket_count(std::uint32_t slots, std::uint32_t slot) noexcept {
  return std::size_t{1} << slot_width(slots, slot);
}

// Within what distance a slot must be looked up: if every slot had more differing bits than this, there would be
// more than `max_distance` altogether. -1: not at all.
constexpr int slot_radius(std::uint32_t slots, std::uint32_t slot, std::uint32_t max_distance) noexcept {
  return static_cast<int>(max_distance / slots) - (slot <= max_distance % slots ? 0 : 1);
}

// 256 bits as words, lowest first.
struct Bits {
  std::uint64_t words[kPdqBytes / sizeof(std::uint64_t)];
};

Bits load_bits(const std::uint8_t* hash) noexcept { return load<Bits>(hash); }

bool has_bits(const std::uint8_t* hash) noexcept {
  const Bits bits = load_bits(hash);
  return (bits.words[0] | bits.words[1] | bits.words[2] | bits.words[3]) != 0;
}

std::uint32_t slot_value(const Bits& bits, std::uint32_t start, std::uint32_t width) noexcept {
  constexpr std::uint32_t kWordBits = 64;
  const std::uint32_t word = start / kWordBits;
  const std::uint32_t shift = start % kWordBits;
  std::uint64_t value = bits.words[word] >> shift;
  if (shift + width > kWordBits) {
    value |= bits.words[word + 1] << (kWordBits - shift);
  }
  return static_cast<std::uint32_t>(value & ((std::uint64_t{1} << width) - 1));
}

int small_bit_count(std::uint32_t bits) noexcept {
  int count = 0;
  for (; bits != 0; bits &= bits - 1) {
    ++count;
  }
  return count;
}

// --- Layout ----------------------------------------------------------------------------------------------

constexpr std::size_t round_up(std::size_t value) noexcept {
  return (value + kSectionStep - 1) / kSectionStep * kSectionStep;
}

constexpr std::size_t kSectionCount = 6;

struct Layout {
  std::size_t sections[kSectionCount];  // hashes, ids, categories, negatives, bucket starts, postings; 0: none
  std::size_t starts[kMaxSlots];
  std::size_t postings[kMaxSlots];
  std::size_t bytes;
};

// No sum here comes near 2^64: counts are below 2^31.
Status lay_out(const IndexShape& shape, Layout* layout) noexcept {
  if (static_cast<std::size_t>(shape.profile) >= kProfileCount) {
    return Status::kUnknownWord;
  }
  const bool slots_fit = shape.slot_count == 0 || (shape.slot_count >= kMinSlots && shape.slot_count <= kMaxSlots);
  if (shape.count > kMaxEntries || shape.negative_count > kMaxEntries || !slots_fit) {
    return Status::kOutOfRange;
  }
  std::size_t starts_bytes = 0;
  for (std::uint32_t slot = 0; slot < shape.slot_count; ++slot) {
    starts_bytes += (bucket_count(shape.slot_count, slot) + 1) * sizeof(std::uint32_t);
  }
  const bool present[kSectionCount] = {true, shape.has_ids,        shape.has_categories,
                                       true, shape.slot_count > 0, shape.slot_count > 0};
  const std::size_t lengths[kSectionCount] = {shape.count * kPdqBytes,
                                              shape.count * sizeof(std::uint64_t),
                                              shape.count * sizeof(std::uint16_t),
                                              shape.negative_count * kPdqBytes,
                                              starts_bytes,
                                              shape.count * shape.slot_count * sizeof(std::uint32_t)};
  std::size_t at = kIndexHeaderBytes;
  for (std::size_t i = 0; i < kSectionCount; ++i) {
    layout->sections[i] = present[i] ? at : 0;
    at += present[i] ? round_up(lengths[i]) : 0;
  }
  layout->bytes = at;
  std::size_t starts = layout->sections[4];
  for (std::uint32_t slot = 0; slot < shape.slot_count; ++slot) {
    layout->starts[slot] = starts;
    layout->postings[slot] = layout->sections[5] + slot * shape.count * sizeof(std::uint32_t);
    starts += (bucket_count(shape.slot_count, slot) + 1) * sizeof(std::uint32_t);
  }
  return Status::kOk;
}

Status lay_out_block(const IndexShape& shape, const void* block, std::size_t block_bytes, Layout* layout) noexcept {
  const Status status = lay_out(shape, layout);
  if (status != Status::kOk) {
    return status;
  }
  if (block == nullptr) {
    return Status::kNullArgument;
  }
  if (block_bytes != layout->bytes) {
    return Status::kBufferTooSmall;
  }
  return kReadsBlocks ? Status::kOk : Status::kBadIndex;
}

void write_header(const IndexShape& shape, const Layout& layout, std::uint8_t* header) noexcept {
  std::memset(header, 0, kIndexHeaderBytes);
  std::memcpy(header, kMagic, sizeof(kMagic));
  store(header + kAtVersion, kIndexVersion);
  store(header + kAtHeaderBytes, static_cast<std::uint32_t>(kIndexHeaderBytes));
  store(header + kAtFileBytes, static_cast<std::uint64_t>(layout.bytes));
  store(header + kAtCount, static_cast<std::uint64_t>(shape.count));
  store(header + kAtNegativeCount, static_cast<std::uint64_t>(shape.negative_count));
  header[kAtProfile] = static_cast<std::uint8_t>(shape.profile);
  header[kAtSlotCount] = static_cast<std::uint8_t>(shape.slot_count);
  header[kAtFlags] =
      static_cast<std::uint8_t>((shape.has_ids ? kHasIds : 0U) | (shape.has_categories ? kHasCategories : 0U));
  for (std::size_t i = 0; i < kSectionCount; ++i) {
    store(header + kAtSections + i * sizeof(std::uint64_t), static_cast<std::uint64_t>(layout.sections[i]));
  }
  store(header + kAtChecksum, crc32(header, kAtChecksum));
}

// --- Search ----------------------------------------------------------------------------------------------

struct Search {
  const IndexView& view;
  const IndexKernels& kernels;
  const std::uint8_t* hash;
  std::uint32_t max_distance;
  IndexMatch* matches;
  std::size_t capacity;
  std::size_t count;
  bool asked_negatives;
  std::uint32_t nearest_negative;  // kMaxDistance + 1 when none is near enough to matter
};

// Most pictures match nothing, so that the negatives are looked at when the first match turns up.
void ask_negatives(Search* search) noexcept {
  std::uint32_t nearest = kMaxDistance + 1;
  Found found[kIndexBlock];
  const std::size_t negatives = search->view.shape.negative_count;
  for (std::size_t first = 0; first < negatives; first += kIndexBlock) {
    const std::size_t count = std::min(kIndexBlock, negatives - first);
    const std::size_t hits =
        search->kernels.scan(search->view.negatives, first, count, search->hash, search->max_distance, found);
    for (std::size_t i = 0; i < hits; ++i) {
      nearest = std::min(nearest, found[i].distance);
    }
  }
  search->nearest_negative = nearest;
  search->asked_negatives = true;
}

void add_match(Search* search, const Found& found) noexcept {
  if (!search->asked_negatives) {
    ask_negatives(search);
  }
  const std::uint8_t* bits = search->view.hashes + std::size_t{found.entry} * kPdqBytes;
  if (found.distance >= search->nearest_negative || !has_bits(bits)) {
    return;
  }
  if (search->count < search->capacity) {
    const IndexView& view = search->view;
    const std::size_t entry = found.entry;
    search->matches[search->count] = {
        view.ids == nullptr ? entry : load<std::uint64_t>(view.ids + entry * sizeof(std::uint64_t)), found.distance,
        view.categories == nullptr ? kNoCategory
                                   : load<std::uint16_t>(view.categories + entry * sizeof(std::uint16_t))};
  }
  ++search->count;
}

void read_through(Search* search) noexcept {
  Found found[kIndexBlock];
  const std::size_t entries = search->view.shape.count;
  for (std::size_t first = 0; first < entries; first += kIndexBlock) {
    const std::size_t count = std::min(kIndexBlock, entries - first);
    const std::size_t hits =
        search->kernels.scan(search->view.hashes, first, count, search->hash, search->max_distance, found);
    for (std::size_t i = 0; i < hits; ++i) {
      add_match(search, found[i]);
    }
  }
}

// A piece of a slot's postings.
struct Range {
  std::uint32_t first;
  std::uint32_t count;
};

// The buckets within `radius` bits of `value`.
std::size_t list_buckets(std::uint32_t value, std::uint32_t width, int radius, std::uint32_t* buckets) noexcept {
  std::size_t count = 0;
  if (radius < 0) {
    return 0;
  }
  buckets[count++] = value;
  for (std::uint32_t i = 0; radius >= 1 && i < width; ++i) {
    const std::uint32_t one_off = value ^ (1U << i);
    buckets[count++] = one_off;
    for (std::uint32_t j = 0; radius >= 2 && j < i; ++j) {
      buckets[count++] = one_off ^ (1U << j);
    }
  }
  return count;
}

struct Probes {
  Range ranges[kMaxProbes];
  std::size_t slot_begins[kMaxSlots + 1];  // in ranges
  std::uint64_t candidates;
};

// What every slot offers. False when a bucket does not lie inside the postings.
bool list_probes(const Search& search, const Bits& bits, Probes* probes) noexcept {
  const IndexShape& shape = search.view.shape;
  std::uint32_t buckets[kMaxSlotProbes];
  std::size_t total = 0;
  probes->candidates = 0;
  for (std::uint32_t slot = 0; slot < shape.slot_count; ++slot) {
    probes->slot_begins[slot] = total;
    const std::uint32_t width = slot_width(shape.slot_count, slot);
    const std::uint32_t value = slot_value(bits, slot_start(shape.slot_count, slot), width);
    const int radius = slot_radius(shape.slot_count, slot, search.max_distance);
    const std::size_t count = list_buckets(value, width, radius, buckets);
    const std::uint8_t* starts = search.view.starts[slot];
    const std::uint8_t* postings = search.view.postings[slot];
    for (std::size_t i = 0; i < count; ++i) {
      prefetch(starts + buckets[i] * sizeof(std::uint32_t));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t first = load_u32(starts, buckets[i]);
      const std::uint32_t past = load_u32(starts, std::size_t{buckets[i]} + 1);
      if (first > past || past > shape.count) {
        return false;
      }
      if (first < past) {
        prefetch(postings + std::size_t{first} * sizeof(std::uint32_t));
        probes->ranges[total++] = {first, past - first};
        probes->candidates += past - first;
      }
    }
  }
  probes->slot_begins[shape.slot_count] = total;
  return true;
}

// Whether an earlier slot has offered this entry already.
bool offered_before(const Search& search, const Bits& bits, std::uint32_t slot, std::uint32_t entry) noexcept {
  const std::uint32_t slots = search.view.shape.slot_count;
  Bits differ = load_bits(search.view.hashes + std::size_t{entry} * kPdqBytes);
  for (std::size_t i = 0; i < kPdqBytes / sizeof(std::uint64_t); ++i) {
    differ.words[i] ^= bits.words[i];
  }
  for (std::uint32_t earlier = 0; earlier < slot; ++earlier) {
    const std::uint32_t value = slot_value(differ, slot_start(slots, earlier), slot_width(slots, earlier));
    if (small_bit_count(value) <= slot_radius(slots, earlier, search.max_distance)) {
      return true;
    }
  }
  return false;
}

// Gathers candidates into blocks, asking for their cache lines on the way, so that misses overlap.
struct Gathered {
  std::uint32_t entries[kIndexBlock];
  std::size_t count;
};

void check_gathered(Search* search, const Bits& bits, std::uint32_t slot, Gathered* gathered) noexcept {
  Found found[kIndexBlock];
  const std::size_t hits = search->kernels.check(search->view.hashes, gathered->entries, gathered->count, search->hash,
                                                 search->max_distance, found);
  for (std::size_t i = 0; i < hits; ++i) {
    if (!offered_before(*search, bits, slot, found[i].entry)) {
      add_match(search, found[i]);
    }
  }
  gathered->count = 0;
}

Status look_up(Search* search, const Bits& bits, const Probes& probes) noexcept {
  const IndexView& view = search->view;
  Gathered gathered;
  gathered.count = 0;
  for (std::uint32_t slot = 0; slot < view.shape.slot_count; ++slot) {
    for (std::size_t i = probes.slot_begins[slot]; i < probes.slot_begins[slot + 1]; ++i) {
      const Range& range = probes.ranges[i];
      for (std::uint32_t at = 0; at < range.count; ++at) {
        const std::uint32_t entry = load_u32(view.postings[slot], std::size_t{range.first} + at);
        if (entry >= view.shape.count) {
          return Status::kBadIndex;
        }
        prefetch(view.hashes + std::size_t{entry} * kPdqBytes);
        gathered.entries[gathered.count++] = entry;
        if (gathered.count == kIndexBlock) {
          check_gathered(search, bits, slot, &gathered);
        }
      }
    }
    check_gathered(search, bits, slot, &gathered);
  }
  return Status::kOk;
}

Status search_all(Search* search) noexcept {
  const IndexShape& shape = search->view.shape;
  if (shape.slot_count == 0 || slot_radius(shape.slot_count, 0, search->max_distance) > kMaxRadius) {
    read_through(search);
    return Status::kOk;
  }
  const Bits bits = load_bits(search->hash);
  Probes probes;
  if (!list_probes(*search, bits, &probes)) {
    return Status::kBadIndex;
  }
  if (probes.candidates > shape.count / kLookUpCost) {
    read_through(search);
    return Status::kOk;
  }
  return look_up(search, bits, probes);
}

bool verify_slot(const IndexView& view, std::uint32_t slot) noexcept {
  const IndexShape& shape = view.shape;
  const std::uint32_t width = slot_width(shape.slot_count, slot);
  const std::uint32_t start = slot_start(shape.slot_count, slot);
  const std::size_t buckets = bucket_count(shape.slot_count, slot);
  std::uint32_t at = 0;
  for (std::size_t bucket = 0; bucket < buckets; ++bucket) {
    const std::uint32_t past = load_u32(view.starts[slot], bucket + 1);
    if (load_u32(view.starts[slot], bucket) != at || past < at || past > shape.count) {
      return false;
    }
    for (std::uint32_t last = 0; at < past; ++at) {
      const std::uint32_t entry = load_u32(view.postings[slot], at);
      const bool rises = at == load_u32(view.starts[slot], bucket) || entry > last;
      if (!rises || entry >= shape.count ||
          slot_value(load_bits(view.hashes + std::size_t{entry} * kPdqBytes), start, width) != bucket) {
        return false;
      }
      last = entry;
    }
  }
  return at == shape.count;
}

}  // namespace

std::uint32_t usual_slot_count(std::size_t count) noexcept {
  if (count < kSixteenSlotsFrom) {
    return 0;
  }
  if (count < kFourteenSlotsFrom) {
    return 16;
  }
  return count < kTwelveSlotsFrom ? 14 : 12;
}

Status index_bytes(const IndexShape& shape, std::size_t* bytes) noexcept {
  if (bytes == nullptr) {
    return Status::kNullArgument;
  }
  Layout layout{};
  const Status status = lay_out(shape, &layout);
  *bytes = status == Status::kOk ? layout.bytes : *bytes;
  return status;
}

Status index_begin(const IndexInput& input, std::uint8_t* block, std::size_t block_bytes) noexcept {
  const IndexShape& shape = input.shape;
  Layout layout{};
  const Status status = lay_out_block(shape, block, block_bytes, &layout);
  if (status != Status::kOk) {
    return status;
  }
  const std::size_t lengths[] = {shape.count * kPdqBytes, shape.has_ids ? shape.count * sizeof(std::uint64_t) : 0,
                                 shape.has_categories ? shape.count * sizeof(std::uint16_t) : 0,
                                 shape.negative_count * kPdqBytes};
  const void* const sources[] = {input.hashes, input.ids, input.categories, input.negatives};
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    if (lengths[i] > 0 && sources[i] == nullptr) {
      return Status::kNullArgument;
    }
  }
  std::memset(block, 0, kIndexHeaderBytes);
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    if (lengths[i] > 0) {
      std::memcpy(block + layout.sections[i], sources[i], lengths[i]);
      std::memset(block + layout.sections[i] + lengths[i], 0, round_up(lengths[i]) - lengths[i]);
    }
  }
  return Status::kOk;
}

Status index_fill_slot(const IndexShape& shape, std::uint32_t slot, std::uint8_t* block,
                       std::size_t block_bytes) noexcept {
  Layout layout{};
  const Status status = lay_out_block(shape, block, block_bytes, &layout);
  if (status != Status::kOk) {
    return status;
  }
  if (slot >= shape.slot_count) {
    return Status::kOutOfRange;
  }
  const std::uint32_t width = slot_width(shape.slot_count, slot);
  const std::uint32_t start = slot_start(shape.slot_count, slot);
  const std::size_t buckets = bucket_count(shape.slot_count, slot);
  const std::uint8_t* hashes = block + layout.sections[0];
  std::uint8_t* starts = block + layout.starts[slot];
  std::uint8_t* postings = block + layout.postings[slot];
  const auto bucket_of = [&](std::size_t entry) {
    return std::size_t{slot_value(load_bits(hashes + entry * kPdqBytes), start, width)};
  };
  std::memset(starts, 0, (buckets + 1) * sizeof(std::uint32_t));
  for (std::size_t entry = 0; entry < shape.count; ++entry) {
    const std::size_t after = bucket_of(entry) + 1;
    store_u32(starts, after, load_u32(starts, after) + 1);
  }
  for (std::size_t bucket = 1; bucket <= buckets; ++bucket) {
    store_u32(starts, bucket, load_u32(starts, bucket) + load_u32(starts, bucket - 1));
  }
  // Each start moves to the next bucket's as its bucket fills up; afterwards they move back by one.
  for (std::size_t entry = 0; entry < shape.count; ++entry) {
    const std::size_t bucket = bucket_of(entry);
    const std::uint32_t at = load_u32(starts, bucket);
    store_u32(postings, at, static_cast<std::uint32_t>(entry));
    store_u32(starts, bucket, at + 1);
  }
  std::memmove(starts + sizeof(std::uint32_t), starts, buckets * sizeof(std::uint32_t));
  store_u32(starts, 0, 0);
  return Status::kOk;
}

Status index_finish(const IndexShape& shape, std::uint8_t* block, std::size_t block_bytes) noexcept {
  Layout layout{};
  const Status status = lay_out_block(shape, block, block_bytes, &layout);
  if (status != Status::kOk) {
    return status;
  }
  if (shape.slot_count > 0) {  // what lies between the sections
    const std::uint32_t last = shape.slot_count - 1;
    const std::size_t starts_end =
        layout.starts[last] + (bucket_count(shape.slot_count, last) + 1) * sizeof(std::uint32_t);
    const std::size_t postings_end = layout.postings[last] + shape.count * sizeof(std::uint32_t);
    std::memset(block + starts_end, 0, layout.sections[5] - starts_end);
    std::memset(block + postings_end, 0, layout.bytes - postings_end);
  }
  write_header(shape, layout, block);
  return Status::kOk;
}

Status index_open(const void* block, std::size_t block_bytes, IndexView* view) noexcept {
  if ((block == nullptr && block_bytes > 0) || view == nullptr) {
    return Status::kNullArgument;
  }
  const auto* bytes = static_cast<const std::uint8_t*>(block);
  if (!kReadsBlocks || block_bytes < kIndexHeaderBytes || std::memcmp(bytes, kMagic, sizeof(kMagic)) != 0) {
    return Status::kBadIndex;
  }
  const auto count = load<std::uint64_t>(bytes + kAtCount);
  const auto negative_count = load<std::uint64_t>(bytes + kAtNegativeCount);
  const std::uint8_t flags = bytes[kAtFlags];
  IndexView opened{};
  opened.shape.profile = static_cast<Profile>(bytes[kAtProfile]);
  opened.shape.slot_count = bytes[kAtSlotCount];
  opened.shape.count = static_cast<std::size_t>(std::min<std::uint64_t>(count, kMaxEntries));
  opened.shape.negative_count = static_cast<std::size_t>(std::min<std::uint64_t>(negative_count, kMaxEntries));
  opened.shape.has_ids = (flags & kHasIds) != 0;
  opened.shape.has_categories = (flags & kHasCategories) != 0;
  Layout layout{};
  if (lay_out(opened.shape, &layout) != Status::kOk || layout.bytes != block_bytes) {
    return Status::kBadIndex;
  }
  // There is one right header for a shape: whatever else the block says is wrong, a changed checksum too.
  std::uint8_t expected[kIndexHeaderBytes];
  write_header(opened.shape, layout, expected);
  if (std::memcmp(bytes, expected, kIndexHeaderBytes) != 0) {
    return Status::kBadIndex;
  }
  opened.hashes = bytes + layout.sections[0];
  opened.ids = opened.shape.has_ids ? bytes + layout.sections[1] : nullptr;
  opened.categories = opened.shape.has_categories ? bytes + layout.sections[2] : nullptr;
  opened.negatives = bytes + layout.sections[3];
  for (std::uint32_t slot = 0; slot < opened.shape.slot_count; ++slot) {
    opened.starts[slot] = bytes + layout.starts[slot];
    opened.postings[slot] = bytes + layout.postings[slot];
  }
  *view = opened;
  return Status::kOk;
}

Status index_verify(const IndexView& view) noexcept {
  for (std::uint32_t slot = 0; slot < view.shape.slot_count; ++slot) {
    if (!verify_slot(view, slot)) {
      return Status::kBadIndex;
    }
  }
  return Status::kOk;
}

Status index_query(const IndexView& view, const std::uint8_t* hash, std::uint32_t max_distance, IndexMatch* matches,
                   std::size_t capacity, std::size_t* count) noexcept {
  if (hash == nullptr || count == nullptr || (matches == nullptr && capacity > 0) || view.hashes == nullptr) {
    return Status::kNullArgument;
  }
  if (max_distance > kMaxDistance) {
    return Status::kOutOfRange;
  }
  if (!has_bits(hash)) {
    return Status::kUnusableHash;
  }
  Search search{view, active_index_kernels(), hash, max_distance, matches, capacity, 0, false, 0};
  const Status status = search_all(&search);
  if (status != Status::kOk) {
    return status;
  }
  *count = search.count;
  if (search.count > capacity) {
    return Status::kBufferTooSmall;
  }
  std::sort(matches, matches + search.count, [](const IndexMatch& left, const IndexMatch& right) {
    if (left.distance != right.distance) {
      return left.distance < right.distance;
    }
    return left.entry_id != right.entry_id ? left.entry_id < right.entry_id : left.category < right.category;
  });
  return Status::kOk;
}

}  // namespace safelight::hash
