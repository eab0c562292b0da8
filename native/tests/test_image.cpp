#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "safelight/image.h"

using namespace safelight::image;
using safelight::Status;
using Bytes = std::vector<std::uint8_t>;

namespace {

// Deterministic noise; every buffer is a heap block of exactly the stated length, so that AddressSanitizer sees
// a read of one byte too many.
class Noise {
 public:
  explicit Noise(std::uint32_t seed) : state_(seed * 2654435761U + 1) {}
  std::uint32_t below(std::uint32_t end) {
    state_ = state_ * 1664525U + 1013904223U;
    return (state_ >> 8U) % end;
  }
  Bytes bytes(std::size_t count) {
    Bytes all(count);
    for (std::uint8_t& byte : all) {
      byte = static_cast<std::uint8_t>(below(256));
    }
    return all;
  }

 private:
  std::uint32_t state_;
};

// A picture that owns its planes, each with `padding` bytes after every row but the last.
struct Picture {
  std::vector<Bytes> planes;
  PictureView view{};

  Picture(Format format, std::uint32_t width, std::uint32_t height, std::uint32_t seed, std::size_t padding = 0) {
    view.format = format;
    view.width_px = width;
    view.height_px = height;
    const std::size_t half_width = (width + 1) / 2;
    const std::size_t half_height = (height + 1) / 2;
    Noise noise(seed);
    const auto add = [&](std::size_t row_bytes, std::size_t rows) {
      const std::size_t stride = row_bytes + padding;
      planes.push_back(noise.bytes(stride * (rows - 1) + row_bytes));
      view.planes[planes.size() - 1] = {planes.back().data(), stride, planes.back().size()};
    };
    planes.reserve(3);
    switch (format) {
      case Format::kRgb:
      case Format::kBgr:
        add(std::size_t{3} * width, height);
        break;
      case Format::kRgba:
        add(std::size_t{4} * width, height);
        break;
      case Format::kGrey:
        add(width, height);
        break;
      case Format::kNv21:
      case Format::kNv12:
        add(width, height);
        add(2 * half_width, half_height);
        break;
      case Format::kI420:
        add(width, height);
        add(half_width, half_height);
        add(half_width, half_height);
        break;
      case Format::kYuyv:
        add(4 * half_width, height);
        break;
    }
  }
  Picture(const Picture&) = delete;
  Picture& operator=(const Picture&) = delete;
  Picture(Picture&&) = default;
  Picture& operator=(Picture&&) = default;
  ~Picture() = default;

  std::uint8_t& at(std::size_t plane, std::size_t row, std::size_t byte) {
    return planes[plane][row * view.planes[plane].stride_bytes + byte];
  }
};

std::uint32_t upright_width(const PictureView& view) {
  return view.rotation_degrees % 180 == 0 ? view.width_px : view.height_px;
}

std::uint32_t upright_height(const PictureView& view) {
  return view.rotation_degrees % 180 == 0 ? view.height_px : view.width_px;
}

Resize whole(const PictureView& view, std::uint32_t width, std::uint32_t height, Filter filter = Filter::kBilinear) {
  return {{0, 0, static_cast<float>(upright_width(view)), static_cast<float>(upright_height(view))},
          width,
          height,
          {0, 0, width, height},
          filter,
          false,
          {0, 0, 0}};
}

Tensor plain(void* data, std::size_t bytes) {
  return {data, bytes, Element::kUint8, Order::kRgb, {1, 1, 1}, {0, 0, 0}, 1.0, 0};
}

Bytes run(const PictureView& view, const Resize& resize, Order order = Order::kRgb) {
  std::size_t scratch_bytes = 0;
  REQUIRE(prepare_scratch_bytes(view, resize, &scratch_bytes) == Status::kOk);
  Bytes scratch(scratch_bytes, 0xA5);
  Bytes out(std::size_t{3} * resize.window.width * resize.window.height, 0x5A);
  Tensor tensor = plain(out.data(), out.size());
  tensor.order = order;
  REQUIRE(prepare(view, resize, tensor, scratch.data(), scratch.size()) == Status::kOk);
  return out;
}

Bytes run_warp(const PictureView& view, const Similarity& to_chip, std::uint32_t chip_px) {
  std::size_t scratch_bytes = 0;
  REQUIRE(warp_scratch_bytes(view, to_chip, chip_px, &scratch_bytes) == Status::kOk);
  Bytes scratch(scratch_bytes, 0xA5);
  Bytes out(std::size_t{3} * chip_px * chip_px, 0x5A);
  REQUIRE(warp_similarity(view, to_chip, chip_px, plain(out.data(), out.size()), scratch.data(), scratch.size()) ==
          Status::kOk);
  return out;
}

int furthest(const Bytes& left, const Bytes& right) {
  REQUIRE(left.size() == right.size());
  int most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    most = std::max(most, std::abs(int{left[i]} - int{right[i]}));
  }
  return most;
}

// The same picture as RGB of the same size, which is what resizing to its own size gives.
Picture as_rgb(const PictureView& view) {
  Picture rgb(Format::kRgb, upright_width(view), upright_height(view), 0);
  rgb.planes[0] = run(view, whole(view, upright_width(view), upright_height(view)));
  rgb.view.planes[0].data = rgb.planes[0].data();
  return rgb;
}

constexpr std::array<Format, kFormatCount> kFormats = {Format::kRgb,  Format::kBgr,  Format::kRgba, Format::kGrey,
                                                       Format::kNv21, Format::kNv12, Format::kI420, Format::kYuyv};
constexpr std::array<Filter, kFilterCount> kFilters = {Filter::kBilinear, Filter::kBox, Filter::kArea,
                                                       Filter::kBilinearPoint};

}  // namespace

