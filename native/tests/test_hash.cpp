#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "safelight/hash.h"

using namespace safelight::hash;
using safelight::Status;
using safelight::image::Format;
using safelight::image::PictureView;
using Bytes = std::vector<std::uint8_t>;

namespace {

// Smooth, in whole numbers: the same bytes as tests/reference/pdq.py `picture`.
Bytes picture(std::size_t width, std::size_t height, std::uint32_t seed) {
  constexpr std::size_t kSide = 9;
  std::array<std::uint32_t, kSide * kSide * 3> grid{};
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::uint32_t& cell : grid) {
    state = state * 1664525U + 1013904223U;
    cell = state >> 24U;
  }
  Bytes pixels(width * height * 3);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        const std::size_t down = y * 8 * 256 / height;
        const std::size_t right = x * 8 * 256 / width;
        const std::size_t at = ((down >> 8U) * kSide + (right >> 8U)) * 3 + c;
        const std::size_t fx = right & 255U;
        const std::size_t fy = down & 255U;
        const std::size_t upper = grid.at(at) * (256 - fx) + grid.at(at + 3) * fx;
        const std::size_t lower = grid.at(at + kSide * 3) * (256 - fx) + grid.at(at + kSide * 3 + 3) * fx;
        pixels[(y * width + x) * 3 + c] = static_cast<std::uint8_t>((upper * (256 - fy) + lower * fy) >> 16U);
      }
    }
  }
  return pixels;
}

// One plane with `padding` bytes after every row but the last, in a heap block of exactly that length, so that
// AddressSanitizer sees a read of one byte too many.
struct Plane {
  Bytes bytes;
  PictureView view{};

  Plane(Format format, std::size_t width, std::size_t height, std::size_t row_bytes, std::size_t padding) {
    const std::size_t stride = row_bytes + padding;
    bytes.assign(stride * (height - 1) + row_bytes, 0xA5);
    view.format = format;
    view.width_px = static_cast<std::uint32_t>(width);
    view.height_px = static_cast<std::uint32_t>(height);
    view.planes[0] = {bytes.data(), stride, bytes.size()};
  }
  std::uint8_t* row(std::size_t y) { return bytes.data() + y * view.planes[0].stride_bytes; }
};

Plane rgb(std::size_t width, std::size_t height, std::uint32_t seed, std::size_t padding = 0) {
  Plane plane(Format::kRgb, width, height, 3 * width, padding);
  const Bytes pixels = picture(width, height, seed);
  for (std::size_t y = 0; y < height; ++y) {
    std::memcpy(plane.row(y), pixels.data() + y * 3 * width, 3 * width);
  }
  return plane;
}

// Runs with a scratch of exactly the size asked for.
std::array<Pdq, kDihedralCount> run_dihedral(const PictureView& view, Profile profile = Profile::kFull) {
  std::size_t size = 0;
  REQUIRE(pdq_scratch_bytes(view, profile, &size) == Status::kOk);
  Bytes scratch(size);
  std::array<Pdq, kDihedralCount> results{};
  REQUIRE(pdq_dihedral(view, profile, results.data(), scratch.data(), scratch.size()) == Status::kOk);
  Pdq single{};
  REQUIRE(pdq(view, profile, &single, scratch.data(), scratch.size()) == Status::kOk);
  CHECK(std::memcmp(single.bits, results[0].bits, kPdqBytes) == 0);
  CHECK(single.quality == results[0].quality);
  return results;
}

Pdq run(const PictureView& view, Profile profile = Profile::kFull) { return run_dihedral(view, profile)[0]; }

std::string hex(const Pdq& result) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : result.bits) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

bool same(const Pdq& left, const Pdq& right) {
  return left.state == right.state && left.quality == right.quality &&
         std::memcmp(left.bits, right.bits, kPdqBytes) == 0;
}

struct Golden {
  std::size_t width;
  std::size_t height;
  std::uint32_t seed;
  int quality;
  const char* hex;
};

