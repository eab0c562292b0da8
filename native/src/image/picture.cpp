#include "picture.h"

#include <cstring>

namespace safelight::image {
namespace {

constexpr std::size_t kMaxPlanes = 3;

// ITU-R BT.601-7 and BT.709-6: red and blue shares of luma; limited range keeps Y in 16..235, C in 16..240.
YuvWeights yuv_weights(Yuv yuv) noexcept {
  const bool bt709 = yuv == Yuv::kBt709Full || yuv == Yuv::kBt709Limited;
  const bool limited = yuv == Yuv::kBt601Limited || yuv == Yuv::kBt709Limited;
  const double red = bt709 ? 0.2126 : 0.299;
  const double blue = bt709 ? 0.0722 : 0.114;
  const double green = 1.0 - red - blue;
  const double luma_gain = limited ? 255.0 / 219.0 : 1.0;
  const double chroma_gain = limited ? 255.0 / 224.0 : 1.0;
  const auto fixed = [](double value, double one) {
    return static_cast<std::int16_t>(value * one + (value < 0 ? -0.5 : 0.5));
  };
  constexpr double kLumaOne = 16384;   // luma << 7, high half: 7 + 14 - 16 = 5 fractional bits
  constexpr double kChromaOne = 8192;  // chroma << 8, high half: 8 + 13 - 16 = 5 fractional bits
  return {static_cast<std::int16_t>(limited ? 16 : 0),
          fixed(luma_gain, kLumaOne),
          fixed(chroma_gain * 2 * (1 - red), kChromaOne),
          fixed(-chroma_gain * 2 * blue * (1 - blue) / green, kChromaOne),
          fixed(-chroma_gain * 2 * red * (1 - red) / green, kChromaOne),
          fixed(chroma_gain * 2 * (1 - blue), kChromaOne)};
}

}  // namespace

PlaneSize plane_size(const PictureView& picture, std::size_t plane) noexcept {
  const std::size_t width = picture.width_px;
  const std::size_t height = picture.height_px;
  const std::size_t half_width = (width + 1) / 2;
  const std::size_t half_height = (height + 1) / 2;
  switch (picture.format) {
    case Format::kRgb:
    case Format::kBgr:
      return {3 * width, height};
    case Format::kRgba:
      return {4 * width, height};
    case Format::kGrey:
      return {width, height};
    case Format::kNv21:
    case Format::kNv12:
      return plane == 0 ? PlaneSize{width, height} : PlaneSize{2 * half_width, half_height};
    case Format::kI420:
      return plane == 0 ? PlaneSize{width, height} : PlaneSize{half_width, half_height};
    case Format::kYuyv:
      return {4 * half_width, height};
  }
  return {0, 0};
}

std::size_t plane_count(Format format) noexcept {
  switch (format) {
    case Format::kRgb:
    case Format::kBgr:
    case Format::kRgba:
    case Format::kGrey:
    case Format::kYuyv:
      return 1;
    case Format::kNv21:
    case Format::kNv12:
      return 2;
    case Format::kI420:
      return kMaxPlanes;
  }
  return 0;
}

Status check_picture(const PictureView& picture) noexcept {
  if (static_cast<std::size_t>(picture.format) >= kFormatCount || static_cast<std::size_t>(picture.yuv) >= kYuvCount) {
    return Status::kUnknownWord;
  }
  if (picture.rotation_degrees % 90 != 0 || picture.rotation_degrees >= 360) {
    return Status::kOutOfRange;
  }
  if (picture.width_px == 0 || picture.height_px == 0 || picture.width_px > kMaxSidePx ||
      picture.height_px > kMaxSidePx) {
    return Status::kBadPicture;
  }
  for (std::size_t i = 0; i < plane_count(picture.format); ++i) {
    const Plane& plane = picture.planes[i];
    const PlaneSize size = plane_size(picture, i);
    if (plane.data == nullptr) {
      return Status::kNullArgument;
    }
    // Written so that no product can overflow.
    const bool holds_rows =
        plane.length_bytes >= size.row_bytes &&
        (size.rows == 1 || (plane.length_bytes - size.row_bytes) / (size.rows - 1) >= plane.stride_bytes);
    if (plane.stride_bytes < size.row_bytes || !holds_rows ||
        plane.length_bytes > UINTPTR_MAX - reinterpret_cast<std::uintptr_t>(plane.data)) {
      return Status::kBadPicture;
    }
  }
  return Status::kOk;
}

bool overlap(const void* first, std::size_t first_bytes, const void* second, std::size_t second_bytes) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(first);
  const auto b = reinterpret_cast<std::uintptr_t>(second);
  return a < b ? b - a < first_bytes : a - b < second_bytes;
}

