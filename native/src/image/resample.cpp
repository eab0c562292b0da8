#include "resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace safelight::image {
namespace {

double base_support(Filter filter) noexcept { return filter == Filter::kBilinear ? 1.0 : 0.5; }

// Pillow filters along the rows first, unless the height shrinks by more than twice what the width does.
bool rows_before_columns(const Axis& x, const Axis& y) noexcept {
  const std::int64_t narrower = std::int64_t{x.size()} - x.target();
  const std::int64_t lower = std::int64_t{y.size()} - y.target();
  return lower <= 0 || lower <= 2 * narrower;
}

std::int16_t low_part(std::uint32_t weight) noexcept {
  return static_cast<std::int16_t>(weight & ((1U << kLowBits) - 1));
}

std::int16_t high_part(std::uint32_t weight) noexcept { return static_cast<std::int16_t>(weight >> kLowBits); }

}  // namespace

Axis::Axis(double start, double scale, std::uint32_t size, std::uint32_t target, Filter filter) noexcept
    : start_(start),
      scale_(scale),
      filter_scale_(std::max(scale, 1.0)),
      support_(base_support(filter) * filter_scale_),
      size_(size),
      target_(target),
      filter_(filter) {}

Axis Axis::resize(float begin, float end, std::uint32_t size, std::uint32_t target, Filter filter) noexcept {
  const float length = end - begin;
  return {static_cast<double>(begin), static_cast<double>(length) / target, size, target, filter};
}

Axis Axis::blocks(std::uint32_t block, std::uint32_t size) noexcept {
  return {0.0, static_cast<double>(block), size, (size - 1) / block + 1, Filter::kArea};
}

Span Axis::span(std::uint32_t x) const noexcept {
  double first = 0;
  double end = 0;
  switch (filter_) {
    case Filter::kBilinear:
    case Filter::kBox:  // truncation towards zero, then cut to the picture: Pillow's rounding
      first = std::trunc(centre(x) - support_ + 0.5);
      end = std::trunc(centre(x) + support_ + 0.5);
      break;
    case Filter::kArea:
      first = std::floor(start_ + x * scale_);
      end = std::ceil(start_ + (x + 1.0) * scale_);
      break;
    case Filter::kBilinearPoint:
      first = std::floor(centre(x) - 0.5);
      end = first + 2;
      break;
  }
  // A sliver of a crop can round to nothing, or to just behind the last pixel: it still has one pixel.
  const double last = size_ - 1.0;
  first = std::clamp(first, 0.0, last);
  end = std::clamp(end, first + 1, last + 1);
  return {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(end - first)};
}

double Axis::raw_weight(std::uint32_t x, std::uint32_t pixel) const noexcept {
  switch (filter_) {
    case Filter::kBilinear: {
      const double distance = std::fabs((pixel - centre(x) + 0.5) * (1.0 / filter_scale_));
      return distance < 1.0 ? 1.0 - distance : 0.0;
    }
    case Filter::kBox: {
      const double distance = (pixel - centre(x) + 0.5) * (1.0 / filter_scale_);
      return distance > -0.5 && distance <= 0.5 ? 1.0 : 0.0;
    }
    case Filter::kArea: {
      const double left = std::max<double>(pixel, start_ + x * scale_);
      const double right = std::min(pixel + 1.0, start_ + (x + 1.0) * scale_);
      return std::max(0.0, right - left);
    }
    case Filter::kBilinearPoint:
      return std::max(0.0, 1.0 - std::fabs(pixel + 0.5 - centre(x)));
  }
  return 0.0;
}

template <typename Take>
void Axis::weights(std::uint32_t x, const Span& span, Take take) const noexcept {
  double sum = 0;
  for (std::uint32_t i = 0; i < span.count; ++i) {
    sum += raw_weight(x, span.first + i);
  }
  for (std::uint32_t i = 0; i < span.count; ++i) {
    // Beyond the last pixel's centre a lone pixel can weigh nothing: it is then all there is.
    const double share = sum > 0 ? raw_weight(x, span.first + i) / sum : 1.0 / span.count;
    take(i, static_cast<std::uint32_t>(0.5 + share * kWeightOne));  // NOLINT(bugprone-incorrect-roundings): Pillow's
  }
}

