#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "safelight/hash_index.h"

using namespace safelight::hash;
using safelight::Status;

namespace {

using Bytes = std::vector<std::uint8_t>;

// The same bytes on every machine, as in tests/reference/pdq.py.
class Random {
 public:
  explicit Random(std::uint32_t seed) : state_(seed) {}
  std::uint32_t operator()() {
    state_ = state_ * 1664525U + 1013904223U;
    return state_ >> 24U;
  }

 private:
  std::uint32_t state_;
};

Bytes random_hashes(std::size_t count, std::uint32_t seed) {
  Random random(seed);
  Bytes hashes(count * kPdqBytes);
  for (std::uint8_t& byte : hashes) {
    byte = static_cast<std::uint8_t>(random());
  }
  return hashes;
}

// `bits` different bits flipped.
Bytes flipped(const std::uint8_t* hash, std::size_t bits, std::uint32_t seed) {
  Random random(seed);
  Bytes changed(hash, hash + kPdqBytes);
  while (pdq_distance(changed.data(), hash) < bits) {
    const std::uint32_t at = random();  // of 256
    changed[at / 8] ^= static_cast<std::uint8_t>(1U << (at % 8));
    if (pdq_distance(changed.data(), hash) > bits) {
      changed[at / 8] ^= static_cast<std::uint8_t>(1U << (at % 8));
    }
  }
  return changed;
}

Bytes build(const IndexInput& input) {
  std::size_t bytes = 0;
  REQUIRE(index_bytes(input.shape, &bytes) == Status::kOk);
  Bytes block(bytes, 0xA5);
  REQUIRE(index_begin(input, block.data(), bytes) == Status::kOk);
  IndexView view;
  CHECK(index_open(block.data(), bytes, &view) == Status::kBadIndex);  // not finished
  for (std::uint32_t slot = input.shape.slot_count; slot-- > 0;) {
    REQUIRE(index_fill_slot(input.shape, slot, block.data(), bytes) == Status::kOk);
  }
  REQUIRE(index_finish(input.shape, block.data(), bytes) == Status::kOk);
  return block;
}

Bytes build(const Bytes& hashes, std::uint32_t slot_count, const Bytes& negatives = {}) {
  const IndexShape shape = {Profile::kFull, slot_count, hashes.size() / kPdqBytes, negatives.size() / kPdqBytes,
                            false,          false};
  return build({shape, hashes.data(), nullptr, nullptr, negatives.data()});
}

IndexView opened(const Bytes& block) {
  IndexView view{};
  REQUIRE(index_open(block.data(), block.size(), &view) == Status::kOk);
  return view;
}

using Pairs = std::vector<std::tuple<std::uint32_t, std::uint64_t>>;  // distance, id

Pairs look_up(const IndexView& view, const std::uint8_t* hash, std::uint32_t max_distance) {
  std::size_t count = 0;
  const Status sized = index_query(view, hash, max_distance, nullptr, 0, &count);
  REQUIRE(sized == (count > 0 ? Status::kBufferTooSmall : Status::kOk));
  std::vector<IndexMatch> matches(count);
  REQUIRE(index_query(view, hash, max_distance, matches.data(), count, &count) == Status::kOk);
  Pairs pairs;
  for (const IndexMatch& match : matches) {
    pairs.emplace_back(match.distance, match.entry_id);
  }
  return pairs;
}

Pairs compare_all(const Bytes& hashes, const std::uint8_t* hash, std::uint32_t max_distance) {
  Pairs pairs;
  for (std::size_t i = 0; i * kPdqBytes < hashes.size(); ++i) {
    const std::uint32_t distance = pdq_distance(hashes.data() + i * kPdqBytes, hash);
    if (distance <= max_distance) {
      pairs.emplace_back(distance, i);
    }
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

}  // namespace

TEST_CASE("index: every kernel and every number of slots finds what comparing finds") {
  for (const std::size_t count : {0, 1, 15, 16, 17, 700}) {
    const Bytes hashes = random_hashes(count, 3);
    for (const std::uint32_t slots : {0U, 12U, 13U, 16U}) {
      const Bytes block = build(hashes, slots);
      const IndexView view = opened(block);
      CHECK(index_verify(view) == Status::kOk);
      for (std::size_t i = 0; i < kIndexKernelCount; ++i) {
        if (set_index_kernel(index_kernel_info(i).name) != Status::kOk) {
          continue;
        }
        CHECK(std::string(index_kernel_in_use()) == index_kernel_info(i).name);
        for (std::uint32_t distance = 0; distance <= 33; ++distance) {
          const Bytes near = count == 0 ? random_hashes(1, distance)
                                        : flipped(hashes.data() + (distance % count) * kPdqBytes, distance, distance);
          for (const std::uint32_t limit : {0U, distance, kMatchDistance, 47U, 130U, kMaxDistance}) {
            CHECK(look_up(view, near.data(), limit) == compare_all(hashes, near.data(), limit));
          }
        }
      }
      set_index_kernel("auto");
    }
  }
}

TEST_CASE("index: lists whose slots are all alike, and duplicates") {
  Bytes hashes = random_hashes(3'000, 5);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (i % kPdqBytes < 26) {
      hashes[i] = static_cast<std::uint8_t>(0x5A + i % kPdqBytes);
    }
  }
  std::memcpy(hashes.data() + 2'000 * kPdqBytes, hashes.data(), 900 * kPdqBytes);
  const Bytes block = build(hashes, 16);
  const IndexView view = opened(block);
  for (const std::size_t entry : {0, 899, 2'000, 2'999}) {
    const Bytes near = flipped(hashes.data() + entry * kPdqBytes, 9, 1);
    const Pairs expected = compare_all(hashes, near.data(), kMatchDistance);
    CHECK(expected.size() > 500);
    CHECK(look_up(view, near.data(), kMatchDistance) == expected);
  }
}

TEST_CASE("index: ids, categories and the profile come back") {
  const Bytes hashes = random_hashes(3, 9);
  const std::vector<std::uint64_t> ids = {0xFFFFFFFFFFFFFFFF, 7, 7};
  const std::vector<std::uint16_t> categories = {65'535, 0, 3};
  const IndexShape shape = {Profile::kNear512, 0, 3, 0, true, true};
  const Bytes block = build({shape, hashes.data(), ids.data(), categories.data(), nullptr});
  const IndexView view = opened(block);
  CHECK(view.shape.profile == Profile::kNear512);
  std::array<IndexMatch, 3> matches{};
  std::size_t count = 0;
  REQUIRE(index_query(view, hashes.data(), kMaxDistance, matches.data(), matches.size(), &count) == Status::kOk);
  REQUIRE(count == 3);
  CHECK(matches[0].entry_id == ids[0]);
  CHECK(matches[0].category == 65'535);
  CHECK(matches[1].entry_id == 7);
  CHECK(matches[2].entry_id == 7);
  const Bytes plain = build(hashes, 0);
  REQUIRE(index_query(opened(plain), hashes.data(), 0, matches.data(), 1, &count) == Status::kOk);
  CHECK(matches[0].category == kNoCategory);
  CHECK(matches[0].entry_id == 0);
}

TEST_CASE("index: what is as near to a negative does not match, and the nearer entry does") {
  const Bytes hashes = random_hashes(2, 11);
  const Bytes logo = flipped(hashes.data(), 20, 4);  // not listed, but near an entry
  for (const std::uint32_t slots : {0U, 16U}) {
    const Bytes block = build(hashes, slots, logo);
    const IndexView view = opened(block);
    CHECK(look_up(view, logo.data(), kMatchDistance).empty());
    CHECK(look_up(view, hashes.data(), kMatchDistance).size() == 1);
    CHECK(look_up(view, flipped(hashes.data(), 2, 5).data(), kMatchDistance).size() == 1);
    CHECK(look_up(view, flipped(logo.data(), 2, 5).data(), kMatchDistance).empty());
    // An entry that is a negative itself never matches; the other one still does.
    const Bytes both = build(hashes, slots, Bytes(hashes.begin(), hashes.begin() + kPdqBytes));
    CHECK(look_up(opened(both), hashes.data(), kMatchDistance).empty());
    CHECK(look_up(opened(both), hashes.data() + kPdqBytes, kMatchDistance).size() == 1);
    // The hash without any bit matches nothing, as an entry or as a query.
    Bytes few(2 * kPdqBytes);
    few[4] = 0x1F;
    const Bytes featureless = build(few, slots);
    CHECK(look_up(opened(featureless), few.data(), kMatchDistance).size() == 1);
    std::size_t count = 77;
    CHECK(index_query(opened(featureless), few.data() + kPdqBytes, kMaxDistance, nullptr, 0, &count) ==
          Status::kUnusableHash);
    CHECK(count == 77);
  }
}

TEST_CASE("index: a block that was cut or changed is refused, or never read outside") {
  const Bytes hashes = random_hashes(400, 13);
  const Bytes block = build(hashes, 16);
  IndexView view{};
  for (const std::size_t cut : {std::size_t{0}, std::size_t{8}, kIndexHeaderBytes, block.size() - 1}) {
    const Bytes shorter(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(cut));
    CHECK(index_open(shorter.data(), shorter.size(), &view) == Status::kBadIndex);
  }
  Bytes longer = block;
  longer.push_back(0);
  CHECK(index_open(longer.data(), longer.size(), &view) == Status::kBadIndex);
  for (std::size_t i = 0; i < kIndexHeaderBytes; ++i) {
    Bytes changed = block;
    changed[i] ^= 0x10U;
    CHECK(index_open(changed.data(), changed.size(), &view) == Status::kBadIndex);
  }
  CHECK(view.hashes == nullptr);

  Bytes changed = block;
  view = opened(changed);
  const std::uint32_t bucket = hashes[0] | static_cast<std::uint32_t>(hashes[1]) << 8U;
  std::uint8_t* start = changed.data() + (view.starts[0] - changed.data()) + 4 * std::size_t{bucket};
  std::size_t count = 77;
  const auto status = [&] { return index_query(view, hashes.data(), kMatchDistance, nullptr, 0, &count); };
  CHECK(status() == Status::kBufferTooSmall);
  for (const std::uint32_t hostile : {401U, 0xFFFFFFFFU, 0x80000000U}) {
    std::memcpy(start + 4, &hostile, sizeof(hostile));
    count = 77;
    CHECK(status() == Status::kBadIndex);
    CHECK(count == 77);
    CHECK(index_verify(view) == Status::kBadIndex);
  }
  changed = block;
  view = opened(changed);
  const std::uint32_t hostile = 400;
  std::memcpy(changed.data() + (view.postings[3] - changed.data()), &hostile, sizeof(hostile));
  CHECK(index_verify(view) == Status::kBadIndex);
  bool refused = false;
  for (std::size_t i = 0; i < 400; ++i) {
    const Status said = index_query(view, hashes.data() + i * kPdqBytes, kMatchDistance, nullptr, 0, &count);
    refused = refused || said == Status::kBadIndex;
  }
  CHECK(refused);
}

TEST_CASE("index: any alignment will do") {
  const Bytes hashes = random_hashes(100, 15);
  const Bytes block = build(hashes, 16);
  Bytes shifted(block.size() + 3);
  std::copy(block.begin(), block.end(), shifted.begin() + 3);
  IndexView view{};
  REQUIRE(index_open(shifted.data() + 3, block.size(), &view) == Status::kOk);
  CHECK(look_up(view, hashes.data(), kMatchDistance) == compare_all(hashes, hashes.data(), kMatchDistance));
}

TEST_CASE("index: what does not fit is refused") {
  const Bytes hashes = random_hashes(2, 17);
  std::size_t bytes = 5;
  IndexShape shape = {Profile::kFull, 16, 2, 0, false, false};
  CHECK(index_bytes(shape, nullptr) == Status::kNullArgument);
  for (const std::uint32_t slots : {1U, 10U, 17U, 0xFFFFFFFFU}) {
    shape.slot_count = slots;
    CHECK(index_bytes(shape, &bytes) == Status::kOutOfRange);
  }
  shape = {Profile::kFull, 0, kMaxEntries + 1, 0, false, false};
  CHECK(index_bytes(shape, &bytes) == Status::kOutOfRange);
  shape = {Profile::kFull, 0, 0, kMaxEntries + 1, false, false};
  CHECK(index_bytes(shape, &bytes) == Status::kOutOfRange);
  shape = {static_cast<Profile>(3), 0, 0, 0, false, false};
  CHECK(index_bytes(shape, &bytes) == Status::kUnknownWord);
  CHECK(bytes == 5);
  shape = {Profile::kFull, 16, 2, 0, true, false};
  REQUIRE(index_bytes(shape, &bytes) == Status::kOk);
  Bytes block(bytes);
  CHECK(index_begin({shape, hashes.data(), nullptr, nullptr, nullptr}, block.data(), bytes) == Status::kNullArgument);
  CHECK(index_begin({shape, hashes.data(), nullptr, nullptr, nullptr}, nullptr, bytes) == Status::kNullArgument);
  CHECK(index_fill_slot(shape, 16, block.data(), bytes) == Status::kOutOfRange);
  CHECK(index_fill_slot(shape, 0, block.data(), bytes - 1) == Status::kBufferTooSmall);
  CHECK(index_finish(shape, block.data(), bytes + 1) == Status::kBufferTooSmall);
  const Bytes small = build(hashes, 0);
  const IndexView view = opened(small);
  std::size_t count = 0;
  CHECK(index_open(nullptr, 300, nullptr) == Status::kNullArgument);
  CHECK(index_query(view, nullptr, 31, nullptr, 0, &count) == Status::kNullArgument);
  CHECK(index_query(view, hashes.data(), 31, nullptr, 0, nullptr) == Status::kNullArgument);
  CHECK(index_query(view, hashes.data(), 31, nullptr, 1, &count) == Status::kNullArgument);
  CHECK(index_query(view, hashes.data(), 257, nullptr, 0, &count) == Status::kOutOfRange);
  CHECK(index_query(IndexView{}, hashes.data(), 31, nullptr, 0, &count) == Status::kNullArgument);
  CHECK(set_index_kernel("abacus") == Status::kUnknownWord);
  CHECK(index_kernel_info(kIndexKernelCount).name == nullptr);
  CHECK(usual_slot_count(0) == 0);
  CHECK(usual_slot_count(100'000) == 16);
  CHECK(usual_slot_count(1'000'000) == 14);
  CHECK(usual_slot_count(10'000'000) == 12);
}

TEST_CASE("index: threads share a view") {
  const Bytes hashes = random_hashes(5'000, 19);
  const Bytes block = build(hashes, 16);
  const IndexView view = opened(block);
  std::array<std::size_t, 4> found{};
  std::vector<std::thread> threads;
  for (std::size_t& sum : found) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < 300; ++i) {
        IndexMatch match{};
        std::size_t count = 0;
        index_query(view, hashes.data() + i * kPdqBytes, kMatchDistance, &match, 1, &count);
        sum += match.entry_id == i ? count : 1'000;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::size_t sum : found) {
    CHECK(sum == 300);
  }
}