// pdqhash 0.2.8's own answers; the same numbers as in tests/unit/test_hashing.py.
constexpr Golden kGolden[] = {
    {64, 64, 1, 100, "d9b269e9a691fc1ed5d551c52222a7f2db6c07f0a332f16551d13d1ea492c1e1"},
    {5, 5, 2, 87, "64d9c6f19b263b0ec3f093a4c1f06e5b3e0fc6f164d9c6f19b26390ec1f091a4"},
    {7, 61, 3, 100, "f07e6b65d6727cf8cf83958a912e6b259e726b250924912ecf833d8894da9782"},
    {127, 129, 4, 100, "6df0173d8c89c3f3dc8dd0c46beba1d09554a1c24bebd085dc1de3f34c091e3c"},
    {128, 128, 5, 100, "02008012ebee5d5fa7f3b5569c1db086588d30865c1d355667f37ddf3bee2412"},
    {200, 300, 6, 100, "8363067393e42dda4ebb4b69180c788f9c9c788f980c4b696ebb2dda13e4e633"},
    {512, 512, 7, 100, "202012256493667324b2ed5b763769cab80f69cb7637ed5b64b2e77324935365"},
    {640, 480, 8, 100, "21c43c1ebebf788f64931144ad5a1d5ccc191d5c2d5a11446493788ffebf3c1e"},
    {1023, 97, 9, 100, "f768b567c3e1bc1ef087e5d3b2a603608eb80b6832a6a592d085bc1e07f0f557"},
    {1920, 1080, 10, 100, "fa7d8ff8e1c3c889db6d980c1634a9cacc99a9ca9634980cdb6d4889e1c38ff8"},
};

struct ForcedKernel {
  explicit ForcedKernel(const char* name) { REQUIRE(set_kernel(name) == Status::kOk); }
  ForcedKernel(const ForcedKernel&) = delete;
  ForcedKernel& operator=(const ForcedKernel&) = delete;
  ~ForcedKernel() { set_kernel("auto"); }
};

}  // namespace

TEST_CASE("pdq: every kernel gives pdqhash's hash") {
  for (std::size_t i = 0; i < kKernelCount; ++i) {
    const KernelInfo info = kernel_info(i);
    if (!info.available) {
      CHECK(set_kernel(info.name) == Status::kKernelUnavailable);
      continue;
    }
    const ForcedKernel forced(info.name);
    CHECK(std::string(kernel_in_use()) == info.name);
    for (const Golden& golden : kGolden) {
      CAPTURE(info.name);
      CAPTURE(golden.width);
      const Pdq result = run(rgb(golden.width, golden.height, golden.seed).view);
      CHECK(hex(result) == golden.hex);
      CHECK(result.quality == golden.quality);
      CHECK(result.state == PdqState::kOk);
    }
  }
  CHECK(set_kernel("abacus") == Status::kUnknownWord);
  CHECK(set_kernel(nullptr) == Status::kNullArgument);
  CHECK(kernel_info(kKernelCount).name == nullptr);
}

TEST_CASE("pdq: kernels agree on every width and on noise, padding or not") {
  std::uint32_t state = 1;
  for (std::size_t width = 5; width < 5 + 2 * 64 + 3; width += 7) {
    const std::size_t height = 5 + width * 37 % 211;
    Plane plane(Format::kRgb, width, height, 3 * width, width % 5);
    for (std::uint8_t& byte : plane.bytes) {
      state = state * 1664525U + 1013904223U;
      byte = static_cast<std::uint8_t>(state >> 24U);
    }
    REQUIRE(set_kernel("scalar") == Status::kOk);
    const auto expected = run_dihedral(plane.view);
    for (std::size_t i = 0; i < kKernelCount; ++i) {
      if (set_kernel(kernel_info(i).name) == Status::kOk) {
        const auto results = run_dihedral(plane.view);
        for (std::size_t turn = 0; turn < kDihedralCount; ++turn) {
          CHECK(same(results.at(turn), expected.at(turn)));
        }
      }
    }
  }
  set_kernel("auto");
}

