// Face chips: the similarity that takes landmarks to their places, and sampling along it.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

#include "picture.h"
#include "resample.h"
#include "safelight/image.h"
#include "scratch.h"
#include "tensor.h"

namespace safelight::image {
namespace {

// Coordinates and scales beyond these have no meaning for pictures and would spoil the arithmetic.
constexpr double kMaxCoordinate = 1e6;
constexpr double kMinScale = 1e-4;
constexpr double kMaxScale = 1e4;
// From this reduction on neighbouring samples would step over pixels: blocks are averaged first.
constexpr double kMaxPlainReduction = 1.5;

constexpr unsigned kFractionBits = 11;  // of a position between two pixels; two of them weigh 22 bits
constexpr double kFractionOne = 1U << kFractionBits;

bool is_coordinate(double value) noexcept { return std::fabs(value) <= kMaxCoordinate; }  // false for NaN

// Chip to picture, the inverse of what the caller gives, in units of averaged blocks.
struct ToSource {
  double a;
  double b;
  double tx;
  double ty;
  [[nodiscard]] double x(double chip_x, double chip_y) const noexcept { return a * chip_x - b * chip_y + tx; }
  [[nodiscard]] double y(double chip_x, double chip_y) const noexcept { return b * chip_x + a * chip_y + ty; }
};

// Which blocks the chip touches, and how big a block is.
struct Region {
  std::uint32_t block_px;
  Window blocks;
};

struct Range {
  std::uint32_t first;
  std::uint32_t count;
};

// Block indices that samples between `low` and `high` need, cut to the `blocks` that exist, at least one.
Range range(double low, double high, std::uint32_t blocks) noexcept {
  const double last = blocks - 1.0;
  const auto first = static_cast<std::uint32_t>(std::clamp(std::floor(low - 0.5), 0.0, last));
  const auto end = static_cast<std::uint32_t>(std::clamp(std::floor(high - 0.5) + 1, 0.0, last));
  return {first, end - first + 1};
}

Status plan(const PictureView& picture, const Similarity& to_chip, std::uint32_t chip_px, ToSource* to_source,
            Region* region) noexcept {
  const Status status = check_picture(picture);
  if (status != Status::kOk) {
    return status;
  }
  const double square = to_chip.a * to_chip.a + to_chip.b * to_chip.b;
  const bool sane = is_coordinate(to_chip.a) && is_coordinate(to_chip.b) && is_coordinate(to_chip.tx) &&
                    is_coordinate(to_chip.ty) && square >= kMinScale * kMinScale && square <= kMaxScale * kMaxScale;
  if (!sane || chip_px - 1 >= kMaxChipPx) {  // 0 wraps
    return Status::kOutOfRange;
  }
  const double reduction = 1.0 / std::sqrt(square);
  const std::uint32_t block =
      reduction > kMaxPlainReduction ? static_cast<std::uint32_t>(std::floor(reduction + 0.5)) : 1;

  const double a = to_chip.a / square;
  const double b = -to_chip.b / square;
  *to_source = {a / block, b / block, -(a * to_chip.tx - b * to_chip.ty) / block,
                -(b * to_chip.tx + a * to_chip.ty) / block};

  const double side = chip_px;
  const double corners_x[] = {to_source->x(0, 0), to_source->x(side, 0), to_source->x(0, side),
                              to_source->x(side, side)};
  const double corners_y[] = {to_source->y(0, 0), to_source->y(side, 0), to_source->y(0, side),
                              to_source->y(side, side)};
  const auto [left, right] = std::minmax_element(std::begin(corners_x), std::end(corners_x));
  const auto [top, bottom] = std::minmax_element(std::begin(corners_y), std::end(corners_y));
  const Upright whole = upright(picture);
  const auto blocks_in = [&](std::uint32_t pixels) { return (pixels - 1) / block + 1; };
  const Range columns = range(*left, *right, blocks_in(whole.width));
  const Range rows = range(*top, *bottom, blocks_in(whole.height));
  *region = {block, {columns.first, rows.first, columns.count, rows.count}};
  return Status::kOk;
}

// Where one sample lies in a row or column of the region: the pixel before it, the one after it, how far between.
struct Position {
  std::uint32_t before;
  std::uint32_t after;
  std::uint32_t fraction;
};

Position position(double centre, std::uint32_t first, std::uint32_t count) noexcept {
  const double from = std::clamp(centre - 0.5 - first, 0.0, count - 1.0);  // the border repeats
  const auto before = static_cast<std::uint32_t>(from);
  return {before, std::min(before + 1, count - 1),
          (static_cast<std::uint32_t>((from - before) * 2 * kFractionOne) + 1) / 2};
}

class Warp {
 public:
  Warp(const PictureView& picture, const Region& region) noexcept
      : region_(region),
        resampler_(picture, Axis::blocks(region.block_px, upright(picture).width),
                   Axis::blocks(region.block_px, upright(picture).height), region.blocks) {}

  void lay_out(Scratch& scratch, std::uint32_t chip_px) noexcept {
    resampler_.lay_out(scratch);
    pixels_ = scratch.take<std::uint8_t>(pitch() * region_.blocks.height);
    row_ = scratch.take<std::uint8_t>(kPixelBytes * chip_px);
  }

  void run(const ToSource& to_source, std::uint32_t chip_px, TensorWriter& writer) noexcept {
    resampler_.start(active_kernels());
    for (std::uint32_t i = 0; i < resampler_.row_count(); ++i) {
      keep(resampler_.place(i), resampler_.next_row());
    }
    for (std::uint32_t y = 0; y < chip_px; ++y) {
      for (std::uint32_t x = 0; x < chip_px; ++x) {
        sample(to_source.x(x + 0.5, y + 0.5), to_source.y(x + 0.5, y + 0.5), row_ + kPixelBytes * x);
      }
      writer.write(Place{0, y, 1, 0}, row_, chip_px);
    }
  }