TEST_CASE("a picture resized to its own size is itself") {
  for (const Filter filter : kFilters) {
    const Picture picture(Format::kRgb, 37, 23, 1);
    CHECK(run(picture.view, whole(picture.view, 37, 23, filter)) == picture.planes[0]);
  }
}

TEST_CASE("as RGB, a picture is what resizing it to its own size gives, whichever way it is turned") {
  for (const Format format : kFormats) {
    for (const std::uint32_t rotation : {0U, 90U, 180U, 270U}) {
      for (const auto& [width, height] : {std::pair{1U, 1U}, {2U, 7U}, {37U, 23U}, {5U, 130U}, {131U, 66U}}) {
        Picture picture(format, width, height, 3);
        picture.view.rotation_degrees = rotation;
        std::size_t scratch_bytes = 0;
        REQUIRE(to_rgb_scratch_bytes(picture.view, &scratch_bytes) == Status::kOk);
        Bytes scratch(scratch_bytes, 0xA5);
        Bytes rgb(std::size_t{3} * width * height, 0x5A);
        REQUIRE(to_rgb(picture.view, rgb.data(), rgb.size(), scratch.data(), scratch.size()) == Status::kOk);
        CHECK(rgb == as_rgb(picture.view).planes[0]);
      }
    }
  }
}

TEST_CASE("to_rgb refuses what does not fit and then writes nothing") {
  Picture picture(Format::kNv21, 8, 6, 1);
  std::size_t needed = 0;
  CHECK(to_rgb_scratch_bytes(picture.view, nullptr) == Status::kNullArgument);
  REQUIRE(to_rgb_scratch_bytes(picture.view, &needed) == Status::kOk);
  Bytes scratch(needed, 0);
  Bytes rgb(std::size_t{3} * 8 * 6, 0x5A);
  const Bytes untouched = rgb;
  CHECK(to_rgb(picture.view, nullptr, rgb.size(), scratch.data(), needed) == Status::kNullArgument);
  CHECK(to_rgb(picture.view, rgb.data(), rgb.size(), nullptr, needed) == Status::kNullArgument);
  CHECK(to_rgb(picture.view, rgb.data(), rgb.size() - 1, scratch.data(), needed) == Status::kBufferTooSmall);
  CHECK(to_rgb(picture.view, rgb.data(), rgb.size(), scratch.data(), needed - 1) == Status::kBufferTooSmall);
  CHECK(to_rgb(picture.view, scratch.data(), rgb.size(), scratch.data(), needed) == Status::kBadPicture);
  picture.view.rotation_degrees = 45;
  CHECK(to_rgb(picture.view, rgb.data(), rgb.size(), scratch.data(), needed) != Status::kOk);
  CHECK(rgb == untouched);
}

TEST_CASE("a flat picture stays flat at every size, up to the last bit") {
  for (const Filter filter : kFilters) {
    for (const std::uint32_t side : {1U, 2U, 3U, 64U, 257U, 1000U}) {
      Picture picture(Format::kGrey, side, 1001 - side, 1);
      std::fill(picture.planes[0].begin(), picture.planes[0].end(), std::uint8_t{255});
      const Bytes out = run(picture.view, whole(picture.view, 31, 17, filter));
      CHECK(std::all_of(out.begin(), out.end(), [](std::uint8_t byte) { return byte == 255; }));
    }
  }
}

TEST_CASE("the widest and the tallest picture become one pixel, in every kernel") {
  // More taps than fit the low parts of a sum: they wrap on purpose.
  for (const bool wide : {true, false}) {
    Picture picture(Format::kGrey, wide ? kMaxSidePx : 1, wide ? 1 : kMaxSidePx, 1);
    std::fill(picture.planes[0].begin(), picture.planes[0].end(), std::uint8_t{255});
    for (std::size_t i = 0; i < kKernelCount; ++i) {
      if (set_kernel(kernel_info(i).name) == Status::kOk) {
        for (const Filter filter : kFilters) {
          CHECK(run(picture.view, whole(picture.view, 1, 1, filter)) == Bytes{255, 255, 255});
        }
      }
    }
  }
  CHECK(set_kernel("auto") == Status::kOk);
}

TEST_CASE("area and box average whole blocks exactly") {
  for (const Filter filter : {Filter::kBox, Filter::kArea}) {
    Picture picture(Format::kGrey, 4, 4, 1);
    picture.planes[0] = {0, 4, 255, 255, 8, 4, 255, 255, 1, 1, 10, 20, 1, 1, 30, 40};
    picture.view.planes[0].data = picture.planes[0].data();
    const Bytes out = run(picture.view, whole(picture.view, 2, 2, filter));
    CHECK(Bytes{out[0], out[3], out[6], out[9]} == Bytes{4, 255, 1, 25});
  }
}

TEST_CASE("area weighs a part of a pixel by its part") {
  Picture picture(Format::kGrey, 3, 1, 1);
  picture.planes[0] = {0, 90, 255};
  picture.view.planes[0].data = picture.planes[0].data();
  const Bytes out = run(picture.view, whole(picture.view, 2, 1, Filter::kArea));
  CHECK(out[0] == 30);   // (0 + 90 / 2) / 1.5
  CHECK(out[3] == 200);  // (90 / 2 + 255) / 1.5
}

TEST_CASE("point bilinear takes the two pixels around the centre and no others") {
  Picture picture(Format::kGrey, 8, 1, 1);
  picture.planes[0] = {255, 10, 20, 255, 255, 30, 40, 255};
  picture.view.planes[0].data = picture.planes[0].data();
  const Bytes out = run(picture.view, whole(picture.view, 2, 1, Filter::kBilinearPoint));
  CHECK(out[0] == 15);
  CHECK(out[3] == 35);
}

