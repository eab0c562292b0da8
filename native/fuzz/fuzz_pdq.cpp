// PDQ over frames of any format, size and stride: nothing outside is read, every machine code gives the same bits.
#include <cstring>
#include <vector>

#include "input.h"
#include "picture.h"
#include "safelight/hash.h"

using namespace safelight::hash;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const auto profile = static_cast<Profile>(input.below(kProfileCount + 1));
  const std::size_t chosen = input.below(kKernelCount);
  const safelight::fuzz::Picture picture = safelight::fuzz::take_picture(&input);
  Pdq reduced[kDihedralCount];
  std::size_t needed = 0;
  // As it came, or spread over blocks: full sides that fit in half of the cases.
  const auto factor = static_cast<std::uint32_t>(input.below(2) == 0 ? 1U << input.below(4) : input.below(20));
  const bool fitting = input.below(2) == 0;
  const Reduction reduction = {factor, fitting ? picture.view.width_px * factor : input.take<std::uint32_t>(),
                               fitting ? picture.view.height_px * factor : input.take<std::uint32_t>()};
  if (pdq_reduced_scratch_bytes(picture.view, reduction, &needed) == Status::kOk) {
    std::vector<std::uint8_t> scratch(needed);
    expect(pdq_reduced(picture.view, reduction, true, reduced, scratch.data(), needed) == Status::kOk);
    expect(pdq_reduced(picture.view, reduction, false, reduced, scratch.data(), needed - 1) == Status::kBufferTooSmall);
  }
  const Status status = pdq_scratch_bytes(picture.view, profile, &needed);
  if (status != Status::kOk) {
    return 0;
  }
  std::vector<std::uint8_t> scratch(needed);
  Pdq eight[kDihedralCount];
  Pdq one;
  set_kernel("scalar");
  expect(pdq_dihedral(picture.view, profile, eight, scratch.data(), needed) == Status::kOk);
  const Status forced = set_kernel(kernel_info(chosen).name);
  expect(forced == Status::kOk || forced == Status::kKernelUnavailable);
  expect(pdq(picture.view, profile, &one, scratch.data(), needed) == Status::kOk);
  expect(one.state == eight[0].state && one.quality == eight[0].quality && one.quality <= 100);
  expect(std::memcmp(one.bits, eight[0].bits, kPdqBytes) == 0);
  expect(pdq(picture.view, profile, &one, scratch.data(), needed - 1) == Status::kBufferTooSmall);
  return 0;
}
