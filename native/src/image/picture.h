// Reading a source picture: checks, the upright view, and rows of it as RGBX.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "safelight/image.h"
#include "scratch.h"

namespace safelight::image {

// What a plane of this picture has to have: bytes of a row without padding, and rows.
struct PlaneSize {
  std::size_t row_bytes;
  std::size_t rows;
};
PlaneSize plane_size(const PictureView& picture, std::size_t plane) noexcept;

// Sizes, strides and lengths fit together and every word is in the vocabulary. Everything else in this
// directory may then read what the view describes.
Status check_picture(const PictureView& picture) noexcept;

// True when [first, first + first_bytes) shares a byte with one of the picture's planes.
bool overlaps_picture(const PictureView& picture, const void* first, std::size_t first_bytes) noexcept;
bool overlap(const void* first, std::size_t first_bytes, const void* second, std::size_t second_bytes) noexcept;

// How the upright picture lies in the stored one.
struct Upright {
  std::uint32_t width;
  std::uint32_t height;
  bool transposed;  // an upright row is a stored column
  bool mirrored_x;  // upright x runs against the stored direction that it lies along
  bool mirrored_y;
};

Upright upright(const PictureView& picture) noexcept;

// Stored rows as RGBX. The only code that touches the picture's bytes.
class RowReader {
 public:
  // Of every row, stored pixels [begin, end). Chroma comes in pairs, so it may start one pixel earlier.
  RowReader(const PictureView& picture, std::uint32_t begin, std::uint32_t end) noexcept;

  void lay_out(Scratch& scratch) noexcept;
  void start(const Kernels& kernels) noexcept;

  std::uint32_t begin() const noexcept { return begin_; }
  std::size_t count() const noexcept { return end_ - begin_; }

  void read(std::uint32_t row, std::uint8_t* rgbx) noexcept;  // count() pixels

 private:
  const std::uint8_t* row_of(std::size_t plane, std::size_t row) const noexcept;

  const PictureView& picture_;
  std::uint32_t begin_;
  std::uint32_t end_;
  const Kernels* kernels_ = nullptr;
  YuvWeights yuv_{};
  std::uint8_t* luma_ = nullptr;    // YUYV: taken apart
  std::uint8_t* chroma_ = nullptr;  // YUYV, I420: interleaved as the kernels want it
};

}  // namespace safelight::image