TEST_CASE("formats of the same content give the same answer") {
  for (const std::uint32_t width : {1U, 2U, 5U, 33U, 70U}) {
    for (const std::uint32_t height : {1U, 2U, 7U, 34U}) {
      Picture rgb(Format::kRgb, width, height, width);
      Picture bgr(Format::kBgr, width, height, 0);
      Picture rgba(Format::kRgba, width, height, 5);
      for (std::size_t y = 0; y < height; ++y) {
        for (std::size_t x = 0; x < width; ++x) {
          for (std::size_t c = 0; c < 3; ++c) {
            bgr.at(0, y, 3 * x + 2 - c) = rgb.at(0, y, 3 * x + c);
            rgba.at(0, y, 4 * x + c) = rgb.at(0, y, 3 * x + c);
          }
        }
      }
      const Bytes expected = run(rgb.view, whole(rgb.view, 9, 11));
      CHECK(run(bgr.view, whole(bgr.view, 9, 11)) == expected);
      CHECK(run(rgba.view, whole(rgba.view, 9, 11)) == expected);

      Picture nv21(Format::kNv21, width, height, 8);
      Picture nv12(Format::kNv12, width, height, 9);
      Picture i420(Format::kI420, width, height, 10);
      Picture yuyv(Format::kYuyv, width, height, 11);
      nv12.planes[0] = i420.planes[0] = nv21.planes[0];
      nv12.view.planes[0].data = nv12.planes[0].data();
      i420.view.planes[0].data = i420.planes[0].data();
      for (std::size_t y = 0; y < (height + 1) / 2; ++y) {
        for (std::size_t x = 0; x < (width + 1) / 2; ++x) {
          const std::uint8_t v = nv21.at(1, y, 2 * x);
          const std::uint8_t u = nv21.at(1, y, 2 * x + 1);
          nv12.at(1, y, 2 * x) = i420.at(1, y, x) = u;
          nv12.at(1, y, 2 * x + 1) = i420.at(2, y, x) = v;
          for (std::size_t row = 2 * y; row < std::min<std::size_t>(2 * y + 2, height); ++row) {
            yuyv.at(0, row, 4 * x) = nv21.at(0, row, 2 * x);
            yuyv.at(0, row, 4 * x + 1) = u;
            yuyv.at(0, row, 4 * x + 3) = v;
            if (2 * x + 1 < width) {
              yuyv.at(0, row, 4 * x + 2) = nv21.at(0, row, 2 * x + 1);
            }
          }
        }
      }
      const Bytes yuv = run(nv21.view, whole(nv21.view, 9, 11));
      CHECK(run(nv12.view, whole(nv12.view, 9, 11)) == yuv);
      CHECK(run(i420.view, whole(i420.view, 9, 11)) == yuv);
      CHECK(run(yuyv.view, whole(yuyv.view, 9, 11)) == yuv);
    }
  }
}

TEST_CASE("every Y, U and V is within one step of the formula, in every kernel") {
  struct Case {
    Yuv yuv;
    double red, blue, luma_zero, luma_gain, chroma_gain;
  };
  const Case cases[] = {{Yuv::kBt601Full, 0.299, 0.114, 0, 1, 1},
                        {Yuv::kBt601Limited, 0.299, 0.114, 16, 255.0 / 219, 255.0 / 224},
                        {Yuv::kBt709Full, 0.2126, 0.0722, 0, 1, 1},
                        {Yuv::kBt709Limited, 0.2126, 0.0722, 16, 255.0 / 219, 255.0 / 224}};
  // Luma 0..255 along a row of pairs; chroma in steps down the rows.
  constexpr std::uint32_t kWidth = 512;
  constexpr std::uint32_t kSteps = 35;
  Picture picture(Format::kNv12, kWidth, 2 * kSteps * kSteps, 1);
  const auto level = [](std::size_t step) {
    return static_cast<std::uint8_t>(std::min<std::size_t>(255, step * 15 / 2));
  };
  for (std::size_t row = 0; row < 2 * kSteps * kSteps; ++row) {
    for (std::size_t x = 0; x < kWidth; ++x) {
      picture.at(0, row, x) = static_cast<std::uint8_t>(x / 2);
      picture.at(1, row / 2, x) = level(x % 2 == 0 ? row / 2 / kSteps : row / 2 % kSteps);
    }
  }
  for (const Case& one : cases) {
    picture.view.yuv = one.yuv;
    const Bytes out = run(picture.view, whole(picture.view, kWidth, 2 * kSteps * kSteps));
    double most = 0;
    for (std::size_t row = 0; row < 2 * kSteps * kSteps; ++row) {
      for (std::size_t x = 0; x < kWidth; ++x) {
        const double y = (picture.at(0, row, x) - one.luma_zero) * one.luma_gain;
        const double u = (picture.at(1, row / 2, x & ~std::size_t{1}) - 128) * one.chroma_gain;
        const double v = (picture.at(1, row / 2, x | 1U) - 128) * one.chroma_gain;
        const double green = 1 - one.red - one.blue;
        const double b = y + 2 * (1 - one.blue) * u;
        const double r = y + 2 * (1 - one.red) * v;
        const double g = y - (2 * one.blue * (1 - one.blue) * u + 2 * one.red * (1 - one.red) * v) / green;
        const double expected[3] = {r, g, b};
        for (std::size_t c = 0; c < 3; ++c) {
          most = std::max(most, std::fabs(out[3 * (row * kWidth + x) + c] - std::clamp(expected[c], 0.0, 255.0)));
        }
      }
    }
    CHECK(most < 0.7);  // half a step of rounding, the rest from 5 fractional bits
  }
}

