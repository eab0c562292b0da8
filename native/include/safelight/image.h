// From a picture as it comes (camera planes, decoded pixels) to what a model takes, in one pass.
//
// Each needed source row is converted to RGB, filtered along the row and summed down the columns; there is
// never a full-size RGB copy. Rotation, crop, resize, centre crop, colour order and quantisation cost no pass
// of their own, and what the centre crop would cut away is not computed.
//
// Rules of this header:
//  - No I/O, no exception, no allocation: the caller gives one scratch buffer, whose size a function says.
//  - Nothing is read outside the planes' stated lengths or written outside the tensor's, and nothing is kept.
//  - Integer arithmetic, or floating point in a fixed order: every kernel and every CPU gives the same bytes.
//  - Thread-safe, set_kernel() included.
//
// The readable twin is tests/reference/image.py.
#pragma once

#include <cstddef>
#include <cstdint>

#include "safelight/status.h"

namespace safelight::image {

// The longest side of a source picture: the last coordinate of 16-bit toolkits, as in safelight.media.Limits.
inline constexpr std::uint32_t kMaxSidePx = 32'767;
// The longest side of a resized picture, and of a face chip. Models take 64 to 299.
inline constexpr std::uint32_t kMaxTargetPx = 4'096;
inline constexpr std::uint32_t kMaxChipPx = 1'024;
// Landmarks of one face: BlazeFace gives 6.
inline constexpr std::size_t kMaxLandmarks = 16;

// How a picture lies in memory. Append, never reorder.
enum class Format : std::uint8_t {
  kRgb,   // one plane, 3 bytes a pixel
  kBgr,   // one plane, 3 bytes a pixel, blue first
  kRgba,  // one plane, 4 bytes a pixel; alpha is ignored: flatten before if it means something
  kGrey,  // one plane, 1 byte a pixel
  kNv21,  // Y; then V and U interleaved at half width and half height (Android cameras)
  kNv12,  // Y; then U and V interleaved at half width and half height
  kI420,  // Y; U; V, the latter two at half width and half height
  kYuyv,  // one plane, Y U Y V for two pixels (USB cameras)
};
inline constexpr std::size_t kFormatCount = 8;

// Which YUV. Camera frames and JPEG are full range BT.601; video streams are mostly limited range.
enum class Yuv : std::uint8_t { kBt601Full, kBt601Limited, kBt709Full, kBt709Limited };
inline constexpr std::size_t kYuvCount = 4;

// `stride_bytes` from one row to the next, at least the bytes of a row. Odd sizes: chroma sides are rounded
// up, and a YUYV row is a whole number of 4-byte pairs. The last row may end without its padding.
struct Plane {
  const std::uint8_t* data;
  std::size_t stride_bytes;
  std::size_t length_bytes;  // from `data`; what may be read
};

// A borrowed picture. Sizes are as stored; a clockwise turn by `rotation_degrees` (0, 90, 180, 270: what
// camera sensors report) makes it upright. Everything else in this header speaks of the upright picture.
struct PictureView {
  Format format;
  Yuv yuv;  // read for YUV formats only
  std::uint32_t rotation_degrees;
  std::uint32_t width_px;
  std::uint32_t height_px;
  Plane planes[3];  // as many as the format has
};

std::size_t plane_count(Format format) noexcept;  // 0 for a format out of range

enum class Filter : std::uint8_t {
  kBilinear,       // triangle, its support grown with the reduction: Pillow's BILINEAR bit for bit
  kBox,            // pixels whose centre lies inside, equal weight: Pillow's BOX bit for bit
  kArea,           // exact average of the covered area, as OpenCV's INTER_AREA when it reduces
  kBilinearPoint,  // the 2x2 around the centre, not antialiased: OpenCV's and TensorFlow's plain bilinear
};
inline constexpr std::size_t kFilterCount = 4;

// In upright pixels, fractions allowed. A filter may look beyond the crop, never beyond the picture (Pillow's `box`).
struct Crop {
  float left;
  float top;
  float right;
  float bottom;
};

struct Window {
  std::uint32_t left;
  std::uint32_t top;
  std::uint32_t width;
  std::uint32_t height;
};

// `crop` is resized to `width` x `height`, of which `window` comes out. With `letterbox` the aspect is kept:
// the picture lands in letterbox_window() and the rest is `pad`.
struct Resize {
  Crop crop;
  std::uint32_t width;
  std::uint32_t height;
  Window window;
  Filter filter;
  bool letterbox;
  std::uint8_t pad_rgb[3];
};

enum class Order : std::uint8_t { kRgb, kBgr };
inline constexpr std::size_t kOrderCount = 2;

enum class Element : std::uint8_t { kUint8, kInt8, kFloat32 };
inline constexpr std::size_t kElementCount = 3;

// Where the answer goes: [height, width, 3], dense. For a channel value x in 0..255, counted in `order`:
//   real   = x * multiply[c] + add[c]
//   float  : real
//   int8/u8: round_half_away(real / scale) + zero_point, clamped to the type
// multiply 1, add 0, scale 1, zero_point 0 and kUint8 are the plain bytes.
struct Tensor {
  void* data;  // aligned to its element
  std::size_t length_bytes;
  Element element;
  Order order;
  double multiply[3];
  double add[3];
  double scale;             // above 0; read for 8-bit elements only
  std::int32_t zero_point;  // -128..255; read for 8-bit elements only
};

// Where a `width` x `height` picture lands on a canvas when its aspect is kept: centred (left and top rounded
// down), the longer side filling the canvas, the other rounded to whole pixels and at least 1.
Status letterbox_window(double width, double height, std::uint32_t canvas_width, std::uint32_t canvas_height,
                        Window* window) noexcept;

// The scratch that prepare() needs for these arguments.
Status prepare_scratch_bytes(const PictureView& picture, const Resize& resize, std::size_t* bytes) noexcept;

// Fills the tensor with `resize.window` of the resized picture. On any status but kOk the tensor is untouched.
Status prepare(const PictureView& picture, const Resize& resize, const Tensor& tensor, void* scratch,
               std::size_t scratch_bytes) noexcept;

// The scratch that to_rgb() needs for this picture.
Status to_rgb_scratch_bytes(const PictureView& picture, std::size_t* bytes) noexcept;

// Fills `rgb` with the whole picture, upright, at its own size: [height, width, 3], dense, red first. What
// prepare() computes without a resize, for those who look at pixels themselves. RGBA loses its alpha.
Status to_rgb(const PictureView& picture, std::uint8_t* rgb, std::size_t rgb_bytes, void* scratch,
              std::size_t scratch_bytes) noexcept;

// A point in continuous pixel coordinates: the first pixel's centre is (0.5, 0.5).
struct Point {
  double x;
  double y;
};

// x' = a x - b y + tx,  y' = b x + a y + ty: turn, scale and shift; no mirror, no shear.
struct Similarity {
  double a;
  double b;
  double tx;
  double ty;
};

// The similarity that takes `source` to `target` with the least squared error (Umeyama 1991, without
// reflection; in the plane it is a linear regression of complex numbers). 2 to kMaxLandmarks points.
// kOutOfRange when either set is a single point.
Status fit_similarity(const Point* source, const Point* target, std::size_t count, Similarity* result) noexcept;

// The scratch that warp_similarity() needs for these arguments.
Status warp_scratch_bytes(const PictureView& picture, const Similarity& to_chip, std::uint32_t chip_px,
                          std::size_t* bytes) noexcept;

// Fills the tensor with a `chip_px` square sampled bilinearly; `to_chip` takes picture points to chip points.
// Outside the picture its border is repeated. Where the chip is more than 1.5 times smaller than the picture,
// whole blocks of pixels (the reduction, rounded) are averaged first, so that nothing aliases.
Status warp_similarity(const PictureView& picture, const Similarity& to_chip, std::uint32_t chip_px,
                       const Tensor& tensor, void* scratch, std::size_t scratch_bytes) noexcept;

// How far two pictures of one size and layout are apart, tile by tile: what the release rule of live video asks
// (docs/camera.md). A tile is kDifferenceTilePx x kDifferenceTilePx samples of one plane, smaller at the right and
// bottom edge; the pictures are compared as stored, so nothing is converted.
//
//   mean_256ths : over all tiles, the greatest mean of |one - other|, in 1/256 of a level, rounded up
//   greatest    : over all samples, the greatest |one - other|, in levels
//
// One channel is one sample: the mean of an RGB tile is over its pixels' three channels. Luma, chroma and alpha have
// tiles of their own in every format (YUYV and RGBA too), and the chroma of YUV counts twice, because one level of it
// moves a colour by up to 2.02 levels.
inline constexpr std::size_t kDifferenceTilePx = 8;
struct TileDifference {
  std::uint32_t mean_256ths;
  std::uint32_t greatest;
};

// kOutOfRange when format, YUV, size or rotation are not the same.
Status tile_difference(const PictureView& one, const PictureView& other, TileDifference* difference) noexcept;

// Which machine code runs. All give the same bytes; "auto" is the fastest that this CPU has.
inline constexpr std::size_t kKernelCount = 4;  // scalar, sse2, avx2, neon
struct KernelInfo {
  const char* name;
  bool available;  // compiled in, and this CPU has it
};
KernelInfo kernel_info(std::size_t index) noexcept;  // {nullptr, false} from kKernelCount on
const char* kernel_in_use() noexcept;

// For tests and measurements: the whole process uses `name` ("auto" or one of the above) from the next call on.
// kUnknownWord for another name, kKernelUnavailable when this build or CPU lacks it; then nothing changes.
Status set_kernel(const char* name) noexcept;

}  // namespace safelight::image
