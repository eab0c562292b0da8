// How far two pictures are apart, tile by tile: see tile_difference() in safelight/image.h.
#include <algorithm>
#include <cstring>

#include "kernels.h"
#include "picture.h"
#include "safelight/image.h"

namespace safelight::image {
namespace {

// Samples of one kind among the bytes of a plane.
struct Samples {
  std::uint8_t mask[kSpanBytes];  // which of 8 neighbouring bytes
  std::uint32_t of_eight;         // how many that are
  std::uint32_t weight;           // what a level of them counts
};

constexpr Samples kAll = {{255, 255, 255, 255, 255, 255, 255, 255}, 8, 1};
constexpr Samples kChroma = {{255, 255, 255, 255, 255, 255, 255, 255}, 8, 2};
constexpr Samples kColours = {{255, 255, 255, 0, 255, 255, 255, 0}, 6, 1};
constexpr Samples kAlpha = {{0, 0, 0, 255, 0, 0, 0, 255}, 2, 1};
constexpr Samples kEvenLuma = {{255, 0, 255, 0, 255, 0, 255, 0}, 4, 1};
constexpr Samples kOddChroma = {{0, 255, 0, 255, 0, 255, 0, 255}, 4, 2};

// Spans are summed a strip at a time, in memory that stays in the cache: whole tiles of every format.
constexpr std::size_t kStripSpans = 96;

constexpr std::uint32_t kParts = 256;

class PlaneDifference {
 public:
  PlaneDifference(const Plane& one, const Plane& other, PlaneSize size, std::size_t spans_per_tile,
                  TileDifference* worst) noexcept
      : one_(one), other_(other), size_(size), spans_per_tile_(spans_per_tile), worst_(worst) {}

  void add(const Samples& samples) noexcept {
    for (std::size_t row = 0; row < size_.rows; row += kDifferenceTilePx) {
      for (std::size_t at = 0; at < size_.row_bytes; at += kSpanBytes * kStripSpans) {
        strip(samples, row, at);
      }
    }
  }

 private:
  void strip(const Samples& samples, std::size_t row, std::size_t at) noexcept {
    const std::size_t bytes = std::min(kSpanBytes * kStripSpans, size_.row_bytes - at);
    RowPair rows = {one_.data + row * one_.stride_bytes + at, other_.data + row * other_.stride_bytes + at,
                    one_.stride_bytes, other_.stride_bytes, std::min(kDifferenceTilePx, size_.rows - row)};
    std::uint32_t sums[kStripSpans + 1] = {};
    const std::size_t whole = bytes / kSpanBytes;
    std::uint32_t greatest = active_kernels().spans(rows, samples.mask, whole, sums);
    const std::size_t left = bytes % kSpanBytes;
    if (left != 0) {
      // The rest of a span, widened by bytes that do not differ.
      std::uint8_t ends[2][kSpanRows][kSpanBytes] = {};
      for (std::size_t i = 0; i < rows.rows; ++i) {
        std::memcpy(ends[0][i], rows.one + i * rows.one_stride_bytes + kSpanBytes * whole, left);
        std::memcpy(ends[1][i], rows.other + i * rows.other_stride_bytes + kSpanBytes * whole, left);
      }
      rows = {ends[0][0], ends[1][0], kSpanBytes, kSpanBytes, rows.rows};
      greatest = std::max(greatest, spans_tail(rows, samples.mask, 0, 1, sums + whole));
    }
    worst_->greatest = std::max(worst_->greatest, samples.weight * greatest);
    const std::size_t spans = whole + (left != 0 ? 1 : 0);
    for (std::size_t first = 0; first < spans; first += spans_per_tile_) {
      const std::size_t end = std::min(first + spans_per_tile_, spans);
      std::uint32_t sum = 0;
      for (std::size_t i = first; i < end; ++i) {
        sum += sums[i];
      }
      const std::size_t tile_bytes = std::min(kSpanBytes * end, bytes) - kSpanBytes * first;
      // A row of a format that mixes samples ends with a whole pixel or pair, so this divides evenly and is not 0.
      const auto count =
          std::max(1U, static_cast<std::uint32_t>(tile_bytes * samples.of_eight / kSpanBytes * rows.rows));
      const std::uint32_t mean = (samples.weight * kParts * sum + count - 1) / count;
      worst_->mean_256ths = std::max(worst_->mean_256ths, mean);
    }
  }

  const Plane& one_;
  const Plane& other_;
  PlaneSize size_;
  std::size_t spans_per_tile_;
  TileDifference* worst_;
};

bool alike(const PictureView& one, const PictureView& other) noexcept {
  return one.format == other.format && one.yuv == other.yuv && one.rotation_degrees == other.rotation_degrees &&
         one.width_px == other.width_px && one.height_px == other.height_px;
}

}  // namespace

Status tile_difference(const PictureView& one, const PictureView& other, TileDifference* difference) noexcept {
  if (difference == nullptr) {
    return Status::kNullArgument;
  }
  *difference = TileDifference{0, 0};
  Status status = check_picture(one);
  if (status == Status::kOk) {
    status = check_picture(other);
  }
  if (status != Status::kOk) {
    return status;
  }
  if (!alike(one, other)) {
    return Status::kOutOfRange;
  }
  const auto plane = [&](std::size_t i, std::size_t spans_per_tile) {
    return PlaneDifference(one.planes[i], other.planes[i], plane_size(one, i), spans_per_tile, difference);
  };
  switch (one.format) {
    case Format::kRgb:
    case Format::kBgr:
      plane(0, 3).add(kAll);
      break;
    case Format::kRgba:
      plane(0, 4).add(kColours);
      plane(0, 4).add(kAlpha);
      break;
    case Format::kGrey:
      plane(0, 1).add(kAll);
      break;
    case Format::kNv21:
    case Format::kNv12:
      plane(0, 1).add(kAll);
      plane(1, 2).add(kChroma);
      break;
    case Format::kI420:
      plane(0, 1).add(kAll);
      plane(1, 1).add(kChroma);
      plane(2, 1).add(kChroma);
      break;
    case Format::kYuyv:
      plane(0, 2).add(kEvenLuma);
      plane(0, 2).add(kOddChroma);
      break;
  }
  return Status::kOk;
}

}  // namespace safelight::image