TEST_CASE("a turned picture gives what the upright one gives, in every format and filter") {
  for (const Format format : kFormats) {
    for (const std::uint32_t rotation : {90U, 180U, 270U}) {
      Picture stored(format, 41, 26, rotation);
      stored.view.rotation_degrees = rotation;
      const Picture upright = as_rgb(stored.view);
      // Which pixel is where: spelled out once, for the corners.
      stored.view.rotation_degrees = 0;
      const Picture flat = as_rgb(stored.view);
      stored.view.rotation_degrees = rotation;
      const auto pixel = [](const Picture& picture, std::size_t x, std::size_t y) {
        const std::uint8_t* at = picture.planes[0].data() + 3 * (y * picture.view.width_px + x);
        return Bytes(at, at + 3);
      };
      CHECK(pixel(upright, 0, 0) == (rotation == 90    ? pixel(flat, 0, 25)
                                     : rotation == 180 ? pixel(flat, 40, 25)
                                                       : pixel(flat, 40, 0)));
      for (const Filter filter : kFilters) {
        Resize resize = whole(stored.view, 19, 40, filter);
        CHECK(run(stored.view, resize) == run(upright.view, resize));
        resize.crop = {3.5F, 2.25F, 20.0F, 17.0F};
        resize.window = {2, 5, 11, 30};
        CHECK(run(stored.view, resize) == run(upright.view, resize));
      }
      const Similarity to_chip = {0.4, 0.2, 1.0, -3.0};
      CHECK(run_warp(stored.view, to_chip, 20) == run_warp(upright.view, to_chip, 20));
    }
  }
}

TEST_CASE("a window is a piece of the whole, whichever direction is filtered first") {
  for (const std::uint32_t height : {50U, 400U}) {
    for (const Filter filter : kFilters) {
      const Picture picture(Format::kRgb, 90, height, height);
      const Bytes all = run(picture.view, whole(picture.view, 40, 30, filter));
      Resize resize = whole(picture.view, 40, 30, filter);
      resize.window = {7, 9, 21, 13};
      const Bytes piece = run(picture.view, resize);
      for (std::size_t y = 0; y < 13; ++y) {
        CHECK(std::equal(piece.begin() + static_cast<std::ptrdiff_t>(63 * y),
                         piece.begin() + static_cast<std::ptrdiff_t>(63 * y + 63),
                         all.begin() + static_cast<std::ptrdiff_t>(3 * ((y + 9) * 40 + 7))));
      }
    }
  }
}

TEST_CASE("what lies between the rows does not matter, however far apart they are") {
  for (const Format format : kFormats) {
    const Picture dense(format, 21, 15, 3);
    Picture padded(format, 21, 15, 4, 4096);
    for (std::size_t i = 0; i < dense.planes.size(); ++i) {
      const std::size_t row_bytes = dense.view.planes[i].stride_bytes;
      for (std::size_t row = 0; row * row_bytes < dense.planes[i].size(); ++row) {
        std::memcpy(&padded.at(i, row, 0), dense.planes[i].data() + row * row_bytes, row_bytes);
      }
    }
    CHECK(run(padded.view, whole(padded.view, 10, 12)) == run(dense.view, whole(dense.view, 10, 12)));
    CHECK(run_warp(padded.view, {1.5, 0.1, 2, 3}, 30) == run_warp(dense.view, {1.5, 0.1, 2, 3}, 30));
  }
}

TEST_CASE("every size from one pixel on, both ways, every format: no byte is read or written outside") {
  const std::uint32_t sizes[] = {1, 2, 3, 16, 17, 31, 64, 65};
  for (const Format format : kFormats) {
    for (const std::uint32_t width : sizes) {
      for (const std::uint32_t height : sizes) {
        Picture picture(format, width, height, width * 100 + height);
        for (const std::uint32_t rotation : {0U, 90U, 180U, 270U}) {
          picture.view.rotation_degrees = rotation;
          for (const Filter filter : kFilters) {
            CHECK(run(picture.view, whole(picture.view, 1, 1, filter)).size() == 3);
            CHECK(run(picture.view, whole(picture.view, 33, 7, filter)).size() == 693);
          }
          CHECK(run_warp(picture.view, {0.3, 0.9, -5, 4}, 16).size() == 768);
        }
      }
    }
  }
}

TEST_CASE("a crop as thin as single precision allows still gives a picture") {
  const Picture picture(Format::kRgb, 1000, 3, 1);
  for (const Filter filter : kFilters) {
    Resize resize = whole(picture.view, 5, 5, filter);
    resize.crop = {std::nextafter(1000.0F, 0.0F), 0, 1000, 3};
    CHECK(run(picture.view, resize).size() == 75);
    resize.crop = {0, 0, std::numeric_limits<float>::denorm_min(), 3};
    CHECK(run(picture.view, resize).size() == 75);
  }
}

TEST_CASE("every kernel gives the same bytes") {
  Noise noise(99);
  for (int round = 0; round < 200; ++round) {
    const Format format = kFormats.at(noise.below(kFormatCount));
    Picture picture(format, 1 + noise.below(150), 1 + noise.below(150), noise.below(1000), noise.below(5));
    picture.view.rotation_degrees = 90 * noise.below(4);
    picture.view.yuv = static_cast<Yuv>(noise.below(kYuvCount));
    const Resize resize =
        whole(picture.view, 1 + noise.below(90), 1 + noise.below(90), kFilters.at(noise.below(kFilterCount)));
    const Similarity to_chip = {0.05 + 0.01 * noise.below(200), 0.01 * noise.below(100), 0.1 * noise.below(300),
                                -0.1 * noise.below(300)};
    REQUIRE(set_kernel("scalar") == Status::kOk);
    const Bytes expected = run(picture.view, resize);
    const Bytes expected_chip = run_warp(picture.view, to_chip, 24);
    for (std::size_t i = 0; i < kKernelCount; ++i) {
      if (kernel_info(i).available) {
        REQUIRE(set_kernel(kernel_info(i).name) == Status::kOk);
        CHECK(run(picture.view, resize) == expected);
        CHECK(run_warp(picture.view, to_chip, 24) == expected_chip);
      }
    }
  }
  CHECK(set_kernel("auto") == Status::kOk);
}