 private:
  [[nodiscard]] std::size_t pitch() const noexcept { return kPixelBytes * region_.blocks.width; }

  void keep(const Place& place, const std::uint8_t* rgbx) noexcept {
    const std::ptrdiff_t step = place.step_y * static_cast<std::ptrdiff_t>(region_.blocks.width) + place.step_x;
    std::uint8_t* first = pixels_ + place.y * pitch() + place.x * kPixelBytes;
    for (std::size_t i = 0; i < resampler_.column_count(); ++i) {
      std::memcpy(first + step * static_cast<std::ptrdiff_t>(kPixelBytes * i), rgbx + kPixelBytes * i, kPixelBytes);
    }
  }

  void sample(double source_x, double source_y, std::uint8_t* out) const noexcept {
    const Position x = position(source_x, region_.blocks.left, region_.blocks.width);
    const Position y = position(source_y, region_.blocks.top, region_.blocks.height);
    const std::uint8_t* upper = pixels_ + y.before * pitch();
    const std::uint8_t* lower = pixels_ + y.after * pitch();
    const std::uint32_t one = 1U << kFractionBits;
    for (std::size_t c = 0; c < 3; ++c) {
      const std::size_t left = kPixelBytes * x.before + c;
      const std::size_t right = kPixelBytes * x.after + c;
      const std::uint32_t above = upper[left] * (one - x.fraction) + upper[right] * x.fraction;
      const std::uint32_t below = lower[left] * (one - x.fraction) + lower[right] * x.fraction;
      const std::uint32_t sum = above * (one - y.fraction) + below * y.fraction;
      out[c] = static_cast<std::uint8_t>((sum + (1U << (2 * kFractionBits - 1))) >> (2 * kFractionBits));
    }
    out[3] = 0;
  }

  const Region region_;
  Resampler resampler_;
  std::uint8_t* pixels_ = nullptr;  // the region, averaged
  std::uint8_t* row_ = nullptr;     // one row of the chip
};

}  // namespace

Status fit_similarity(const Point* source, const Point* target, std::size_t count, Similarity* result) noexcept {
  if (source == nullptr || target == nullptr || result == nullptr) {
    return Status::kNullArgument;
  }
  *result = Similarity{0, 0, 0, 0};
  if (count < 2 || count > kMaxLandmarks) {
    return Status::kOutOfRange;
  }
  Point source_mean = {0, 0};
  Point target_mean = {0, 0};
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_coordinate(source[i].x) || !is_coordinate(source[i].y) || !is_coordinate(target[i].x) ||
        !is_coordinate(target[i].y)) {
      return Status::kOutOfRange;
    }
    source_mean = {source_mean.x + source[i].x, source_mean.y + source[i].y};
    target_mean = {target_mean.x + target[i].x, target_mean.y + target[i].y};
  }
  const auto points = static_cast<double>(count);
  source_mean = {source_mean.x / points, source_mean.y / points};
  target_mean = {target_mean.x / points, target_mean.y / points};
  double spread = 0;
  double along = 0;
  double turned = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Point p = {source[i].x - source_mean.x, source[i].y - source_mean.y};
    const Point q = {target[i].x - target_mean.x, target[i].y - target_mean.y};
    spread += p.x * p.x + p.y * p.y;
    along += p.x * q.x + p.y * q.y;
    turned += p.x * q.y - p.y * q.x;
  }
  if (!(spread > 0)) {
    return Status::kOutOfRange;
  }
  const double a = along / spread;
  const double b = turned / spread;
  const double square = a * a + b * b;
  if (square < kMinScale * kMinScale || square > kMaxScale * kMaxScale) {
    return Status::kOutOfRange;
  }
  *result = {a, b, target_mean.x - (a * source_mean.x - b * source_mean.y),
             target_mean.y - (b * source_mean.x + a * source_mean.y)};
  return Status::kOk;
}

Status warp_scratch_bytes(const PictureView& picture, const Similarity& to_chip, std::uint32_t chip_px,
                          std::size_t* bytes) noexcept {
  if (bytes == nullptr) {
    return Status::kNullArgument;
  }
  *bytes = 0;
  ToSource to_source{};
  Region region{};
  const Status status = plan(picture, to_chip, chip_px, &to_source, &region);
  if (status != Status::kOk) {
    return status;
  }
  Scratch counter;
  Warp(picture, region).lay_out(counter, chip_px);
  *bytes = counter.bytes_needed();
  return Status::kOk;
}

Status warp_similarity(const PictureView& picture, const Similarity& to_chip, std::uint32_t chip_px,
                       const Tensor& tensor, void* scratch, std::size_t scratch_bytes) noexcept {
  std::size_t needed = 0;
  Status status = warp_scratch_bytes(picture, to_chip, chip_px, &needed);
  if (status == Status::kOk) {
    status = check_tensor(tensor, chip_px, chip_px);
  }
  if (status == Status::kOk) {
    status = check_scratch(picture, tensor, scratch, scratch_bytes, needed);
  }
  if (status != Status::kOk) {
    return status;
  }
  ToSource to_source{};
  Region region{};
  static_cast<void>(plan(picture, to_chip, chip_px, &to_source, &region));  // it passed above
  Scratch pieces(scratch);
  Warp warp(picture, region);
  warp.lay_out(pieces, chip_px);
  TensorWriter writer(tensor, chip_px, picture.format == Format::kBgr);
  warp.run(to_source, chip_px, writer);
  return Status::kOk;
}

}  // namespace safelight::image