TEST_CASE("pdq: rows may be padded, and other formats of the same luma give the same hash") {
  const std::size_t width = 201;
  const std::size_t height = 157;
  const Plane source = rgb(width, height, 11);
  const Pdq expected = run(source.view);
  CHECK(same(run(rgb(width, height, 11, 13).view), expected));

  Plane bgr(Format::kBgr, width, height, 3 * width, 1);
  Plane rgba(Format::kRgba, width, height, 4 * width, 2);
  Plane grey_rgb(Format::kRgb, width, height, 3 * width, 0);
  Plane grey(Format::kGrey, width, height, width, 0);
  Plane nv21(Format::kNv21, width, height, width, 7);  // its chroma plane stays null: it is not read
  Plane yuyv(Format::kYuyv, width, height, 2 * (width + 1), 0);
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      const std::uint8_t* pixel = source.bytes.data() + (y * width + x) * 3;
      for (std::size_t c = 0; c < 3; ++c) {
        bgr.row(y)[3 * x + c] = pixel[2 - c];
        rgba.row(y)[4 * x + c] = pixel[c];
        grey_rgb.row(y)[3 * x + c] = pixel[1];
      }
      grey.row(y)[x] = nv21.row(y)[x] = yuyv.row(y)[2 * x] = pixel[1];
    }
  }
  CHECK(same(run(bgr.view), expected));
  CHECK(same(run(rgba.view), expected));
  const Pdq luma = run(grey_rgb.view);
  CHECK_FALSE(same(luma, expected));
  CHECK(same(run(grey.view), luma));
  CHECK(same(run(nv21.view), luma));
  CHECK(same(run(yuyv.view), luma));
  for (const Format format : {Format::kNv12, Format::kI420}) {
    nv21.view.format = format;
    CHECK(same(run(nv21.view), luma));
  }
}

TEST_CASE("pdq: near512 is nearest neighbour first, and only for large pictures") {
  const Plane large = rgb(1023, 97, 9, 3);
  CHECK(hex(run(large.view, Profile::kNear512)) == "f360f5d7c7f0fc1ed085e5d332a683608eb80b6832a6a592d085bc1e07f0f557");
  const Plane small = rgb(200, 300, 6);
  CHECK(same(run(small.view, Profile::kNear512), run(small.view)));
  CHECK(same(run(small.view, Profile::kThumb512), run(small.view)));
}

TEST_CASE("pdq: no picture is too large or too thin for its arithmetic") {
  for (const std::uint8_t level : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{255}}) {
    Plane wide(Format::kGrey, safelight::image::kMaxSidePx, 5, safelight::image::kMaxSidePx, 0);
    std::memset(wide.bytes.data(), level, wide.bytes.size());
    const Pdq flat = run(wide.view);
    CHECK(flat.state == PdqState::kLowQuality);
    CHECK(flat.quality == 0);
    wide.view.width_px = 5;
    wide.view.height_px = safelight::image::kMaxSidePx;
    wide.view.planes[0].stride_bytes = 5;
    CHECK(run(wide.view).quality == 0);
  }
}

TEST_CASE("pdq: a side under five pixels has no hash") {
  for (const std::size_t side : {1, 4}) {
    CHECK(run(rgb(side, 100, 1).view).state == PdqState::kTooSmall);
    CHECK(run(rgb(100, side, 1).view, Profile::kNear512).state == PdqState::kTooSmall);
  }
  CHECK(run(rgb(5, 5, 2).view).state == PdqState::kOk);
}