TEST_CASE("kernels can be named, forced and refused; none is chosen silently") {
  const std::string automatic = kernel_in_use();
#if defined(__aarch64__)
  CHECK(automatic == "neon");
#elif defined(__x86_64__)
  CHECK(kernel_info(1).available);
  CHECK(automatic != "scalar");
#endif
  MESSAGE("kernel in use: " << automatic);
  for (std::size_t i = 0; i < kKernelCount; ++i) {
    const KernelInfo info = kernel_info(i);
    CHECK(set_kernel(info.name) == (info.available ? Status::kOk : Status::kKernelUnavailable));
    CHECK(!info.available == (std::string(kernel_in_use()) != info.name));
  }
  CHECK(set_kernel("mmx") == Status::kUnknownWord);
  CHECK(set_kernel(nullptr) == Status::kNullArgument);
  CHECK(set_kernel("auto") == Status::kOk);
  CHECK(kernel_in_use() == automatic);
  CHECK(kernel_info(kKernelCount).name == nullptr);
}

TEST_CASE("quantised and float tensors") {
  Picture picture(Format::kGrey, 256, 1, 1);
  for (std::size_t x = 0; x < 256; ++x) {
    picture.at(0, 0, x) = static_cast<std::uint8_t>(x);
  }
  const Resize resize = whole(picture.view, 256, 1);
  std::size_t scratch_bytes = 0;
  REQUIRE(prepare_scratch_bytes(picture.view, resize, &scratch_bytes) == Status::kOk);
  Bytes scratch(scratch_bytes);

  std::vector<float> floats(768);
  Tensor tensor = {floats.data(),
                   768 * sizeof(float),
                   Element::kFloat32,
                   Order::kRgb,
                   {1 / 127.5, 1, 0},
                   {-1.0, -104.0, 7.0},
                   0.0,
                   0};
  REQUIRE(prepare(picture.view, resize, tensor, scratch.data(), scratch.size()) == Status::kOk);
  CHECK(floats[0] == -1.0F);
  CHECK(floats[3 * 255] == 1.0F);
  CHECK(floats[1] == -104.0F);
  CHECK(floats[3 * 100 + 1] == -4.0F);
  CHECK(floats[2] == 7.0F);

  std::vector<std::int8_t> steps(768);
  tensor = {steps.data(), 768, Element::kInt8, Order::kRgb, {1, 1, 1}, {0, 0, -5}, 2.0, -128};
  REQUIRE(prepare(picture.view, resize, tensor, scratch.data(), scratch.size()) == Status::kOk);
  CHECK(steps[3 * 3] == -126);      // 1.5 rounds away from zero
  CHECK(steps[3 * 255] == 0);       // 127.5 → 128 - 128
  CHECK(steps[2] == -128);          // below the type: clamped
  CHECK(steps[3 * 255 + 2] == -3);  // 125 - 128

  Bytes bytes(768);
  tensor = {bytes.data(), 768, Element::kUint8, Order::kRgb, {1, 1, 100}, {0, -3, 0}, 2.0, 3};
  REQUIRE(prepare(picture.view, resize, tensor, scratch.data(), scratch.size()) == Status::kOk);
  CHECK(bytes[0] == 3);
  CHECK(bytes[1] == 1);              // -1.5 rounds away from zero
  CHECK(bytes[3 * 255 + 2] == 255);  // above the type: clamped
}

TEST_CASE("colour order: blue first in, blue first out") {
  const Picture picture(Format::kBgr, 9, 9, 1);
  CHECK(run(picture.view, whole(picture.view, 9, 9), Order::kBgr) == picture.planes[0]);
}

TEST_CASE("a letterbox keeps the aspect, centres, and pads with its colour") {
  for (const Format format : {Format::kRgb, Format::kBgr}) {
    const Picture picture(format, 40, 20, 1);
    Resize resize = whole(picture.view, 16, 16);
    resize.letterbox = true;
    resize.pad_rgb[0] = 9;
    resize.pad_rgb[2] = 200;
    const Bytes out = run(picture.view, resize);
    const Bytes inner = run(picture.view, whole(picture.view, 16, 8));
    CHECK(std::equal(inner.begin(), inner.end(), out.begin() + 48 * 4));
    CHECK(Bytes(out.begin(), out.begin() + 3) == Bytes{9, 0, 200});
    CHECK(Bytes(out.end() - 3, out.end()) == Bytes{9, 0, 200});

    resize.window = {3, 2, 10, 3};  // two rows of padding, one of picture
    const Bytes piece = run(picture.view, resize);
    CHECK(Bytes(piece.begin(), piece.begin() + 3) == Bytes{9, 0, 200});
    CHECK(std::equal(piece.begin() + 60, piece.end(), inner.begin() + 9));
    resize.window = {3, 0, 10, 3};  // nothing but padding
    CHECK(run(picture.view, resize)[60] == 9);
  }
  Window window{};
  CHECK(letterbox_window(1000, 3, 128, 64, &window) == Status::kOk);
  CHECK(window.width == 128);
  CHECK(window.height == 1);
  CHECK(window.top == 31);
  CHECK(letterbox_window(3, 4, 128, 128, &window) == Status::kOk);
  CHECK(window.left == 16);
  CHECK(window.width == 96);
  CHECK(window.height == 128);
  CHECK(letterbox_window(0, 4, 128, 128, &window) == Status::kOutOfRange);
  CHECK(letterbox_window(std::nan(""), 4, 128, 128, &window) == Status::kOutOfRange);
  CHECK(letterbox_window(1, 4, 0, 128, &window) == Status::kOutOfRange);
  CHECK(letterbox_window(1, 4, 4, 4, nullptr) == Status::kNullArgument);
}