bool overlaps_picture(const PictureView& picture, const void* first, std::size_t first_bytes) noexcept {
  for (std::size_t i = 0; i < plane_count(picture.format); ++i) {
    if (overlap(first, first_bytes, picture.planes[i].data, picture.planes[i].length_bytes)) {
      return true;
    }
  }
  return false;
}

Upright upright(const PictureView& picture) noexcept {
  const bool transposed = picture.rotation_degrees % 180 != 0;
  return {transposed ? picture.height_px : picture.width_px, transposed ? picture.width_px : picture.height_px,
          transposed, picture.rotation_degrees == 90 || picture.rotation_degrees == 180,
          picture.rotation_degrees == 180 || picture.rotation_degrees == 270};
}

RowReader::RowReader(const PictureView& picture, std::uint32_t begin, std::uint32_t end) noexcept
    : picture_(picture), begin_(begin & ~1U), end_(end) {}

void RowReader::lay_out(Scratch& scratch) noexcept {
  const std::size_t pairs = (count() + 1) / 2;
  if (picture_.format == Format::kYuyv) {
    luma_ = scratch.take<std::uint8_t>(2 * pairs);
  }
  if (picture_.format == Format::kYuyv || picture_.format == Format::kI420) {
    chroma_ = scratch.take<std::uint8_t>(2 * pairs);
  }
}

void RowReader::start(const Kernels& kernels) noexcept {
  kernels_ = &kernels;
  yuv_ = yuv_weights(picture_.yuv);
}

const std::uint8_t* RowReader::row_of(std::size_t plane, std::size_t row) const noexcept {
  return picture_.planes[plane].data + row * picture_.planes[plane].stride_bytes;
}

void RowReader::read(std::uint32_t row, std::uint8_t* rgbx) noexcept {
  const std::size_t begin = begin_;
  const std::uint8_t* first = row_of(0, row);
  switch (picture_.format) {
    case Format::kRgb:
    case Format::kBgr:
      kernels_->expand_rgb(first + 3 * begin, count(), rgbx);
      break;
    case Format::kRgba:
      std::memcpy(rgbx, first + 4 * begin, 4 * count());
      break;
    case Format::kGrey:
      for (std::size_t i = 0; i < count(); ++i) {
        std::memset(rgbx + kPixelBytes * i, first[begin + i], kPixelBytes);
      }
      break;
    case Format::kNv21:
    case Format::kNv12:
      kernels_->expand_yuv(first + begin, row_of(1, row / 2) + begin, picture_.format == Format::kNv21, yuv_, count(),
                           rgbx);
      break;
    case Format::kI420: {
      const std::uint8_t* u = row_of(1, row / 2) + begin / 2;
      const std::uint8_t* v = row_of(2, row / 2) + begin / 2;
      for (std::size_t i = 0; i < (count() + 1) / 2; ++i) {
        chroma_[2 * i] = u[i];
        chroma_[2 * i + 1] = v[i];
      }
      kernels_->expand_yuv(first + begin, chroma_, false, yuv_, count(), rgbx);
      break;
    }
    case Format::kYuyv: {
      const std::uint8_t* pairs = first + 2 * begin;
      for (std::size_t i = 0; i < count() + count() % 2; ++i) {
        luma_[i] = pairs[2 * i];
        chroma_[i] = pairs[2 * i + 1];
      }
      kernels_->expand_yuv(luma_, chroma_, false, yuv_, count(), rgbx);
      break;
    }
  }
}

}  // namespace safelight::image
