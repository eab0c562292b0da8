// Bands of the picture to 64x64 samples to 16x16 frequencies to 256 bits.
#include <algorithm>
#include <cstring>
#include <iterator>

#include "../image/scratch.h"
#include "kernels.h"
#include "safelight/hash.h"

namespace safelight::hash {
namespace {

using image::Format;
using image::PictureView;
using image::round_up;
using image::Scratch;

constexpr std::size_t kSampleCount = kSamples * kSamples;
constexpr std::size_t kBits = kFrequencies * kFrequencies;
constexpr std::size_t kMaxPixelBytes = 4;

// ITU-R BT.601 luma in thousandths, for each byte of a pixel as it lies in memory.
constexpr std::uint32_t kRed = 299;
constexpr std::uint32_t kGreen = 587;
constexpr std::uint32_t kBlue = 114;
constexpr std::uint32_t kLumaOne = 1000;

struct PixelLayout {
  std::size_t bytes;
  std::uint32_t weights[kMaxPixelBytes];
};

PixelLayout pixel_layout(Format format) noexcept {
  switch (format) {
    case Format::kRgb:
      return {3, {kRed, kGreen, kBlue, 0}};
    case Format::kBgr:
      return {3, {kBlue, kGreen, kRed, 0}};
    case Format::kRgba:
      return {4, {kRed, kGreen, kBlue, 0}};
    case Format::kYuyv:
      return {2, {kLumaOne, 0, 0, 0}};
    case Format::kGrey:
    case Format::kNv21:
    case Format::kNv12:
    case Format::kI420:
      return {1, {kLumaOne, 0, 0, 0}};
  }
  return {0, {}};
}

// The two box filters and the sampling along one side, as the reference has them: a window of `window` pixels that
// reaches one further to the right when it is even, twice; then samples at these places.
//
// Windows that stick out are divided by what is inside. That can happen at one place only: for an even window the
// last sample's second pass takes in one first-pass window that misses its last pixel. So the last sample is
//   (sum of window - 1 whole first-pass windows / window + the cut one / (window - 1)) / window,
// with whole numbers inside: a 65th line, the "cut" one, is kept beside the 64.
struct Axis {
  std::size_t window;
  std::size_t left;  // the window's reach
  std::size_t right;
  bool has_cut;
  std::size_t size;

  explicit Axis(std::size_t size_px) noexcept
      : window((size_px + 2 * kSamples - 1) / (2 * kSamples)),
        left((window - 1) / 2),
        right(window / 2),
        has_cut(window % 2 == 0),
        size(size_px) {}

  [[nodiscard]] std::size_t line_count() const noexcept { return kSamples + (has_cut ? 1 : 0); }
  [[nodiscard]] std::size_t longest() const noexcept { return 2 * window - 1; }

  [[nodiscard]] std::size_t sample(std::size_t line) const noexcept { return (2 * line + 1) * size / (2 * kSamples); }

  // First pixel and number of pixels of a line.
  [[nodiscard]] std::size_t first(std::size_t line) const noexcept {
    return line == kSamples ? size - (window - 1) : sample(line) - 2 * left;
  }
  [[nodiscard]] std::size_t length(std::size_t line) const noexcept {
    if (line == kSamples) {
      return window - 1;
    }
    return has_cut && line == kSamples - 1 ? longest() - 1 : longest();
  }
  // The weight of pixel `tap` of a line: in how many pairs of windows it lies.
  [[nodiscard]] std::uint32_t weight(std::size_t line, std::size_t tap) const noexcept {
    const std::size_t second = has_cut && line == kSamples - 1 ? window - 1 : window;  // first-pass windows taken
    const std::size_t pairs = std::min({tap + 1, second, length(line) - tap});
    return line == kSamples ? 1 : static_cast<std::uint32_t>(pairs);
  }
  // The same in stored pixels, each for `reduction` ones.
  [[nodiscard]] std::size_t first_block(std::size_t line, std::size_t reduction) const noexcept {
    return first(line) / reduction;
  }
  [[nodiscard]] std::size_t block_count(std::size_t line, std::size_t reduction) const noexcept {
    return (first(line) + length(line) - 1) / reduction - first_block(line, reduction) + 1;
  }
  [[nodiscard]] std::uint32_t block_weight(std::size_t line, std::size_t block, std::size_t reduction) const noexcept {
    const std::size_t begin = (first_block(line, reduction) + block) * reduction;
    const std::size_t end = std::min(begin + reduction, first(line) + length(line));
    std::uint32_t sum = 0;
    for (std::size_t pixel = std::max(begin, first(line)); pixel < end; ++pixel) {
      sum += weight(line, pixel - first(line));
    }
    return sum;
  }