TEST_CASE("a similarity through landmarks is found again") {
  const Similarity truth = {0.8, -0.3, 12.5, -7.0};
  const Point source[] = {{10, 20}, {30, 22}, {21, 35}, {22, 44}, {5, 5}};
  Point target[5];
  for (std::size_t i = 0; i < 5; ++i) {
    target[i] = {truth.a * source[i].x - truth.b * source[i].y + truth.tx,
                 truth.b * source[i].x + truth.a * source[i].y + truth.ty};
  }
  Similarity found{};
  REQUIRE(fit_similarity(source, target, 5, &found) == Status::kOk);
  CHECK(found.a == doctest::Approx(truth.a));
  CHECK(found.b == doctest::Approx(truth.b));
  CHECK(found.tx == doctest::Approx(truth.tx));
  CHECK(found.ty == doctest::Approx(truth.ty));

  const Point one_place[] = {{3, 3}, {3, 3}};
  CHECK(fit_similarity(one_place, target, 2, &found) == Status::kOutOfRange);
  CHECK(fit_similarity(source, one_place, 2, &found) == Status::kOutOfRange);
  CHECK(fit_similarity(source, target, 1, &found) == Status::kOutOfRange);
  CHECK(fit_similarity(source, target, kMaxLandmarks + 1, &found) == Status::kOutOfRange);
  CHECK(fit_similarity(nullptr, target, 2, &found) == Status::kNullArgument);
  const Point far_away[] = {{std::nan(""), 0}, {1e300, 1}};
  CHECK(fit_similarity(far_away, target, 2, &found) == Status::kOutOfRange);
}

TEST_CASE("a chip at scale one is a piece of the picture; outside, the border repeats") {
  const Picture picture(Format::kRgb, 30, 20, 1);
  const auto pixel = [&](std::size_t x, std::size_t y) {
    const std::uint8_t* at = picture.planes[0].data() + 3 * (y * 30 + x);
    return Bytes(at, at + 3);
  };
  const Bytes chip = run_warp(picture.view, {1, 0, -25, -4}, 16);  // x 25..40, y 4..19
  CHECK(Bytes(chip.begin(), chip.begin() + 3) == pixel(25, 4));
  CHECK(Bytes(chip.begin() + 12, chip.begin() + 15) == pixel(29, 4));
  CHECK(Bytes(chip.begin() + 45, chip.begin() + 48) == pixel(29, 4));
  CHECK(Bytes(chip.end() - 3, chip.end()) == pixel(29, 19));
  // A half turn: the chip's first pixel is the picture's last.
  const Bytes turned = run_warp(picture.view, {-1, 0, 30, 20}, 20);
  CHECK(Bytes(turned.begin(), turned.begin() + 3) == pixel(29, 19));
  // Nowhere near the picture.
  const Bytes corner = run_warp(picture.view, {1, 0, 5000, 5000}, 4);
  CHECK(Bytes(corner.begin(), corner.begin() + 3) == pixel(0, 0));
}

TEST_CASE("a chip that is much smaller than the face averages: a fine checkerboard becomes grey") {
  Picture picture(Format::kGrey, 256, 256, 1);
  for (std::size_t y = 0; y < 256; ++y) {
    for (std::size_t x = 0; x < 256; ++x) {
      picture.at(0, y, x) = (x + y) % 2 == 0 ? 0 : 255;
    }
  }
  for (const double turn : {0.0, 0.5, 1.0}) {
    const Bytes chip = run_warp(picture.view, {std::cos(turn) / 4, std::sin(turn) / 4, 16, 0}, 32);
    CHECK(furthest(chip, Bytes(chip.size(), 128)) <= 1);
  }
}

