// The separable resize: filters as fixed-point weights, and rows of the resized picture one by one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "picture.h"
#include "safelight/image.h"
#include "scratch.h"

namespace safelight::image {

// Source pixels that an output pixel is made of.
struct Span {
  std::uint32_t first;
  std::uint32_t count;  // at least 1
  std::uint32_t end() const noexcept { return first + count; }
};

// One direction of a resize: output pixel x covers source [start + x * scale, start + (x + 1) * scale).
class Axis {
 public:
  // The part [begin, end) of `size` source pixels becomes `target` pixels. Single precision as in Pillow.
  static Axis resize(float begin, float end, std::uint32_t size, std::uint32_t target, Filter filter) noexcept;
  // Blocks of `block` source pixels become one; the last may be smaller.
  static Axis blocks(std::uint32_t block, std::uint32_t size) noexcept;

  std::uint32_t size() const noexcept { return size_; }
  std::uint32_t target() const noexcept { return target_; }

  // Spans of growing x start and end no earlier than the ones before.
  Span span(std::uint32_t x) const noexcept;

  // Calls `take(i, weight)` for each pixel of span(x); weights are fixed-point and sum to about kWeightOne.
  template <typename Take>
  void weights(std::uint32_t x, const Span& span, Take take) const noexcept;

 private:
  Axis(double start, double scale, std::uint32_t size, std::uint32_t target, Filter filter) noexcept;
  double centre(std::uint32_t x) const noexcept { return start_ + (x + 0.5) * scale_; }
  double raw_weight(std::uint32_t x, std::uint32_t pixel) const noexcept;

  double start_;
  double scale_;
  double filter_scale_;  // the filter grows with the reduction and never shrinks below one pixel
  double support_;
  std::uint32_t size_;
  std::uint32_t target_;
  Filter filter_;
};

// The outputs [begin, begin + count) of an axis in the order in which the source is stored.
class StoredAxis {
 public:
  StoredAxis(const Axis& axis, bool mirrored, std::uint32_t begin, std::uint32_t count) noexcept
      : axis_(axis), mirrored_(mirrored), begin_(begin), count_(count) {}

  std::uint32_t count() const noexcept { return count_; }
  Span span(std::uint32_t i) const noexcept;
  std::size_t most_pixels() const noexcept;  // of any span
  template <typename Take>
  void weights(std::uint32_t i, const Span& span, Take take) const noexcept;

 private:
  std::uint32_t output(std::uint32_t i) const noexcept { return begin_ + (mirrored_ ? count_ - 1 - i : i); }

  Axis axis_;
  bool mirrored_;
  std::uint32_t begin_;
  std::uint32_t count_;
};

// Where a run of pixels lies in an upright picture: the first one's place, and the step to each next.
struct Place {
  std::uint32_t x;
  std::uint32_t y;
  int step_x;
  int step_y;
};

// A window of the resized picture, row by row in stored order: a turned picture is turned when its few output
// pixels are put in their places, so that its many source pixels are read in the order they lie in memory.
//
// Which of the two directions is filtered first follows Pillow, since the values between them are rounded.
class Resampler {
 public:
  // `x` and `y` of the upright picture.
  Resampler(const PictureView& picture, const Axis& x, const Axis& y, const Window& window) noexcept;

  void lay_out(Scratch& scratch) noexcept;
  void start(const Kernels& kernels) noexcept;

  std::uint32_t row_count() const noexcept { return rows_.count(); }
  std::uint32_t column_count() const noexcept { return columns_.count(); }

  // column_count() pixels of RGBX, valid until the next call. To be called row_count() times.
  const std::uint8_t* next_row() noexcept;

  // Where the pixels of output row `row` belong in the window.
  Place place(std::uint32_t row) const noexcept;

 private:
  bool next_needed(std::uint32_t& row) noexcept;
  void read_group(std::size_t wanted) noexcept;
  void filter_column(std::uint32_t output, std::uint8_t* out) noexcept;
  std::uint8_t* held_row(std::size_t number) noexcept { return ring_ + number % ring_rows_ * ring_pitch_; }

  const Upright upright_;
  const Window window_;
  const StoredAxis columns_;  // along stored rows
  const StoredAxis rows_;     // down stored columns
  const bool columns_first_;  // rows are summed down the columns first, then filtered along
  RowReader reader_;
  std::size_t group_count_;
  std::size_t wide_pitch_;    // of a converted row with what filter_rows may read behind it
  std::size_t narrow_pitch_;  // of a row of output pixels
  std::size_t most_rows_;     // of one output row
  std::size_t ring_rows_;     // held: those of one output row, and what a group runs ahead
  std::size_t ring_pitch_;

  const Kernels* kernels_ = nullptr;
  std::uint32_t* firsts_ = nullptr;
  TapGroup* groups_ = nullptr;
  TapPair* pairs_ = nullptr;
  const std::uint8_t** column_rows_ = nullptr;
  std::uint8_t* wide_ = nullptr;    // kRowsAtOnce rows
  std::uint8_t* narrow_ = nullptr;  // kRowsAtOnce rows
  std::uint8_t* ring_ = nullptr;    // narrow rows, or wide ones when columns come first

  std::uint32_t given_ = 0;        // output rows that next_row() has given
  std::uint32_t reading_for_ = 0;  // the output row for which rows are being read
  std::uint32_t reading_row_ = 0;  // rows before it have been read or are not needed
  std::size_t rows_read_ = 0;
  std::size_t turn_ = 0;  // the number, among rows read, of the first of `last_span_`
  Span last_span_{0, 0};
};

}  // namespace safelight::image