Span StoredAxis::span(std::uint32_t i) const noexcept {
  const Span span = axis_.span(output(i));
  return mirrored_ ? Span{axis_.size() - span.end(), span.count} : span;
}

std::size_t StoredAxis::most_pixels() const noexcept {
  std::size_t most = 0;
  for (std::uint32_t i = 0; i < count_; ++i) {
    most = std::max<std::size_t>(most, span(i).count);
  }
  return most;
}

template <typename Take>
void StoredAxis::weights(std::uint32_t i, const Span& span, Take take) const noexcept {
  const std::uint32_t last = span.count - 1;
  const Span upright = mirrored_ ? Span{axis_.size() - span.end(), span.count} : span;
  axis_.weights(output(i), upright,
                [&](std::uint32_t at, std::uint32_t weight) { take(mirrored_ ? last - at : at, weight); });
}

Resampler::Resampler(const PictureView& picture, const Axis& x, const Axis& y, const Window& window) noexcept
    : upright_(upright(picture)),
      window_(window),
      columns_(upright_.transposed ? StoredAxis(y, upright_.mirrored_y, window.top, window.height)
                                   : StoredAxis(x, upright_.mirrored_x, window.left, window.width)),
      rows_(upright_.transposed ? StoredAxis(x, upright_.mirrored_x, window.left, window.width)
                                : StoredAxis(y, upright_.mirrored_y, window.top, window.height)),
      columns_first_(rows_before_columns(x, y) == upright_.transposed),
      reader_(picture, columns_.span(0).first, columns_.span(columns_.count() - 1).end()),
      group_count_(round_up(columns_.most_pixels(), kGroupPixels) / kGroupPixels),
      wide_pitch_(round_up((reader_.count() + group_count_ * kGroupPixels) * kPixelBytes, kAlignment)),
      narrow_pitch_(round_up(columns_.count() * kPixelBytes, kAlignment)),
      most_rows_(rows_.most_pixels()),
      ring_rows_(most_rows_ + kRowsAtOnce - 1),
      ring_pitch_(columns_first_ ? wide_pitch_ : narrow_pitch_) {}

void Resampler::lay_out(Scratch& scratch) noexcept {
  reader_.lay_out(scratch);
  firsts_ = scratch.take<std::uint32_t>(columns_.count());
  groups_ = scratch.take<TapGroup>(columns_.count() * group_count_);
  pairs_ = scratch.take<TapPair>((most_rows_ + 1) / 2);
  column_rows_ = scratch.take<const std::uint8_t*>(most_rows_ + 1);
  wide_ = scratch.take<std::uint8_t>(kRowsAtOnce * wide_pitch_);
  narrow_ = scratch.take<std::uint8_t>(kRowsAtOnce * narrow_pitch_);
  ring_ = scratch.take<std::uint8_t>(ring_rows_ * ring_pitch_);
}

void Resampler::start(const Kernels& kernels) noexcept {
  kernels_ = &kernels;
  reader_.start(kernels);
  std::memset(groups_, 0, columns_.count() * group_count_ * sizeof(TapGroup));
  for (std::uint32_t i = 0; i < columns_.count(); ++i) {
    const Span span = columns_.span(i);
    TapGroup* groups = groups_ + i * group_count_;
    firsts_[i] = span.first - reader_.begin();
    columns_.weights(i, span, [&](std::uint32_t at, std::uint32_t weight) {
      const std::size_t place = kGroupOrder[at % kGroupPixels];  // its own inverse
      groups[at / kGroupPixels].low[place] = low_part(weight);
      groups[at / kGroupPixels].high[place] = high_part(weight);
    });
  }
  // What is read behind the pixels weighs nothing, and is set so that it is something.
  const auto clear_ends = [](std::uint8_t* rows, std::size_t count, std::size_t pitch, std::size_t pixels) {
    for (std::size_t i = 0; i < count; ++i) {
      std::memset(rows + i * pitch + pixels * kPixelBytes, 0, pitch - pixels * kPixelBytes);
    }
  };
  clear_ends(wide_, kRowsAtOnce, wide_pitch_, reader_.count());
  clear_ends(ring_, ring_rows_, ring_pitch_, columns_first_ ? reader_.count() : columns_.count());
}

