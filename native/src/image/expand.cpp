// A picture of any format as plain RGB of its own size, upright: what a camera frame becomes before it is looked at.
#include <algorithm>
#include <cstring>

#include "picture.h"
#include "safelight/image.h"
#include "scratch.h"

namespace safelight::image {
namespace {

constexpr std::size_t kRgbBytes = 3;
// Turned by a quarter, a stored row becomes a column. This many are written side by side, so that a cache line
// of the answer is filled at once: 3 x 64 bytes are three lines.
constexpr std::uint32_t kRowsAtOnce = 64;

std::uint32_t rows_at_once(const PictureView& picture) noexcept {
  return upright(picture).transposed ? std::min(kRowsAtOnce, picture.height_px) : 1;
}

struct Pieces {
  RowReader reader;
  std::uint8_t* rows;  // RGBX, `row_bytes` apart
  std::size_t row_bytes;

  Pieces(const PictureView& picture, Scratch& scratch) noexcept
      : reader(picture, 0, picture.width_px), row_bytes(reader.count() * kPixelBytes) {
    reader.lay_out(scratch);
    rows = scratch.take<std::uint8_t>(row_bytes * rows_at_once(picture));
  }
};

void put(const std::uint8_t* rgbx, bool blue_first, std::uint8_t* rgb) noexcept {
  rgb[0] = rgbx[blue_first ? 2 : 0];
  rgb[1] = rgbx[1];
  rgb[2] = rgbx[blue_first ? 0 : 2];
}

// One stored row along one upright row.
void lay_along(const std::uint8_t* rgbx, std::uint32_t width, bool mirrored, bool blue_first,
               std::uint8_t* rgb) noexcept {
  for (std::uint32_t x = 0; x < width; ++x) {
    put(rgbx + kPixelBytes * (mirrored ? width - 1 - x : x), blue_first, rgb + kRgbBytes * x);
  }
}

}  // namespace

Status to_rgb_scratch_bytes(const PictureView& picture, std::size_t* bytes) noexcept {
  if (bytes == nullptr) {
    return Status::kNullArgument;
  }
  *bytes = 0;
  const Status status = check_picture(picture);
  if (status == Status::kOk) {
    Scratch counter;
    const Pieces pieces(picture, counter);
    static_cast<void>(pieces);
    *bytes = counter.bytes_needed();
  }
  return status;
}

Status to_rgb(const PictureView& picture, std::uint8_t* rgb, std::size_t rgb_bytes, void* scratch,
              std::size_t scratch_bytes) noexcept {
  std::size_t needed = 0;
  const Status status = to_rgb_scratch_bytes(picture, &needed);
  if (status != Status::kOk) {
    return status;
  }
  if (rgb == nullptr || scratch == nullptr) {
    return Status::kNullArgument;
  }
  const std::size_t size = kRgbBytes * picture.width_px * picture.height_px;
  if (rgb_bytes < size || scratch_bytes < needed) {
    return Status::kBufferTooSmall;
  }
  if (overlaps_picture(picture, rgb, rgb_bytes) || overlaps_picture(picture, scratch, scratch_bytes) ||
      overlap(rgb, rgb_bytes, scratch, scratch_bytes)) {
    return Status::kBadPicture;
  }
  Scratch buffer(scratch);
  Pieces pieces(picture, buffer);
  pieces.reader.start(active_kernels());
  const Upright whole = upright(picture);
  const bool blue_first = picture.format == Format::kBgr;
  const std::size_t upright_bytes = kRgbBytes * whole.width;
  const std::uint32_t step = rows_at_once(picture);
  for (std::uint32_t top = 0; top < picture.height_px; top += step) {
    const std::uint32_t count = std::min(step, picture.height_px - top);
    for (std::uint32_t row = 0; row < count; ++row) {
      pieces.reader.read(top + row, pieces.rows + row * pieces.row_bytes);
    }
    if (!whole.transposed) {
      const std::uint32_t y = whole.mirrored_y ? whole.height - 1 - top : top;
      lay_along(pieces.rows, whole.width, whole.mirrored_x, blue_first, rgb + y * upright_bytes);
      continue;
    }
    for (std::uint32_t y = 0; y < whole.height; ++y) {
      const std::uint32_t column = whole.mirrored_y ? whole.height - 1 - y : y;
      for (std::uint32_t row = 0; row < count; ++row) {
        const std::uint32_t x = whole.mirrored_x ? whole.width - 1 - (top + row) : top + row;
        put(pieces.rows + row * pieces.row_bytes + kPixelBytes * column, blue_first,
            rgb + y * upright_bytes + kRgbBytes * x);
      }
    }
  }
  return Status::kOk;
}

}  // namespace safelight::image