TEST_CASE("pdq: what does not fit is refused and changes nothing") {
  Plane plane = rgb(40, 30, 1);
  const PictureView good = plane.view;
  Bytes scratch(1U << 20U);
  const auto status = [&](const PictureView& view, Profile profile = Profile::kFull) {
    Pdq result{PdqState::kTooSmall, 77, {1, 2, 3}};
    const Status said = pdq(view, profile, &result, scratch.data(), scratch.size());
    CHECK(result.quality == (said == Status::kOk ? result.quality : 77));
    std::size_t bytes = 99;
    CHECK(pdq_scratch_bytes(view, profile, &bytes) == said);
    return said;
  };
  const auto changed = [&](auto change) {
    PictureView view = good;
    change(view);
    return status(view);
  };
  CHECK(status(good) == Status::kOk);
  CHECK(changed([](PictureView& view) { view.planes[0].data = nullptr; }) == Status::kNullArgument);
  CHECK(changed([](PictureView& view) { view.planes[0].stride_bytes = 119; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.planes[0].length_bytes -= 1; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.height_px = 31; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.width_px = 0; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.height_px = 0; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.width_px = 32'768; }) == Status::kBadPicture);
  CHECK(changed([](PictureView& view) { view.rotation_degrees = 90; }) == Status::kOutOfRange);
  CHECK(changed([](PictureView& view) { view.format = static_cast<Format>(8); }) == Status::kUnknownWord);
  CHECK(status(good, static_cast<Profile>(3)) == Status::kUnknownWord);
  CHECK(status(rgb(513, 5, 1).view, Profile::kThumb512) == Status::kOutOfRange);

  std::size_t needed = 0;
  REQUIRE(pdq_scratch_bytes(good, Profile::kFull, &needed) == Status::kOk);
  Pdq result{};
  CHECK(pdq(good, Profile::kFull, &result, scratch.data(), needed - 1) == Status::kBufferTooSmall);
  CHECK(pdq(good, Profile::kFull, &result, nullptr, needed) == Status::kNullArgument);
  CHECK(pdq(good, Profile::kFull, nullptr, scratch.data(), needed) == Status::kNullArgument);
  CHECK(pdq_scratch_bytes(good, Profile::kFull, nullptr) == Status::kNullArgument);
}

TEST_CASE("pdq: a reduced picture is hashed as its blocks, on every kernel") {
  for (const std::size_t factor : {2, 4, 8}) {
    const std::size_t width = 403;
    const std::size_t height = 261;
    const Plane small = rgb((width + factor - 1) / factor, (height + factor - 1) / factor, 21, 5);
    Plane spread(Format::kRgb, width, height, 3 * width, 0);
    for (std::size_t y = 0; y < height; ++y) {
      for (std::size_t x = 0; x < width; ++x) {
        const std::uint8_t* from = small.bytes.data() + y / factor * (3 * small.view.width_px + 5) + x / factor * 3;
        std::copy(from, from + 3, spread.row(y) + 3 * x);
      }
    }
    const Pdq expected = run(spread.view);
    const Reduction reduction = {static_cast<std::uint32_t>(factor), width, height};
    std::size_t needed = 0;
    REQUIRE(pdq_reduced_scratch_bytes(small.view, reduction, &needed) == Status::kOk);
    Bytes scratch(needed);
    for (std::size_t i = 0; i < kKernelCount; ++i) {
      if (set_kernel(kernel_info(i).name) == Status::kOk) {
        Pdq results[kDihedralCount];
        CHECK(pdq_reduced(small.view, reduction, true, results, scratch.data(), needed) == Status::kOk);
        CHECK(same(results[0], expected));
      }
    }
    set_kernel("auto");
    const auto status = [&](Reduction other) { return pdq_reduced_scratch_bytes(small.view, other, &needed); };
    CHECK(status({3, width, height}) == Status::kOutOfRange);
    CHECK(status({0, width, height}) == Status::kOutOfRange);
    CHECK(status({2, 32'768, height}) == Status::kOutOfRange);
    CHECK(status({static_cast<std::uint32_t>(factor), width + 8, height}) == Status::kBadPicture);
    CHECK(status({static_cast<std::uint32_t>(factor), 0, 0}) == Status::kBadPicture);
    CHECK(pdq_reduced(small.view, reduction, false, nullptr, scratch.data(), 1) == Status::kNullArgument);
  }
}

TEST_CASE("pdq: distance counts bits") {
  const Pdq left = run(rgb(100, 80, 1).view);
  Pdq right = left;
  CHECK(pdq_distance(left.bits, right.bits) == 0);
  right.bits[0] ^= 0x81U;
  right.bits[31] ^= 0x7FU;
  CHECK(pdq_distance(left.bits, right.bits) == 9);
}

TEST_CASE("pdq: threads do not disturb each other") {
  const Plane plane = rgb(300, 200, 3);
  const Pdq expected = run(plane.view);
  std::array<Pdq, 4> results{};
  std::vector<std::thread> threads;
  for (Pdq& result : results) {
    threads.emplace_back([&plane, &result] {
      std::size_t size = 0;
      pdq_scratch_bytes(plane.view, Profile::kFull, &size);
      Bytes scratch(size);
      for (int i = 0; i < 20; ++i) {
        pdq(plane.view, Profile::kFull, &result, scratch.data(), scratch.size());
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Pdq& result : results) {
    CHECK(same(result, expected));
  }
}