bool Resampler::next_needed(std::uint32_t& row) noexcept {
  while (reading_for_ < rows_.count() && rows_.span(reading_for_).end() <= reading_row_) {
    ++reading_for_;
  }
  if (reading_for_ == rows_.count()) {
    return false;
  }
  row = std::max(reading_row_, rows_.span(reading_for_).first);
  return true;
}

// Reads until `wanted` rows have been read, and up to a whole group of those needed next.
void Resampler::read_group(std::size_t wanted) noexcept {
  std::uint32_t row = 0;
  if (columns_first_) {
    for (; rows_read_ < wanted && next_needed(row); ++rows_read_) {
      reader_.read(row, held_row(rows_read_));
      reading_row_ = row + 1;
    }
    return;
  }
  const std::uint8_t* rows[kRowsAtOnce];
  std::uint8_t* out[kRowsAtOnce];
  std::size_t count = 0;
  for (; count < kRowsAtOnce && next_needed(row); ++count, ++rows_read_) {
    reader_.read(row, wide_ + count * wide_pitch_);
    reading_row_ = row + 1;
    rows[count] = wide_ + count * wide_pitch_;
    out[count] = held_row(rows_read_);
  }
  for (std::size_t i = count; i < kRowsAtOnce; ++i) {  // a short group repeats its last row
    rows[i] = rows[count - 1];
    out[i] = out[count - 1];
  }
  kernels_->filter_rows(rows, RowTaps{firsts_, groups_, group_count_, columns_.count()}, out);
}

// One output row summed down the columns of held rows.
void Resampler::filter_column(std::uint32_t output, std::uint8_t* out) noexcept {
  const Span span = rows_.span(output);
  turn_ += std::min(span.first - last_span_.first, last_span_.count);
  last_span_ = span;
  while (rows_read_ < turn_ + span.count) {
    read_group(turn_ + span.count);
  }
  const std::size_t pair_count = (span.count + 1) / 2;
  for (std::size_t i = 0; i < span.count; ++i) {
    column_rows_[i] = held_row(turn_ + i);
  }
  pairs_[pair_count - 1] = TapPair{};
  column_rows_[2 * pair_count - 1] = held_row(turn_ + span.count - 1);  // an odd row's partner weighs nothing
  rows_.weights(output, span, [&](std::uint32_t at, std::uint32_t weight) {
    pairs_[at / 2].low[at % 2] = low_part(weight);
    pairs_[at / 2].high[at % 2] = high_part(weight);
  });
  kernels_->filter_columns(column_rows_, pairs_, pair_count, ring_pitch_, out);
}

const std::uint8_t* Resampler::next_row() noexcept {
  if (!columns_first_) {
    filter_column(given_++, narrow_);
    return narrow_;
  }
  const std::size_t at = given_ % kRowsAtOnce;
  if (at == 0) {
    const std::uint8_t* rows[kRowsAtOnce];
    std::uint8_t* out[kRowsAtOnce];
    for (std::uint32_t i = 0; i < kRowsAtOnce; ++i) {
      const std::uint32_t left = rows_.count() - given_;
      if (i < left) {
        filter_column(given_ + i, wide_ + i * wide_pitch_);
      }
      const std::size_t from = std::min(i, left - 1);  // a short group repeats its last row
      rows[i] = wide_ + from * wide_pitch_;
      out[i] = narrow_ + from * narrow_pitch_;
    }
    kernels_->filter_rows(rows, RowTaps{firsts_, groups_, group_count_, columns_.count()}, out);
  }
  ++given_;
  return narrow_ + at * narrow_pitch_;
}

Place Resampler::place(std::uint32_t row) const noexcept {
  const std::uint32_t last_x = window_.width - 1;
  const std::uint32_t last_y = window_.height - 1;
  if (upright_.transposed) {  // a stored row is an upright column
    const std::uint32_t x = upright_.mirrored_x ? last_x - row : row;
    return upright_.mirrored_y ? Place{x, last_y, 0, -1} : Place{x, 0, 0, 1};
  }
  const std::uint32_t y = upright_.mirrored_y ? last_y - row : row;
  return upright_.mirrored_x ? Place{last_x, y, -1, 0} : Place{0, y, 1, 0};
}

}  // namespace safelight::image