  [[nodiscard]] double whole() const noexcept { return static_cast<double>(window * window); }
  // What the cut line counts beside the last one.
  [[nodiscard]] double cut_ratio() const noexcept {
    return static_cast<double>(window) / static_cast<double>(window - 1);
  }
};

// Which source row or column stands at `at` after the resize to kPreResizePx (CImg's nearest neighbour).
std::size_t nearest(std::size_t at, std::size_t size) noexcept { return at * size / kPreResizePx; }

// How many stored pixels `size` ones come to, the last one for what is left.
constexpr std::size_t blocks(std::size_t size, std::size_t reduction) noexcept {
  return (size + reduction - 1) / reduction;
}

// What the picture's arguments come to.
struct Plan {
  bool too_small;
  bool resized;  // nearest neighbour, on the way
  PixelLayout pixel;
  std::size_t width;  // as hashed
  std::size_t height;
  std::size_t reduction;     // a stored pixel stands for this many each way
  std::size_t stored_width;  // of the rows that are read

  [[nodiscard]] std::size_t row_bytes() const noexcept { return pixel.bytes * stored_width; }
};

constexpr Reduction kNotReduced = {1, 0, 0};

Status make_plan(const PictureView& picture, Profile profile, const Reduction& reduction, Plan* plan) noexcept {
  plan->pixel = pixel_layout(picture.format);
  if (plan->pixel.bytes == 0 || static_cast<std::size_t>(profile) >= kProfileCount) {
    return Status::kUnknownWord;
  }
  const image::Plane& plane = picture.planes[0];
  if (plane.data == nullptr) {
    return Status::kNullArgument;
  }
  const std::size_t width = picture.width_px;
  const std::size_t height = picture.height_px;
  if (width == 0 || height == 0 || width > image::kMaxSidePx || height > image::kMaxSidePx) {
    return Status::kBadPicture;
  }
  // A YUYV row is a whole number of pairs.
  const std::size_t row_bytes = plan->pixel.bytes * (picture.format == Format::kYuyv ? round_up(width, 2) : width);
  if (plane.stride_bytes < row_bytes || plane.length_bytes < row_bytes ||
      (plane.length_bytes - row_bytes) / plane.stride_bytes < height - 1) {
    return Status::kBadPicture;
  }
  const bool large = width > kPreResizePx || height > kPreResizePx;
  if (picture.rotation_degrees != 0 || (profile == Profile::kThumb512 && large)) {
    return Status::kOutOfRange;
  }
  plan->resized = profile == Profile::kNear512 && large;
  plan->width = plan->resized ? kPreResizePx : width;
  plan->height = plan->resized ? kPreResizePx : height;
  plan->stored_width = plan->width;
  plan->reduction = reduction.factor;
  if (reduction.factor != 1) {
    const bool possible = reduction.factor == 2 || reduction.factor == 4 || reduction.factor == 8;
    if (!possible || profile != Profile::kFull || reduction.full_width_px > image::kMaxSidePx ||
        reduction.full_height_px > image::kMaxSidePx) {
      return Status::kOutOfRange;
    }
    plan->width = reduction.full_width_px;
    plan->height = reduction.full_height_px;
    if (width != blocks(plan->width, plan->reduction) || height != blocks(plan->height, plan->reduction)) {
      return Status::kBadPicture;
    }
  }
  plan->too_small = plan->width < kMinSidePx || plan->height < kMinSidePx;
  return Status::kOk;
}

// Everything that a hash needs while it is made.
struct Workspace {
  std::uint32_t* sums;     // one line of the picture, each byte of a pixel apart
  std::uint32_t* weights;  // of a whole column tent, of the last one, of the cut one; or of each
  ColumnTent* tents;
  std::uint8_t* resized_rows;
  double* samples;
  float* rounded;
  double* half;
  double* frequencies;
};

// Of one column tent, with a stored pixel more that a reduced one may begin in.
std::size_t padded_taps(const Plan& plan) noexcept {
  const std::size_t reduced = plan.reduction == 1 ? 0 : 1;
  return round_up(plan.pixel.bytes * (blocks(Axis(plan.width).longest(), plan.reduction) + reduced), kTapStep);
}

// Tents that weigh alike share their weights; reduced ones begin anywhere in a stored pixel and do not.
std::size_t tent_shapes(const Plan& plan) noexcept { return plan.reduction == 1 ? 3 : kSamples + 1; }

Workspace lay_out(const Plan& plan, Scratch* scratch) noexcept {
  Workspace work{};
  // Room for the vectors' last block, and for the padding of the last tent.
  work.sums = scratch->take<std::uint32_t>(round_up(plan.row_bytes(), kSumStep) + kTapStep);
  work.weights = scratch->take<std::uint32_t>(tent_shapes(plan) * padded_taps(plan));
  work.tents = scratch->take<ColumnTent>(kSamples + 1);
  work.resized_rows = scratch->take<std::uint8_t>(plan.resized ? kRowsAtOnce * plan.pixel.bytes * kPreResizePx : 0);
  work.samples = scratch->take<double>(kSampleCount + kSamples + 1);  // and the cut lines
  work.rounded = scratch->take<float>(kSampleCount);
  work.half = scratch->take<double>(kSamples * kFrequencies);
  work.frequencies = scratch->take<double>(kSamples * kFrequencies);
  return work;
}

void fill_reduced_tents(const Plan& plan, const Axis& columns, const Workspace& work) noexcept {
  const std::size_t bytes = plan.pixel.bytes;
  const std::size_t padded = padded_taps(plan);
  for (std::size_t line = 0; line < columns.line_count(); ++line) {
    std::uint32_t* to = work.weights + line * padded;
    const std::size_t count = columns.block_count(line, plan.reduction);
    for (std::size_t block = 0; block < count; ++block) {
      for (std::size_t channel = 0; channel < bytes; ++channel) {
        to[bytes * block + channel] = columns.block_weight(line, block, plan.reduction) * plan.pixel.weights[channel];
      }
    }
    work.tents[line] = {to, static_cast<std::uint32_t>(bytes * columns.first_block(line, plan.reduction)),
                        static_cast<std::uint32_t>(round_up(bytes * count, kTapStep))};
  }
}

void fill_column_tents(const Plan& plan, const Axis& columns, const Workspace& work) noexcept {
  const std::size_t bytes = plan.pixel.bytes;
  const std::size_t padded = padded_taps(plan);
  std::memset(work.weights, 0, tent_shapes(plan) * padded * sizeof(*work.weights));
  if (plan.reduction > 1) {
    fill_reduced_tents(plan, columns, work);
    return;
  }
  const std::size_t shapes[3] = {0, kSamples - 1, kSamples};  // a line of each shape
  for (std::size_t shape = 0; shape < (columns.has_cut ? 3 : 1); ++shape) {
    std::uint32_t* to = work.weights + shape * padded;
    for (std::size_t tap = 0; tap < columns.length(shapes[shape]); ++tap) {
      for (std::size_t channel = 0; channel < bytes; ++channel) {
        to[bytes * tap + channel] = columns.weight(shapes[shape], tap) * plan.pixel.weights[channel];
      }
    }
  }
  for (std::size_t line = 0; line < columns.line_count(); ++line) {
    const bool special = columns.has_cut && line >= kSamples - 1;
    const std::size_t shape = special ? line - (kSamples - 2) : 0;
    work.tents[line] = {work.weights + shape * padded, static_cast<std::uint32_t>(bytes * columns.first(line)),
                        static_cast<std::uint32_t>(round_up(bytes * columns.length(line), kTapStep))};
  }
}

// Gathers one row of the resized picture.
void resize_row(const std::uint8_t* row, std::size_t source_width, std::size_t bytes, std::uint8_t* to) noexcept {
  for (std::size_t x = 0; x < kPreResizePx; ++x) {
    const std::uint8_t* from = row + bytes * nearest(x, source_width);
    for (std::size_t i = 0; i < bytes; ++i) {
      *to++ = from[i];
    }
  }
}

// Sums the rows of one line into work.sums.
void add_line(const PictureView& picture, const Plan& plan, const Axis& rows, std::size_t line, const Kernels& kernels,
              const Workspace& work) noexcept {
  const image::Plane& plane = picture.planes[0];
  const std::size_t count = plan.row_bytes();
  const bool reduced = plan.reduction > 1;
  const std::size_t first = reduced ? rows.first_block(line, plan.reduction) : rows.first(line);
  const std::size_t length = reduced ? rows.block_count(line, plan.reduction) : rows.length(line);
  for (std::size_t tap = 0; tap < length; tap += kRowsAtOnce) {
    const std::size_t here = std::min(kRowsAtOnce, length - tap);
    const std::uint8_t* pointers[kRowsAtOnce] = {};
    RowPair weights[kPairsAtOnce] = {};
    for (std::size_t i = 0; i < here; ++i) {
      const std::size_t row = first + tap + i;
      if (plan.resized) {
        std::uint8_t* copy = work.resized_rows + i * count;
        resize_row(plane.data + nearest(row, picture.height_px) * plane.stride_bytes, picture.width_px,
                   plan.pixel.bytes, copy);
        pointers[i] = copy;
      } else {
        pointers[i] = plane.data + row * plane.stride_bytes;
      }
      const auto weight = static_cast<std::int16_t>(reduced ? rows.block_weight(line, tap + i, plan.reduction)
                                                            : rows.weight(line, tap + i));
      (i % 2 == 0 ? weights[i / 2].upper : weights[i / 2].lower) = weight;
    }
    if (here % 2 == 1) {
      pointers[here] = pointers[here - 1];  // with weight 0
    }
    kernels.add_rows(pointers, weights, (here + 1) / 2, tap == 0, count, work.sums);
  }
}

void round_samples(double scale, const Workspace& work) noexcept {
  for (std::size_t i = 0; i < kSampleCount; ++i) {
    work.rounded[i] = static_cast<float>(work.samples[i] * scale);
  }
}

// Fills work.samples, unscaled: their whole numbers stay exact, and the hash only compares. work.rounded is 0..255.
void make_samples(const PictureView& picture, const Plan& plan, const Kernels& kernels,
                  const Workspace& work) noexcept {
  const Axis rows(plan.height);
  const Axis columns(plan.width);
  if (plan.width == kSamples && rows.window == 1 && plan.reduction == 1) {  // a thumbnail: one pixel is one sample
    for (std::size_t y = 0; y < kSamples; ++y) {
      const std::uint8_t* row = picture.planes[0].data + rows.sample(y) * picture.planes[0].stride_bytes;
      kernels.weigh_row(row, plan.pixel.weights, plan.pixel.bytes, work.samples + y * kSamples);
    }
    round_samples(1.0 / kLumaOne, work);
    return;
  }
  fill_column_tents(plan, columns, work);
  const std::size_t count = plan.row_bytes();
  const std::size_t padded = round_up(count, kSumStep) + kTapStep;
  std::memset(work.sums + count, 0, (padded - count) * sizeof(*work.sums));  // meets weights of 0 only

  for (std::size_t y = 0; y < rows.line_count(); ++y) {
    add_line(picture, plan, rows, y, kernels, work);
    // At most 255 * 1000 * (256 * 256)^2 < 2^52. The cut column, if any, lands where the next row then begins.
    double* to = work.samples + y * kSamples;
    kernels.add_columns(work.sums, work.tents, columns.line_count(), to);
    if (columns.has_cut) {
      to[kSamples - 1] += to[kSamples] * columns.cut_ratio();
    }
  }
  if (rows.has_cut) {
    double* last = work.samples + (kSamples - 1) * kSamples;
    for (std::size_t x = 0; x < kSamples; ++x) {
      last[x] += last[kSamples + x] * rows.cut_ratio();
    }
  }
  round_samples(1.0 / (rows.whole() * columns.whole() * kLumaOne), work);
}

std::uint8_t quality_of(const Kernels& kernels, const Workspace& work) noexcept {
  constexpr std::uint32_t kGradientsPerPoint = 90;
  constexpr std::uint32_t kBest = 100;
  return static_cast<std::uint8_t>(std::min(kernels.gradients(work.rounded) / kGradientsPerPoint, kBest));
}

// 16 frequencies each way, [column frequency][row frequency].
void make_frequencies(const Kernels& kernels, const Workspace& work) noexcept {
  kernels.transform(work.samples, kSamples, work.half);
  double* turned = work.samples;  // no longer needed
  for (std::size_t f = 0; f < kFrequencies; ++f) {
    for (std::size_t x = 0; x < kSamples; ++x) {
      turned[x * kFrequencies + f] = work.half[f * kSamples + x];
    }
  }
  kernels.transform(turned, kFrequencies, work.frequencies);
}

// A turn or mirror of the picture, as it shows in its frequencies: odd ones change sign, rows become columns.
// Two that change the same signs have the same median, and the same bits in another place.
struct Signs {
  bool flip_rows;
  bool flip_columns;
  std::size_t as_is;       // place in the reference's order
  std::size_t transposed;  // place of the same after a transposition
};
constexpr Signs kSigns[] = {
    {false, false, 0, 6},
    {false, true, 5, 1},
    {true, false, 4, 3},
    {true, true, 2, 7},
};

// Word 15 first, and of each word the high byte first.
void put_bits(const std::uint32_t* words, std::uint8_t* bits) noexcept {
  for (std::size_t i = 0; i < kFrequencies; ++i) {
    const std::uint32_t word = words[kFrequencies - 1 - i];
    bits[2 * i] = static_cast<std::uint8_t>(word >> 8U);
    bits[2 * i + 1] = static_cast<std::uint8_t>(word & 0xFFU);
  }
}

// `frequencies` is [column][row].
void make_bits(const double* frequencies, const Signs& signs, std::uint8_t* as_is, std::uint8_t* transposed) noexcept {
  double turned[kBits];
  double sorted[kBits];
  for (std::size_t i = 0; i < kBits; i += 2) {
    const std::size_t column = i / kFrequencies;
    // Index 0 is frequency 1: the even indices are the odd frequencies.
    const double sign = signs.flip_columns && column % 2 == 0 ? -1.0 : 1.0;
    sorted[i] = turned[i] = frequencies[i] * (signs.flip_rows ? -sign : sign);
    sorted[i + 1] = turned[i + 1] = frequencies[i + 1] * sign;
  }
  double* const median = sorted + kBits / 2 - 1;  // the lower of the two middle ones
  std::nth_element(std::begin(sorted), median, std::end(sorted));
  std::uint32_t rows[kFrequencies] = {};
  std::uint32_t columns[kFrequencies] = {};
  for (std::size_t column = 0; column < kFrequencies; ++column) {
    for (std::size_t row = 0; row < kFrequencies; ++row) {
      const std::uint32_t bit = turned[column * kFrequencies + row] > *median ? 1 : 0;
      rows[row] |= bit << column;
      columns[column] |= bit << row;
    }
  }
  put_bits(rows, as_is);
  put_bits(columns, transposed);
}

Status make_hashes(const PictureView& picture, Profile profile, const Reduction& reduction, std::size_t count,
                   Pdq* results, void* scratch, std::size_t scratch_bytes) noexcept {
  if (results == nullptr || scratch == nullptr) {
    return Status::kNullArgument;
  }
  Plan plan{};
  const Status status = make_plan(picture, profile, reduction, &plan);
  if (status != Status::kOk) {
    return status;
  }
  Scratch counted;
  lay_out(plan, &counted);
  if (scratch_bytes < counted.bytes_needed()) {
    return Status::kBufferTooSmall;
  }
  if (plan.too_small) {
    std::fill(results, results + count, Pdq{PdqState::kTooSmall, 0, {}});
    return Status::kOk;
  }
  Scratch pieces(scratch);
  const Workspace work = lay_out(plan, &pieces);
  const Kernels& kernels = active_kernels();
  make_samples(picture, plan, kernels, work);
  const std::uint8_t quality = quality_of(kernels, work);
  make_frequencies(kernels, work);
  for (std::size_t i = 0; i < count; ++i) {
    results[i].state = quality < kMinUsableQuality ? PdqState::kLowQuality : PdqState::kOk;
    results[i].quality = quality;
  }
  std::uint8_t unused[kPdqBytes];
  for (const Signs& signs : kSigns) {
    if (signs.as_is < count) {
      make_bits(work.frequencies, signs, results[signs.as_is].bits,
                signs.transposed < count ? results[signs.transposed].bits : unused);
    }
  }
  return Status::kOk;
}

Status count_scratch(const PictureView& picture, Profile profile, const Reduction& reduction,
                     std::size_t* bytes) noexcept {
  if (bytes == nullptr) {
    return Status::kNullArgument;
  }
  Plan plan{};
  const Status status = make_plan(picture, profile, reduction, &plan);
  if (status == Status::kOk) {
    Scratch counted;
    lay_out(plan, &counted);
    *bytes = counted.bytes_needed();
  }
  return status;
}

}  // namespace

Status pdq_scratch_bytes(const PictureView& picture, Profile profile, std::size_t* bytes) noexcept {
  return count_scratch(picture, profile, kNotReduced, bytes);
}

Status pdq(const PictureView& picture, Profile profile, Pdq* result, void* scratch,
           std::size_t scratch_bytes) noexcept {
  return make_hashes(picture, profile, kNotReduced, 1, result, scratch, scratch_bytes);
}

Status pdq_dihedral(const PictureView& picture, Profile profile, Pdq* results, void* scratch,
                    std::size_t scratch_bytes) noexcept {
  return make_hashes(picture, profile, kNotReduced, kDihedralCount, results, scratch, scratch_bytes);
}

Status pdq_reduced_scratch_bytes(const PictureView& picture, const Reduction& reduction, std::size_t* bytes) noexcept {
  return count_scratch(picture, Profile::kFull, reduction, bytes);
}

Status pdq_reduced(const PictureView& picture, const Reduction& reduction, bool dihedral, Pdq* results, void* scratch,
                   std::size_t scratch_bytes) noexcept {
  const std::size_t count = dihedral ? kDihedralCount : 1;
  return make_hashes(picture, Profile::kFull, reduction, count, results, scratch, scratch_bytes);
}

std::uint32_t pdq_distance(const std::uint8_t* left, const std::uint8_t* right) noexcept {
  std::uint32_t distance = 0;
  for (std::size_t i = 0; i < kPdqBytes; ++i) {
    for (std::uint32_t differs = static_cast<std::uint32_t>(left[i]) ^ right[i]; differs != 0; differs &= differs - 1) {
      ++distance;
    }
  }
  return distance;
}

}  // namespace safelight::hash