TEST_CASE("misuse is a status, and the tensor stays as it was") {
  Picture good(Format::kNv21, 8, 6, 1);
  const Resize resize = whole(good.view, 4, 4);
  Bytes scratch(1U << 20U);
  Bytes out(48, 0x77);
  const Tensor tensor = plain(out.data(), out.size());
  const auto status_of = [&](const PictureView& view, const Resize& how, const Tensor& where) {
    const Status status = prepare(view, how, where, scratch.data(), scratch.size());
    CHECK(std::all_of(out.begin(), out.end(), [](std::uint8_t byte) { return byte == 0x77; }));
    return status;
  };

  SUBCASE("pictures") {
    const auto with = [&](auto change) {
      PictureView view = good.view;
      change(view);
      Bytes chip(48);
      std::size_t bytes = 0;
      CHECK(warp_scratch_bytes(view, {1, 0, 0, 0}, 4, &bytes) == prepare_scratch_bytes(view, resize, &bytes));
      return status_of(view, resize, tensor);
    };
    CHECK(with([](PictureView& v) { v.format = static_cast<Format>(kFormatCount); }) == Status::kUnknownWord);
    CHECK(with([](PictureView& v) { v.yuv = static_cast<Yuv>(kYuvCount); }) == Status::kUnknownWord);
    CHECK(with([](PictureView& v) { v.rotation_degrees = 45; }) == Status::kOutOfRange);
    CHECK(with([](PictureView& v) { v.rotation_degrees = 360; }) == Status::kOutOfRange);
    CHECK(with([](PictureView& v) { v.width_px = 0; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.height_px = kMaxSidePx + 1; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[1].data = nullptr; }) == Status::kNullArgument);
    CHECK(with([](PictureView& v) { v.planes[0].stride_bytes = 7; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[0].stride_bytes = 9; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[0].length_bytes -= 1; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[1].length_bytes -= 1; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[1].stride_bytes = SIZE_MAX; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.planes[1].length_bytes = SIZE_MAX; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.width_px = 9; }) == Status::kBadPicture);
    CHECK(with([](PictureView& v) { v.height_px = 7; }) == Status::kBadPicture);
  }
  SUBCASE("geometry") {
    const auto with = [&](auto change) {
      Resize how = resize;
      change(how);
      return status_of(good.view, how, tensor);
    };
    CHECK(with([](Resize& r) { r.width = 0; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.height = kMaxTargetPx + 1; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.window.width = 0; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.window.left = 1; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.window.top = UINT32_MAX; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.window.height = 5; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.crop.left = -0.1F; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.crop.right = 8.1F; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.crop.bottom = 0; }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.crop.top = std::nanf(""); }) == Status::kOutOfRange);
    CHECK(with([](Resize& r) { r.filter = static_cast<Filter>(kFilterCount); }) == Status::kUnknownWord);
  }
  SUBCASE("tensors and scratch") {
    const auto with = [&](auto change) {
      Tensor where = tensor;
      change(where);
      return status_of(good.view, resize, where);
    };
    CHECK(with([](Tensor& t) { t.data = nullptr; }) == Status::kNullArgument);
    CHECK(with([](Tensor& t) { t.length_bytes -= 1; }) == Status::kBufferTooSmall);
    CHECK(with([](Tensor& t) { t.element = Element::kFloat32; }) == Status::kBufferTooSmall);
    CHECK(with([](Tensor& t) { t.element = static_cast<Element>(kElementCount); }) == Status::kUnknownWord);
    CHECK(with([](Tensor& t) { t.order = static_cast<Order>(kOrderCount); }) == Status::kUnknownWord);
    CHECK(with([](Tensor& t) { t.scale = 0; }) == Status::kOutOfRange);
    CHECK(with([](Tensor& t) { t.scale = std::nan(""); }) == Status::kOutOfRange);
    CHECK(with([](Tensor& t) { t.multiply[1] = std::nan(""); }) == Status::kOutOfRange);
    CHECK(with([](Tensor& t) { t.zero_point = 256; }) == Status::kOutOfRange);
    CHECK(with([&](Tensor& t) { t.data = good.planes[0].data(); }) == Status::kBadPicture);
    CHECK(with([&](Tensor& t) { t.data = scratch.data() + scratch.size() - 48; }) == Status::kBadPicture);
    std::vector<float> floats(49);
    CHECK(with([&](Tensor& t) {
            t = {reinterpret_cast<std::uint8_t*>(floats.data()) + 1,
                 48 * sizeof(float),
                 Element::kFloat32,
                 Order::kRgb,
                 {1, 1, 1},
                 {0, 0, 0},
                 1,
                 0};
          }) == Status::kOutOfRange);
    std::size_t bytes = 0;
    CHECK(prepare_scratch_bytes(good.view, resize, nullptr) == Status::kNullArgument);
    CHECK(prepare_scratch_bytes(good.view, resize, &bytes) == Status::kOk);
    CHECK(prepare(good.view, resize, tensor, nullptr, bytes) == Status::kNullArgument);
    CHECK(prepare(good.view, resize, tensor, scratch.data(), bytes - 1) == Status::kBufferTooSmall);
  }
  SUBCASE("chips") {
    const auto with = [&](const Similarity& to_chip, std::uint32_t chip_px) {
      return warp_similarity(good.view, to_chip, chip_px, tensor, scratch.data(), scratch.size());
    };
    CHECK(with({0, 0, 0, 0}, 4) == Status::kOutOfRange);
    CHECK(with({std::nan(""), 0, 0, 0}, 4) == Status::kOutOfRange);
    CHECK(with({1, 0, 1e300, 0}, 4) == Status::kOutOfRange);
    CHECK(with({1e5, 0, 0, 0}, 4) == Status::kOutOfRange);
    CHECK(with({1, 0, 0, 0}, 0) == Status::kOutOfRange);
    CHECK(with({1, 0, 0, 0}, kMaxChipPx + 1) == Status::kOutOfRange);
    CHECK(with({1, 0, 0, 0}, 5) == Status::kBufferTooSmall);
    CHECK(warp_scratch_bytes(good.view, {1, 0, 0, 0}, 4, nullptr) == Status::kNullArgument);
    CHECK(warp_similarity(good.view, {1, 0, 0, 0}, 4, tensor, scratch.data(), 1) == Status::kBufferTooSmall);
  }
}

TEST_CASE("the largest scratch is that of the narrow answer, not of the picture") {
  // 12 megapixels to 224: less than one byte for ten of the source.
  const Picture picture(Format::kGrey, 4000, 3000, 1);
  for (const std::uint32_t rotation : {0U, 90U}) {
    PictureView view = picture.view;
    view.rotation_degrees = rotation;
    std::size_t bytes = 0;
    REQUIRE(prepare_scratch_bytes(view, whole(view, 224, 224), &bytes) == Status::kOk);
    CHECK(bytes < picture.planes[0].size() / 10);
  }
}

