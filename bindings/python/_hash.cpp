// The Python face of native/src/hash, by pybind11. It checks arrays and converts; it holds no algorithm.
//
// Lifetimes: arrays are borrowed for the one call and nothing is kept. Everything is checked holding the GIL,
// which is then released once, around the kernel.
#include "_hash.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "safelight/hash.h"
#include "safelight/image.h"
#include "safelight/status.h"

namespace py = pybind11;
namespace hash = safelight::hash;
namespace image = safelight::image;
using safelight::Status;

namespace {

// In the order of the enums.
constexpr std::array<const char*, image::kFormatCount> kFormats = {"rgb",  "bgr",  "rgba", "grey",
                                                                   "nv21", "nv12", "i420", "yuyv"};
constexpr std::array<const char*, hash::kProfileCount> kProfiles = {"full", "thumb512", "near512"};
constexpr std::array<const char*, hash::kPdqStateCount> kStates = {"OK", "LOW_QUALITY", "TOO_SMALL"};

constexpr py::ssize_t kSideCap = 0x7FFFFFFF;  // too large stays too large: refused by the core

template <std::size_t count>
py::tuple name_tuple(const std::array<const char*, count>& names) {
  py::tuple all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i] = names[i];
  }
  return all;
}

py::tuple to_tuple(const hash::Pdq& result) {
  return py::make_tuple(static_cast<std::uint32_t>(result.state), result.quality,
                        py::bytes(reinterpret_cast<const char*>(result.bits), hash::kPdqBytes));
}

// [rows, columns] or [rows, columns, bytes of a pixel]; whatever else the array is, the core is told what may be read.
image::Plane borrow(const py::array_t<std::uint8_t>& rows) {
  std::size_t length = 1;
  for (py::ssize_t i = 0; i < rows.ndim(); ++i) {
    if (rows.shape(i) == 0 || rows.strides(i) < 0) {
      return {rows.data(), 0, 0};  // refused by the core
    }
    length += static_cast<std::size_t>((rows.shape(i) - 1) * rows.strides(i));
  }
  const std::size_t row_bytes = length - static_cast<std::size_t>((rows.shape(0) - 1) * rows.strides(0));
  const bool one_row = rows.shape(0) == 1;  // its stride says nothing
  return {rows.data(), one_row ? row_bytes : static_cast<std::size_t>(rows.strides(0)), length};
}

// `reduction`, `full_width` and `full_height` are 1, 0 and 0 for a picture in full size.
py::list pdq(const py::array_t<std::uint8_t>& rows, std::uint8_t format, std::uint8_t profile, bool dihedral,
             std::uint32_t reduction, std::uint32_t full_width, std::uint32_t full_height) {
  if (rows.ndim() < 2) {
    raise_for_status(Status::kBadPicture);
  }
  image::PictureView view{};
  view.format = static_cast<image::Format>(format);
  view.width_px = static_cast<std::uint32_t>(std::min<py::ssize_t>(rows.shape(1), kSideCap));
  view.height_px = static_cast<std::uint32_t>(std::min<py::ssize_t>(rows.shape(0), kSideCap));
  view.planes[0] = borrow(rows);
  const auto how = static_cast<hash::Profile>(profile);
  std::size_t scratch_bytes = 0;
  const hash::Reduction reduced = {reduction, full_width, full_height};
  const bool full = reduction == 1;
  raise_for_status(full ? hash::pdq_scratch_bytes(view, how, &scratch_bytes)
                        : hash::pdq_reduced_scratch_bytes(view, reduced, &scratch_bytes));
  const std::unique_ptr<std::uint8_t[]> scratch(new std::uint8_t[scratch_bytes]);
  std::array<hash::Pdq, hash::kDihedralCount> results{};
  Status status = Status::kOk;
  {
    const py::gil_scoped_release release;
    if (!full) {
      status = hash::pdq_reduced(view, reduced, dihedral, results.data(), scratch.get(), scratch_bytes);
    } else if (dihedral) {
      status = hash::pdq_dihedral(view, how, results.data(), scratch.get(), scratch_bytes);
    } else {
      status = hash::pdq(view, how, results.data(), scratch.get(), scratch_bytes);
    }
  }
  raise_for_status(status);
  py::list hashes;
  for (std::size_t i = 0; i < (dihedral ? hash::kDihedralCount : 1); ++i) {
    hashes.append(to_tuple(results[i]));
  }
  return hashes;
}

}  // namespace

PYBIND11_MODULE(_hash, module) {
  module.doc() = "Native hashing of Safelight (C++17). Private: use safelight.hashing.";
  module.attr("FORMATS") = name_tuple(kFormats);
  module.attr("PROFILES") = name_tuple(kProfiles);
  module.attr("STATES") = name_tuple(kStates);
  module.attr("MIN_SIDE_PX") = hash::kMinSidePx;
  module.attr("MAX_SIDE_PX") = image::kMaxSidePx;
  module.attr("MIN_USABLE_QUALITY") = hash::kMinUsableQuality;
  module.attr("PRE_RESIZE_PX") = hash::kPreResizePx;
  module.def("pdq", &pdq, py::arg("rows").noconvert(), py::arg("format"), py::arg("profile"), py::arg("dihedral"),
             py::arg("reduction") = 1, py::arg("full_width") = 0, py::arg("full_height") = 0);
  module.def("kernels", [] { return kernel_names(hash::kKernelCount, &hash::kernel_info, hash::kernel_in_use()); });
  module.def(
      "set_kernel", [](const std::string& name) { raise_for_status(hash::set_kernel(name.c_str())); }, py::arg("name"));
  add_index(module);
}
