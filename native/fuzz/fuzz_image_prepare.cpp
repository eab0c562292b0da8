// From any frame to any tensor: nothing outside the planes is read or outside the tensor written.
#include <cstring>
#include <vector>

#include "input.h"
#include "picture.h"
#include "safelight/image.h"

using namespace safelight::image;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

namespace {

// Mostly inside the picture.
float coordinate(Input* input, std::uint32_t side) {
  return input->below(8) == 0 ? input->take<float>()
                              : static_cast<float>(input->below(65'536)) / 65'535.0F * static_cast<float>(side);
}

std::uint32_t target_side(Input* input) {
  return input->below(16) == 0 ? input->take<std::uint32_t>() : static_cast<std::uint32_t>(input->below(300));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  Resize resize{};
  resize.width = target_side(&input);
  resize.height = target_side(&input);
  const bool whole = input.below(2) == 0;
  resize.window = whole ? Window{0, 0, resize.width, resize.height}
                        : Window{target_side(&input), target_side(&input), target_side(&input), target_side(&input)};
  resize.filter = static_cast<Filter>(input.below(kFilterCount + 1));
  resize.letterbox = input.below(2) == 1;
  Tensor tensor{};
  tensor.element = static_cast<Element>(input.below(kElementCount + 1));
  tensor.order = static_cast<Order>(input.below(kOrderCount + 1));
  for (std::size_t c = 0; c < 3; ++c) {
    tensor.multiply[c] = input.below(4) == 0 ? input.take<double>() : 1.0;
    tensor.add[c] = input.below(4) == 0 ? input.take<double>() : 0.0;
  }
  tensor.scale = input.below(4) == 0 ? input.take<double>() : 1.0;
  tensor.zero_point = input.below(4) == 0 ? input.take<std::int32_t>() : 0;
  const std::size_t chosen = input.below(kKernelCount);
  const float edges[] = {coordinate(&input, 700), coordinate(&input, 700), coordinate(&input, 700),
                         coordinate(&input, 700)};
  const bool full = input.below(2) == 0;
  const safelight::fuzz::Picture picture = safelight::fuzz::take_picture(&input);
  const bool turned = picture.view.rotation_degrees % 180 != 0;
  const auto width = static_cast<float>(turned ? picture.view.height_px : picture.view.width_px);
  const auto height = static_cast<float>(turned ? picture.view.width_px : picture.view.height_px);
  resize.crop = full ? Crop{0, 0, width, height} : Crop{edges[0], edges[1], edges[2], edges[3]};

  // A picture is no distance from itself, in every kernel.
  TileDifference apart{};
  static_cast<void>(set_kernel(kernel_info(chosen).name));
  if (tile_difference(picture.view, picture.view, &apart) == Status::kOk) {
    expect(apart.mean_256ths == 0 && apart.greatest == 0);
  }

  std::size_t needed = 0;
  if (prepare_scratch_bytes(picture.view, resize, &needed) != Status::kOk) {
    return 0;
  }
  constexpr std::size_t kMostBytes = std::size_t{1} << 24U;
  const std::size_t values = std::size_t{3} * resize.window.width * resize.window.height;
  if (needed > kMostBytes || values > kMostBytes) {
    return 0;
  }
  const std::size_t element = tensor.element == Element::kFloat32 ? sizeof(float) : 1;
  std::vector<std::uint8_t> scratch(needed);
  std::vector<float> first((values * element + sizeof(float) - 1) / sizeof(float), 0.0F);
  std::vector<float> second(first);
  tensor.length_bytes = values * element;
  set_kernel("scalar");
  tensor.data = first.data();
  const Status status = prepare(picture.view, resize, tensor, scratch.data(), needed);
  const Status forced = set_kernel(kernel_info(chosen).name);
  expect(forced == Status::kOk || forced == Status::kKernelUnavailable);
  tensor.data = second.data();
  expect(prepare(picture.view, resize, tensor, scratch.data(), needed) == status);
  expect(std::memcmp(first.data(), second.data(), tensor.length_bytes) == 0);
  expect(prepare(picture.view, resize, tensor, scratch.data(), needed - 1) != Status::kOk);
  return 0;
}