namespace {

constexpr Format kEveryFormat[] = {Format::kRgb,  Format::kBgr,  Format::kRgba, Format::kGrey,
                                   Format::kNv21, Format::kNv12, Format::kI420, Format::kYuyv};

TileDifference difference_of(const PictureView& one, const PictureView& other) {
  TileDifference difference{77, 77};
  REQUIRE(tile_difference(one, other, &difference) == Status::kOk);
  return difference;
}

}  // namespace

TEST_CASE("a picture is no distance from itself, whatever lies between its rows") {
  for (const Format format : kEveryFormat) {
    const Picture one(format, 37, 21, 5);
    Picture other(format, 37, 21, 6, 11);
    for (std::size_t plane = 0; plane < one.planes.size(); ++plane) {
      const std::size_t stride = one.view.planes[plane].stride_bytes;
      for (std::size_t i = 0; i < one.planes[plane].size(); ++i) {
        other.at(plane, i / stride, i % stride) = one.planes[plane][i];
      }
    }
    CHECK(difference_of(one.view, other.view).mean_256ths == 0);
    CHECK(difference_of(one.view, other.view).greatest == 0);
  }
}

TEST_CASE("any sample that changes is seen, wherever it is, in every format, size and kernel") {
  for (std::size_t k = 0; k < kKernelCount; ++k) {
    if (!kernel_info(k).available) {
      continue;
    }
    REQUIRE(set_kernel(kernel_info(k).name) == Status::kOk);
    for (const Format format : kEveryFormat) {
      for (const std::uint32_t width : {1U, 7U, 8U, 17U, 300U}) {
        const Picture one(format, width, 11, 9);
        for (std::size_t plane = 0; plane < one.planes.size(); ++plane) {
          for (std::size_t i = 0; i < one.planes[plane].size(); ++i) {
            Picture other(format, width, 11, 9);
            other.planes[plane][i] ^= 0x80;
            const TileDifference found = difference_of(one.view, other.view);
            CHECK(found.greatest % 128 == 0);
            CHECK(found.greatest >= 128);
            CHECK(found.mean_256ths > 0);
          }
        }
      }
    }
  }
  REQUIRE(set_kernel("auto") == Status::kOk);
}

TEST_CASE("the mean is the worst tile's, rounded up, and chroma counts twice") {
  const auto flat = [](Format format, std::uint32_t width, std::uint32_t height) {
    Picture picture(format, width, height, 1);
    for (Bytes& plane : picture.planes) {
      std::fill(plane.begin(), plane.end(), std::uint8_t{100});
    }
    return picture;
  };
  Picture grey = flat(Format::kGrey, 64, 64);
  grey.at(0, 9, 10) = 101;  // one of 64 samples by one level
  CHECK(difference_of(flat(Format::kGrey, 64, 64).view, grey.view).mean_256ths == 4);
  grey.at(0, 9, 11) = 90;  // the same tile: 11 levels of 64 samples
  grey.at(0, 40, 40) = 107;
  CHECK(difference_of(flat(Format::kGrey, 64, 64).view, grey.view).mean_256ths == 44);
  CHECK(difference_of(flat(Format::kGrey, 64, 64).view, grey.view).greatest == 10);

  Picture edge = flat(Format::kGrey, 9, 9);  // its last tile has one sample
  edge.at(0, 8, 8) = 103;
  CHECK(difference_of(flat(Format::kGrey, 9, 9).view, edge.view).mean_256ths == 3 * 256);

  Picture rgb = flat(Format::kRgb, 8, 8);  // 192 samples: rounded up from 1.33
  rgb.at(0, 0, 0) = 101;
  CHECK(difference_of(flat(Format::kRgb, 8, 8).view, rgb.view).mean_256ths == 2);

  Picture pairs = flat(Format::kYuyv, 8, 8);
  pairs.at(0, 0, 2) = 101;  // luma
  CHECK(difference_of(flat(Format::kYuyv, 8, 8).view, pairs.view).mean_256ths == 4);
  CHECK(difference_of(flat(Format::kYuyv, 8, 8).view, pairs.view).greatest == 1);
  pairs.at(0, 7, 1) = 101;  // chroma
  CHECK(difference_of(flat(Format::kYuyv, 8, 8).view, pairs.view).mean_256ths == 8);
  CHECK(difference_of(flat(Format::kYuyv, 8, 8).view, pairs.view).greatest == 2);

  Picture alpha = flat(Format::kRgba, 8, 8);
  alpha.at(0, 3, 7) = 101;
  CHECK(difference_of(flat(Format::kRgba, 8, 8).view, alpha.view).mean_256ths == 4);
}

TEST_CASE("pictures that are not alike have no difference") {
  const Picture one(Format::kNv21, 16, 16, 1);
  TileDifference difference{};
  CHECK(tile_difference(one.view, one.view, nullptr) == Status::kNullArgument);
  const auto with = [&](auto change) {
    PictureView other = one.view;
    change(other);
    return tile_difference(one.view, other, &difference);
  };
  CHECK(with([](PictureView& v) { v.format = Format::kNv12; }) == Status::kOutOfRange);
  CHECK(with([](PictureView& v) { v.yuv = Yuv::kBt601Limited; }) == Status::kOutOfRange);
  CHECK(with([](PictureView& v) { v.rotation_degrees = 90; }) == Status::kOutOfRange);
  CHECK(with([](PictureView& v) { v.height_px = 15; }) == Status::kOutOfRange);
  CHECK(with([](PictureView& v) { v.width_px = 0; }) == Status::kBadPicture);
  CHECK(with([](PictureView& v) { v.planes[1].length_bytes -= 1; }) == Status::kBadPicture);
  CHECK(with([](PictureView& v) { v.planes[0].data = nullptr; }) == Status::kNullArgument);
}
