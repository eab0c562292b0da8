// The whole way from a picture to a tensor: crop, resize, window, letterbox, colour order, quantisation.
#include <algorithm>
#include <cmath>
#include <utility>

#include "picture.h"
#include "resample.h"
#include "safelight/image.h"
#include "scratch.h"
#include "tensor.h"

namespace safelight::image {
namespace {

bool within(float begin, float end, std::uint32_t size) noexcept {  // false for NaN
  return begin >= 0.0F && end <= static_cast<float>(size) && end - begin > 0.0F;
}

Status check_resize(const PictureView& picture, const Resize& resize) noexcept {
  if (static_cast<std::size_t>(resize.filter) >= kFilterCount) {
    return Status::kUnknownWord;
  }
  const Upright whole = upright(picture);
  const Window& window = resize.window;
  const bool fits = resize.width - 1 < kMaxTargetPx && resize.height - 1 < kMaxTargetPx &&  // 0 wraps
                    window.width != 0 && window.height != 0 && window.width <= resize.width &&
                    window.height <= resize.height && window.left <= resize.width - window.width &&
                    window.top <= resize.height - window.height;
  const bool inside = within(resize.crop.left, resize.crop.right, whole.width) &&
                      within(resize.crop.top, resize.crop.bottom, whole.height);
  return fits && inside ? Status::kOk : Status::kOutOfRange;
}

// What of the canvas the picture covers, and which part of that the window shows.
struct Placement {
  Window picture;  // on the canvas
  Window seen;     // in the resized picture; width or height may be 0
};

Placement placement_of(const Resize& resize) noexcept {
  Window picture = {0, 0, resize.width, resize.height};
  if (resize.letterbox) {
    // Cannot fail: check_resize() has looked at these numbers.
    static_cast<void>(letterbox_window(resize.crop.right - resize.crop.left, resize.crop.bottom - resize.crop.top,
                                       resize.width, resize.height, &picture));
  }
  const auto seen = [](std::uint32_t begin, std::uint32_t length, std::uint32_t from, std::uint32_t size) {
    const std::uint32_t first = std::max(begin, from);
    const std::uint32_t end = std::min(begin + length, from + size);
    return end > first ? std::pair{first - from, end - first} : std::pair{0U, 0U};
  };
  const Window& window = resize.window;
  const auto [left, width] = seen(window.left, window.width, picture.left, picture.width);
  const auto [top, height] = seen(window.top, window.height, picture.top, picture.height);
  return {picture, {left, top, width, height}};
}

class Preparation {
 public:
  Preparation(const PictureView& picture, const Resize& resize, const Upright& whole,
              const Placement& placement) noexcept
      : resampler_(
            picture,
            Axis::resize(resize.crop.left, resize.crop.right, whole.width, placement.picture.width, resize.filter),
            Axis::resize(resize.crop.top, resize.crop.bottom, whole.height, placement.picture.height, resize.filter),
            placement.seen) {}

  void lay_out(Scratch& scratch) noexcept { resampler_.lay_out(scratch); }

  // Writes the picture with its top left corner at (x, y) of the tensor.
  void run(std::uint32_t x, std::uint32_t y, TensorWriter& writer) noexcept {
    resampler_.start(active_kernels());
    for (std::uint32_t i = 0; i < resampler_.row_count(); ++i) {
      Place place = resampler_.place(i);
      place.x += x;
      place.y += y;
      writer.write(place, resampler_.next_row(), resampler_.column_count());
    }
  }

 private:
  Resampler resampler_;
};

void fill(const Resize& resize, bool blue_first, TensorWriter& writer) noexcept {
  const std::uint8_t* pad = resize.pad_rgb;
  const std::uint8_t pixel[kPixelBytes] = {pad[blue_first ? 2 : 0], pad[1], pad[blue_first ? 0 : 2], 0};
  for (std::uint32_t y = 0; y < resize.window.height; ++y) {
    for (std::uint32_t x = 0; x < resize.window.width; ++x) {
      writer.write(Place{x, y, 1, 0}, pixel, 1);
    }
  }
}

}  // namespace

Status letterbox_window(double width, double height, std::uint32_t canvas_width, std::uint32_t canvas_height,
                        Window* window) noexcept {
  if (window == nullptr) {
    return Status::kNullArgument;
  }
  *window = Window{0, 0, 0, 0};
  const bool sides = width > 0 && height > 0 && std::isfinite(width * canvas_height) &&
                     std::isfinite(height * canvas_width);  // false for NaN
  if (!sides || canvas_width - 1 >= kMaxTargetPx || canvas_height - 1 >= kMaxTargetPx) {
    return Status::kOutOfRange;
  }
  Window result = {0, 0, canvas_width, canvas_height};
  const auto shorter = [](double side) { return std::max(1U, static_cast<std::uint32_t>(std::floor(side + 0.5))); };
  if (width * canvas_height >= height * canvas_width) {
    result.height = shorter(height * canvas_width / width);
    result.top = (canvas_height - result.height) / 2;
  } else {
    result.width = shorter(width * canvas_height / height);
    result.left = (canvas_width - result.width) / 2;
  }
  *window = result;
  return Status::kOk;
}

Status prepare_scratch_bytes(const PictureView& picture, const Resize& resize, std::size_t* bytes) noexcept {
  if (bytes == nullptr) {
    return Status::kNullArgument;
  }
  *bytes = 0;
  Status status = check_picture(picture);
  if (status == Status::kOk) {
    status = check_resize(picture, resize);
  }
  if (status != Status::kOk) {
    return status;
  }
  const Placement placement = placement_of(resize);
  Scratch counter;
  if (placement.seen.width != 0 && placement.seen.height != 0) {
    Preparation(picture, resize, upright(picture), placement).lay_out(counter);
  }
  *bytes = counter.bytes_needed();
  return Status::kOk;
}

Status prepare(const PictureView& picture, const Resize& resize, const Tensor& tensor, void* scratch,
               std::size_t scratch_bytes) noexcept {
  std::size_t needed = 0;
  Status status = prepare_scratch_bytes(picture, resize, &needed);
  if (status == Status::kOk) {
    status = check_tensor(tensor, resize.window.width, resize.window.height);
  }
  if (status == Status::kOk) {
    status = check_scratch(picture, tensor, scratch, scratch_bytes, needed);
  }
  if (status != Status::kOk) {
    return status;
  }
  const bool blue_first = picture.format == Format::kBgr;
  TensorWriter writer(tensor, resize.window.width, blue_first);
  if (resize.letterbox) {
    fill(resize, blue_first, writer);
  }
  const Placement placement = placement_of(resize);
  if (placement.seen.width == 0 || placement.seen.height == 0) {
    return Status::kOk;
  }
  Scratch pieces(scratch);
  Preparation preparation(picture, resize, upright(picture), placement);
  preparation.lay_out(pieces);
  const auto past = [](std::uint32_t picture_edge, std::uint32_t window_edge) {
    return picture_edge > window_edge ? picture_edge - window_edge : 0;
  };
  preparation.run(past(placement.picture.left, resize.window.left), past(placement.picture.top, resize.window.top),
                  writer);
  return Status::kOk;
}

}  // namespace safelight::image
