// A picture of a fuzzer's making: any sizes and strides, planes of exactly the stated length.
#pragma once

#include <cstdint>
#include <vector>

#include "input.h"
#include "safelight/image.h"

namespace safelight::fuzz {

struct Picture {
  image::PictureView view{};
  std::vector<std::uint8_t> planes[3];
};

// Half of the pictures have planes as long as their sizes ask for, so that most of those are valid.
inline Picture take_picture(Input* input) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20U;
  Picture picture;
  picture.view.format = static_cast<image::Format>(input->below(image::kFormatCount + 1));
  picture.view.yuv = static_cast<image::Yuv>(input->below(image::kYuvCount + 1));
  const std::size_t turn = input->below(8);
  picture.view.rotation_degrees = static_cast<std::uint32_t>(turn < 4 ? turn * 90 : input->take<std::uint16_t>());
  const std::size_t how = input->below(16);
  const auto side = [&] {
    if (how == 0) {
      return input->take<std::uint32_t>();
    }
    // Small ones are as telling, and many more of them are seen.
    return static_cast<std::uint32_t>(input->below(8) == 0 ? input->below(700) : input->below(140));
  };
  picture.view.width_px = side();
  picture.view.height_px = side();
  const bool fitting = how % 2 == 1;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t padding = input->below(4) == 0 ? input->below(100) : 0;
    const std::size_t stride =
        fitting ? std::size_t{4} * picture.view.width_px + padding : input->take<std::uint16_t>();
    const std::size_t wanted = fitting ? stride * picture.view.height_px : input->below(5'000);
    picture.planes[i] = input->repeated(std::min(wanted, kMostBytes));
    picture.view.planes[i] = {picture.planes[i].data(), stride, picture.planes[i].size()};
  }
  return picture;
}

}  // namespace safelight::fuzz
