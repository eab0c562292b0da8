// Writing rows of pixels into the caller's tensor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "resample.h"
#include "safelight/image.h"

namespace safelight::image {

// The words are in the vocabulary, the numbers finite, the buffer aligned and large enough.
Status check_tensor(const Tensor& tensor, std::uint32_t width, std::uint32_t height) noexcept;

std::size_t element_bytes(Element element) noexcept;

// The scratch is there, large enough, and shares no byte with the tensor; nor does the tensor with the picture.
Status check_scratch(const PictureView& picture, const Tensor& tensor, const void* scratch, std::size_t scratch_bytes,
                     std::size_t needed_bytes) noexcept;

// A channel has 256 values, so its arithmetic is done once for each and rows are looked up.
class TensorWriter {
 public:
  // `width` pixels a tensor row. Pixels come blue first when `blue_first`.
  TensorWriter(const Tensor& tensor, std::uint32_t width, bool blue_first) noexcept;

  // `count` pixels to where `place` says.
  void write(const Place& place, const std::uint8_t* rgbx, std::size_t count) noexcept;

 private:
  template <typename T>
  void look_up(T* out, std::ptrdiff_t step, const T (*table)[256], const std::uint8_t* rgbx,
               std::size_t count) const noexcept;

  std::uint8_t* data_;
  std::size_t width_;
  std::size_t element_bytes_;
  std::size_t channel_[3];  // which byte of a pixel each tensor channel is
  bool plain_ = true;       // bytes go out as they are
  union {                   // by element; 8-bit kinds share their bytes
    std::uint8_t bytes_[3][256];
    float floats_[3][256];
  };
};

}  // namespace safelight::image
