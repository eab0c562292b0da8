// Hostile index files, and small indexes against comparing with every entry.
#include <vector>

#include "input.h"
#include "safelight/hash_index.h"

using namespace safelight::hash;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

namespace {

constexpr std::size_t kPlenty = 4'096;

void query(const IndexView& view, Input* input) {
  std::vector<IndexMatch> matches(kPlenty);
  const std::vector<std::uint8_t> hash = input->bytes(kPdqBytes);
  const auto max_distance = static_cast<std::uint32_t>(input->below(kMaxDistance + 2));
  std::size_t count = 0;
  const Status status = index_query(view, hash.data(), max_distance, matches.data(), matches.size(), &count);
  expect(status == Status::kOk || status == Status::kBadIndex || status == Status::kBufferTooSmall ||
         status == Status::kUnusableHash || (status == Status::kOutOfRange && max_distance > kMaxDistance));
  for (std::size_t i = 0; status == Status::kOk && i < count; ++i) {
    expect(matches[i].distance <= max_distance);
    expect(i == 0 || matches[i - 1].distance <= matches[i].distance);
  }
}

// Whatever bytes as a file.
void open_anything(Input* input) {
  const std::vector<std::uint8_t> file = input->bytes(input->left());
  IndexView view;
  if (index_open(file.data(), file.size(), &view) == Status::kOk) {
    index_verify(view);
    Input end(file.data(), file.size());
    query(view, &end);
  }
}

std::vector<std::uint8_t> build(const IndexShape& shape, Input* input) {
  std::vector<std::uint8_t> hashes = input->bytes(shape.count * kPdqBytes);
  const std::vector<std::uint8_t> negatives = input->bytes(shape.negative_count * kPdqBytes);
  std::vector<std::uint64_t> ids(shape.count);
  std::vector<std::uint16_t> categories(shape.count);
  for (std::size_t i = 0; i < shape.count; ++i) {
    ids[i] = input->take<std::uint8_t>();
    categories[i] = input->take<std::uint8_t>();
  }
  std::size_t bytes = 0;
  expect(index_bytes(shape, &bytes) == Status::kOk);
  std::vector<std::uint8_t> block(bytes);
  const IndexInput content = {shape, hashes.data(), ids.data(), categories.data(), negatives.data()};
  expect(index_begin(content, block.data(), bytes) == Status::kOk);
  for (std::uint32_t slot = 0; slot < shape.slot_count; ++slot) {
    expect(index_fill_slot(shape, slot, block.data(), bytes) == Status::kOk);
  }
  expect(index_finish(shape, block.data(), bytes) == Status::kOk);
  return block;
}

// A file with a right header and anything after it, or its header damaged in one place.
void open_shaped(Input* input) {
  const IndexShape shape = {static_cast<Profile>(input->below(kProfileCount)),
                            0,
                            input->below(40),
                            input->below(4),
                            input->below(2) == 1,
                            input->below(2) == 1};
  std::vector<std::uint8_t> block = build(shape, input);
  IndexView view;
  expect(index_open(block.data(), block.size(), &view) == Status::kOk);
  expect(index_verify(view) == Status::kOk);
  query(view, input);
  const std::size_t cut = input->below(block.size());
  const std::vector<std::uint8_t> shorter(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(cut));
  expect(index_open(shorter.data(), shorter.size(), &view) == Status::kBadIndex);
  block[input->below(kIndexHeaderBytes)] ^= static_cast<std::uint8_t>(1U << input->below(8));
  expect(index_open(block.data(), block.size(), &view) == Status::kBadIndex);
}

// Tables with numbers written over. They are large, so that one block serves all inputs and is mended afterwards.
void follow_hostile_tables(Input* input) {
  constexpr std::size_t kCount = 500;
  static const IndexShape shape = {Profile::kFull, kMaxSlots, kCount, 0, false, false};
  static std::vector<std::uint8_t> block = [] {
    std::vector<std::uint8_t> content(kCount * kPdqBytes);
    for (std::size_t i = 0; i < content.size(); ++i) {
      content[i] = static_cast<std::uint8_t>(i * i / kPdqBytes + i);
    }
    Input whole(content.data(), content.size());
    return build(shape, &whole);
  }();
  IndexView view;
  expect(index_open(block.data(), block.size(), &view) == Status::kOk);
  const std::vector<std::uint8_t> hash = input->bytes(kPdqBytes);
  struct Change {
    std::uint8_t* at;
    std::uint32_t before;
  };
  std::vector<Change> changes;
  for (std::size_t i = input->below(16); i > 0; --i) {
    const std::size_t slot = input->below(kMaxSlots);
    // Near the bucket that the query looks at, or any posting.
    const std::size_t bucket = (std::size_t{hash[2 * slot]} | std::size_t{hash[2 * slot + 1]} << 8U) ^ input->below(4);
    const std::uint8_t* table =
        input->below(2) == 0 ? view.starts[slot] + 4 * bucket : view.postings[slot] + 4 * input->below(kCount);
    Change change = {block.data() + (table - block.data()), 0};
    std::memcpy(&change.before, change.at, sizeof(change.before));
    changes.push_back(change);
    const auto number = input->take<std::uint32_t>();
    std::memcpy(change.at, &number, sizeof(number));
  }
  std::vector<IndexMatch> matches(kPlenty);
  std::size_t count = 0;
  index_query(view, hash.data(), static_cast<std::uint32_t>(input->below(48)), matches.data(), matches.size(), &count);
  for (std::size_t i = changes.size(); i-- > 0;) {
    std::memcpy(changes[i].at, &changes[i].before, sizeof(changes[i].before));
  }
}

// Reading the list through, on every machine code.
void compare(Input* input) {
  const IndexShape shape = {Profile::kFull, 0, input->below(70), 0, true, true};
  const std::vector<std::uint8_t> block = build(shape, input);
  IndexView view;
  expect(index_open(block.data(), block.size(), &view) == Status::kOk);
  const std::vector<std::uint8_t> hash = input->bytes(kPdqBytes);
  const std::vector<std::uint8_t> none(kPdqBytes);
  const auto max_distance = static_cast<std::uint32_t>(input->below(kMaxDistance + 1));
  std::size_t expected = 0;
  for (std::size_t i = 0; i < shape.count; ++i) {
    const std::uint32_t bits = pdq_distance(view.hashes + i * kPdqBytes, hash.data());
    expected += bits <= max_distance && pdq_distance(view.hashes + i * kPdqBytes, none.data()) > 0 ? 1 : 0;
  }
  for (std::size_t i = 0; i < kIndexKernelCount; ++i) {
    if (set_index_kernel(index_kernel_info(i).name) == Status::kOk) {
      std::vector<IndexMatch> matches(shape.count);
      std::size_t count = 0;
      const Status status = index_query(view, hash.data(), max_distance, matches.data(), matches.size(), &count);
      expect(status == (hash == none ? Status::kUnusableHash : Status::kOk));
      expect(status != Status::kOk || count == expected);
    }
  }
  set_index_kernel("auto");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.below(4)) {
    case 0:
      open_anything(&input);
      break;
    case 1:
      open_shaped(&input);
      break;
    case 2:
      follow_hostile_tables(&input);
      break;
    default:
      compare(&input);
  }
  return 0;
}
