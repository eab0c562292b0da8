// The plain loops: what every other kernel must equal, bit for bit.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace safelight::hash {
namespace {

void add_rows(const std::uint8_t* const* rows, const RowPair* weights, std::size_t pair_count, bool fresh,
              std::size_t count, std::uint32_t* sums) {
  if (fresh) {
    std::memset(sums, 0, count * sizeof(*sums));
  }
  for (std::size_t pair = 0; pair < pair_count; ++pair) {
    const std::uint8_t* upper = rows[2 * pair];
    const std::uint8_t* lower = rows[2 * pair + 1];
    const auto upper_weight = static_cast<std::uint32_t>(weights[pair].upper);
    const auto lower_weight = static_cast<std::uint32_t>(weights[pair].lower);
    for (std::size_t i = 0; i < count; ++i) {
      sums[i] += upper_weight * upper[i] + lower_weight * lower[i];
    }
  }
}

void add_columns(const std::uint32_t* sums, const ColumnTent* tents, std::size_t count, double* out) {
  for (std::size_t tent = 0; tent < count; ++tent) {
    const std::uint32_t* from = sums + tents[tent].first;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < tents[tent].length; ++i) {
      sum += static_cast<std::uint64_t>(from[i]) * tents[tent].weights[i];
    }
    out[tent] = static_cast<double>(sum);
  }
}

void transform(double* samples, std::size_t width, double* out) {
  double* const folded[2] = {samples + kFolded * width, samples};  // differences for odd frequencies, sums for even
  for (std::size_t k = 0; k < kFolded; ++k) {
    double* near = samples + k * width;
    double* far = samples + (kSamples - 1 - k) * width;
    for (std::size_t x = 0; x < width; ++x) {
      const double sum = near[x] + far[x];
      far[x] = near[x] - far[x];
      near[x] = sum;
    }
  }
  for (std::size_t parity = 0; parity < 2; ++parity) {
    for (std::size_t f = 0; f < kEachParity; ++f) {
      double* row = out + (2 * f + parity) * width;
      for (std::size_t x = 0; x < width; ++x) {
        row[x] = 0.0;
      }
      for (std::size_t k = 0; k < kFolded; ++k) {
        // The differences lie mirrored: that of sample k is in row 63 - k.
        const double* from = folded[parity] + (parity == 0 ? kFolded - 1 - k : k) * width;
        const double cosine = kCosines.values[parity][k][f];
        for (std::size_t x = 0; x < width; ++x) {
          row[x] += cosine * from[x];
        }
      }
    }
  }
}

std::uint32_t gradient(float left, float right) noexcept {
  constexpr float kPercent = 100.0F;
  constexpr float kWhite = 255.0F;
  return static_cast<std::uint32_t>(std::fabs((left - right) * kPercent / kWhite));
}

std::uint32_t gradients(const float* samples) {
  std::uint32_t sum = 0;
  for (std::size_t y = 0; y < kSamples; ++y) {
    for (std::size_t x = 0; x < kSamples; ++x) {
      const float* at = samples + y * kSamples + x;
      sum += x + 1 < kSamples ? gradient(at[0], at[1]) : 0;
      sum += y + 1 < kSamples ? gradient(at[0], at[kSamples]) : 0;
    }
  }
  return sum;
}

// cos(pi/2 * turns / 64) for 0 <= turns <= 64, by its Taylor series at compile time: libraries differ in the last
// bit, and this must not.
constexpr double quarter_cosine(std::size_t turns) {
  constexpr double kHalfPi = 1.57079632679489661923;
  constexpr int kTerms = 14;  // the next one is below 2^-90
  const double angle = kHalfPi * static_cast<double>(turns) / static_cast<double>(kSamples);
  double sum = 0.0;
  double term = 1.0;
  double terms[kTerms] = {};
  for (int n = 0; n < kTerms; ++n) {
    terms[n] = term;
    term *= -angle * angle / ((2 * n + 1) * (2 * n + 2));
  }
  for (int n = kTerms; n-- > 0;) {  // smallest first
    sum += terms[n];
  }
  return sum;
}

constexpr double cosine(std::size_t turns) {
  constexpr std::size_t kQuarter = kSamples;
  const std::size_t at = turns % (4 * kQuarter);
  const std::size_t half = at > 2 * kQuarter ? 4 * kQuarter - at : at;  // cos is even
  return half > kQuarter ? -quarter_cosine(2 * kQuarter - half) : quarter_cosine(half);
}

constexpr CosineTable make_cosines() {
  constexpr double kScale = 0.17677669529663688110;  // sqrt(2 / 64)
  CosineTable table = {};
  for (std::size_t parity = 0; parity < 2; ++parity) {
    for (std::size_t k = 0; k < kFolded; ++k) {
      for (std::size_t f = 0; f < kEachParity; ++f) {
        const std::size_t frequency = 2 * f + parity + 1;
        table.values[parity][k][f] = kScale * cosine(frequency * (2 * k + 1));
      }
    }
  }
  return table;
}

}  // namespace

constexpr CosineTable kMadeCosines = make_cosines();
const CosineTable kCosines = kMadeCosines;

const Kernels kScalarKernels = {"scalar", &add_rows, &add_columns, &weigh_row_scalar, &transform, &gradients};

void weigh_row_scalar(const std::uint8_t* row, const std::uint32_t* weights, std::size_t pixel_bytes,
                      double* out) noexcept {
  for (std::size_t x = 0; x < kSamples; ++x) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < pixel_bytes; ++i) {
      sum += weights[i] * row[x * pixel_bytes + i];
    }
    out[x] = static_cast<double>(sum);
  }
}

void copy_tails(const std::uint8_t* const* rows, std::size_t pair_count, std::size_t from, std::size_t count,
                RowTails* tails) noexcept {
  for (std::size_t i = 0; i < 2 * pair_count; ++i) {
    std::memset(tails->bytes[i], 0, kSumStep);
    std::memcpy(tails->bytes[i], rows[i] + from, count - from);
    tails->rows[i] = tails->bytes[i];
  }
}

}  // namespace safelight::hash
