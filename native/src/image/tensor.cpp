#include "tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "picture.h"

namespace safelight::image {

std::size_t element_bytes(Element element) noexcept { return element == Element::kFloat32 ? sizeof(float) : 1; }

Status check_tensor(const Tensor& tensor, std::uint32_t width, std::uint32_t height) noexcept {
  if (static_cast<std::size_t>(tensor.element) >= kElementCount ||
      static_cast<std::size_t>(tensor.order) >= kOrderCount) {
    return Status::kUnknownWord;
  }
  if (tensor.data == nullptr) {
    return Status::kNullArgument;
  }
  const std::size_t bytes = element_bytes(tensor.element);
  if (tensor.length_bytes / bytes / 3 / width < height) {
    return Status::kBufferTooSmall;
  }
  for (std::size_t c = 0; c < 3; ++c) {
    if (!std::isfinite(tensor.multiply[c]) || !std::isfinite(tensor.add[c])) {
      return Status::kOutOfRange;
    }
  }
  const bool quantised = tensor.element != Element::kFloat32;
  if (quantised &&
      (!(tensor.scale > 0) || !std::isfinite(tensor.scale) || tensor.zero_point < -128 || tensor.zero_point > 255)) {
    return Status::kOutOfRange;
  }
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % bytes != 0) {
    return Status::kOutOfRange;
  }
  return Status::kOk;
}

Status check_scratch(const PictureView& picture, const Tensor& tensor, const void* scratch, std::size_t scratch_bytes,
                     std::size_t needed_bytes) noexcept {
  if (scratch == nullptr) {
    return Status::kNullArgument;
  }
  if (scratch_bytes < needed_bytes) {
    return Status::kBufferTooSmall;
  }
  const bool shared = overlap(scratch, scratch_bytes, tensor.data, tensor.length_bytes) ||
                      overlaps_picture(picture, scratch, scratch_bytes) ||
                      overlaps_picture(picture, tensor.data, tensor.length_bytes);
  return shared ? Status::kBadPicture : Status::kOk;
}

TensorWriter::TensorWriter(const Tensor& tensor, std::uint32_t width, bool blue_first) noexcept
    : data_(static_cast<std::uint8_t*>(tensor.data)), width_(width), element_bytes_(element_bytes(tensor.element)) {
  const bool swap = blue_first != (tensor.order == Order::kBgr);
  for (std::size_t c = 0; c < 3; ++c) {
    channel_[c] = swap ? 2 - c : c;
    for (std::size_t x = 0; x < 256; ++x) {
      const double real = static_cast<double>(x) * tensor.multiply[c] + tensor.add[c];
      if (tensor.element == Element::kFloat32) {
        floats_[c][x] = static_cast<float>(real);
        plain_ = false;
        continue;
      }
      const bool is_signed = tensor.element == Element::kInt8;
      // std::round goes half away from zero; clamped before it becomes an integer.
      const double step = std::clamp(std::round(real / tensor.scale) + tensor.zero_point, is_signed ? -128.0 : 0.0,
                                     is_signed ? 127.0 : 255.0);
      bytes_[c][x] = static_cast<std::uint8_t>(static_cast<int>(step));
      plain_ = plain_ && bytes_[c][x] == x;
    }
  }
}

template <typename T>
void TensorWriter::look_up(T* out, std::ptrdiff_t step, const T (*table)[256], const std::uint8_t* rgbx,
                           std::size_t count) const noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    T* pixel = out + 3 * step * static_cast<std::ptrdiff_t>(i);
    for (std::size_t c = 0; c < 3; ++c) {
      pixel[c] = table[c][rgbx[kPixelBytes * i + channel_[c]]];
    }
  }
}

void TensorWriter::write(const Place& place, const std::uint8_t* rgbx, std::size_t count) noexcept {
  const std::ptrdiff_t step = place.step_y * static_cast<std::ptrdiff_t>(width_) + place.step_x;
  std::uint8_t* out = data_ + (place.y * width_ + place.x) * 3 * element_bytes_;
  if (element_bytes_ != 1) {
    look_up(reinterpret_cast<float*>(out), step, floats_, rgbx, count);
    return;
  }
  if (!plain_ || channel_[0] != 0 || step != 1) {
    look_up(out, step, bytes_, rgbx, count);
    return;
  }
  // Four bytes a step: each pixel overwrites the surplus byte of the one before; the last has no room for it.
  for (std::size_t i = 0; i + 1 < count; ++i) {
    std::memcpy(out + 3 * i, rgbx + kPixelBytes * i, kPixelBytes);
  }
  std::memcpy(out + 3 * count - 3, rgbx + kPixelBytes * count - kPixelBytes, 3);
}

}  // namespace safelight::image
