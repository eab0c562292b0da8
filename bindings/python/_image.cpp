// The Python face of native/src/image, by pybind11. It checks arrays and converts; it holds no algorithm.
//
// Lifetimes: arrays are borrowed for the one call and nothing is kept. Everything is checked holding the GIL,
// which is then released once, around the kernel.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "safelight/image.h"
#include "safelight/status.h"

namespace py = pybind11;
namespace image = safelight::image;
using safelight::Status;

namespace {

// In the order of the enums; the first is the default.
constexpr std::array<const char*, image::kFormatCount> kFormats = {"rgb",  "bgr",  "rgba", "grey",
                                                                   "nv21", "nv12", "i420", "yuyv"};
constexpr std::array<const char*, image::kYuvCount> kYuvs = {"bt601_full", "bt601_limited", "bt709_full",
                                                             "bt709_limited"};
constexpr std::array<const char*, image::kFilterCount> kFilters = {"bilinear", "box", "area", "bilinear_point"};
constexpr std::array<const char*, image::kOrderCount> kOrders = {"rgb", "bgr"};
constexpr std::array<const char*, image::kElementCount> kElements = {"uint8", "int8", "float32"};

[[noreturn]] void raise(const char* type, const std::string& message) {
  const py::object exception = py::module_::import("safelight.errors").attr(type);
  PyErr_SetString(exception.ptr(), message.c_str());
  throw py::error_already_set();
}

// The one table from status to exception is Python's.
void raise_for_status(Status status) {
  if (status != Status::kOk) {
    py::module_::import("safelight.errors").attr("raise_for_status")(static_cast<std::uint32_t>(status));
  }
}

template <typename Word, std::size_t count>
Word word(const char* argument, const std::array<const char*, count>& names, const std::string& name) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    if (name == names[i]) {
      return static_cast<Word>(i);
    }
    all += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  raise("UsageError", std::string(argument) + ": got an unknown name, expected one of " + all + "; choose one of them");
}

template <std::size_t count>
py::tuple name_tuple(const std::array<const char*, count>& names) {
  py::tuple all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i] = names[i];
  }
  return all;
}

struct Borrowed {
  image::PictureView view;
  std::vector<py::array> arrays;  // kept alive for the call
};

// Bytes of a pixel in the third dimension of a plane, 0 where there is none.
std::size_t pixel_bytes(image::Format format, std::size_t plane) {
  switch (format) {
    case image::Format::kRgb:
    case image::Format::kBgr:
      return 3;
    case image::Format::kRgba:
      return 4;
    case image::Format::kYuyv:
      return 2;
    case image::Format::kNv21:
    case image::Format::kNv12:
      return plane == 0 ? 1 : 2;
    default:
      return 1;
  }
}

image::Plane borrow_plane(const py::array& array, image::Format format, std::size_t plane) {
  const std::string name = "planes[" + std::to_string(plane) + "]: ";
  if (!py::isinstance<py::array_t<std::uint8_t>>(array)) {
    raise("UnsupportedInputError", name + "got dtype " + py::str(array.dtype()).cast<std::string>() +
                                       ", expected uint8; scale the values to 0..255 and convert them");
  }
  const py::ssize_t dimensions = array.ndim();
  if (dimensions != 2 && dimensions != 3) {
    raise("UnsupportedInputError", name + "got " + std::to_string(dimensions) +
                                       " dimensions, expected [rows, bytes] or [rows, columns, channels]; reshape it");
  }
  if (array.size() == 0) {
    raise("UnsupportedInputError", name + "got an empty array, expected at least one pixel; check the crop before");
  }
  const std::size_t channels = pixel_bytes(format, plane);
  if (dimensions == 3 && static_cast<std::size_t>(array.shape(2)) != channels) {
    raise("UnsupportedInputError", name + "got " + std::to_string(array.shape(2)) + " channels, expected " +
                                       std::to_string(channels) + "; name the format that the array has");
  }
  // Within a row every byte follows the last; rows may be any distance apart, but forwards.
  py::ssize_t row_bytes = 1;
  bool dense = true;
  for (py::ssize_t i = dimensions - 1; i > 0; --i) {
    dense = dense && (array.shape(i) == 1 || array.strides(i) == row_bytes);
    row_bytes *= array.shape(i);
  }
  if (!dense || (array.shape(0) > 1 && array.strides(0) < row_bytes)) {
    raise("UnsupportedInputError",
          name +
              "got rows that are not dense or run backwards, expected dense rows one after the other; use "
              "numpy.ascontiguousarray");
  }
  const py::ssize_t stride = array.shape(0) > 1 ? array.strides(0) : row_bytes;
  return {static_cast<const std::uint8_t*>(array.data()), static_cast<std::size_t>(stride),
          static_cast<std::size_t>((array.shape(0) - 1) * stride + row_bytes)};
}

Borrowed borrow(const py::object& planes, const std::string& format, const std::string& yuv, std::uint32_t rotation,
                std::optional<std::uint32_t> width, std::optional<std::uint32_t> height) {
  Borrowed picture{};
  picture.view.format = word<image::Format>("format", kFormats, format);
  picture.view.yuv = word<image::Yuv>("yuv", kYuvs, yuv);
  picture.view.rotation_degrees = rotation;
  const py::tuple all = py::isinstance<py::array>(planes) ? py::make_tuple(planes) : py::tuple(planes);
  const std::size_t expected = image::plane_count(picture.view.format);
  if (all.size() != expected) {
    raise("UnsupportedInputError", "planes: got " + std::to_string(all.size()) + ", expected " +
                                       std::to_string(expected) + " for this format; give one array for each plane");
  }
  for (std::size_t i = 0; i < expected; ++i) {
    if (!py::isinstance<py::array>(all[i])) {
      raise("UnsupportedInputError",
            "planes: got something that is not a numpy array, expected uint8 arrays; "
            "wrap a buffer with numpy.frombuffer and reshape it");
    }
    picture.arrays.push_back(py::reinterpret_borrow<py::array>(all[i]));
    picture.view.planes[i] = borrow_plane(picture.arrays[i], picture.view.format, i);
  }
  const py::array& first = picture.arrays[0];
  if (!width && first.ndim() == 2 && pixel_bytes(picture.view.format, 0) != 1) {
    raise("UsageError", "width: got none with rows of bytes, expected the width in pixels; give width=");
  }
  const auto side = [](py::ssize_t size) {  // too large stays too large: refused by the core
    return static_cast<std::uint32_t>(std::min<py::ssize_t>(size, std::numeric_limits<std::int32_t>::max()));
  };
  picture.view.width_px = width.value_or(side(first.shape(1)));
  picture.view.height_px = height.value_or(side(first.shape(0)));
  return picture;
}

struct TensorOptions {
  std::string order;
  std::string dtype;
  std::array<double, 3> multiply;
  std::array<double, 3> add;
  double scale;
  std::int32_t zero_point;
};

// A fresh array and the tensor that writes into it.
std::pair<py::array, image::Tensor> allocate(const TensorOptions& options, std::uint32_t width, std::uint32_t height) {
  image::Tensor tensor{};
  tensor.element = word<image::Element>("dtype", kElements, options.dtype);
  tensor.order = word<image::Order>("order", kOrders, options.order);
  std::copy(options.multiply.begin(), options.multiply.end(), tensor.multiply);
  std::copy(options.add.begin(), options.add.end(), tensor.add);
  tensor.scale = options.scale;
  tensor.zero_point = options.zero_point;
  const std::vector<py::ssize_t> shape = {static_cast<py::ssize_t>(height), static_cast<py::ssize_t>(width), 3};
  py::array array(py::dtype(options.dtype), shape);
  tensor.data = array.mutable_data();
  tensor.length_bytes = static_cast<std::size_t>(array.nbytes());
  return {std::move(array), tensor};
}

py::array prepare(const py::object& planes, std::array<std::uint32_t, 2> resize_px, const std::string& format,
                  std::optional<std::uint32_t> width, std::optional<std::uint32_t> height, const std::string& yuv,
                  std::uint32_t rotation, std::optional<std::array<float, 4>> crop,
                  std::optional<std::array<std::uint32_t, 4>> window, const std::string& filter,
                  std::optional<std::array<std::uint8_t, 3>> letterbox, const std::string& order,
                  const std::string& dtype, std::array<double, 3> multiply, std::array<double, 3> add, double scale,
                  std::int32_t zero_point) {
  const Borrowed picture = borrow(planes, format, yuv, rotation, width, height);
  const bool turned = rotation % 180 != 0;
  image::Resize resize{};
  const auto upright_width = static_cast<float>(turned ? picture.view.height_px : picture.view.width_px);
  const auto upright_height = static_cast<float>(turned ? picture.view.width_px : picture.view.height_px);
  resize.crop = crop ? image::Crop{(*crop)[0], (*crop)[1], (*crop)[2], (*crop)[3]}
                     : image::Crop{0.0F, 0.0F, upright_width, upright_height};
  resize.width = resize_px[0];
  resize.height = resize_px[1];
  resize.window = window ? image::Window{(*window)[0], (*window)[1], (*window)[2], (*window)[3]}
                         : image::Window{0, 0, resize_px[0], resize_px[1]};
  resize.filter = word<image::Filter>("filter", kFilters, filter);
  resize.letterbox = letterbox.has_value();
  if (letterbox) {
    std::copy(letterbox->begin(), letterbox->end(), resize.pad_rgb);
  }
  std::size_t scratch_bytes = 0;
  raise_for_status(image::prepare_scratch_bytes(picture.view, resize, &scratch_bytes));
  // The window's size is checked: the array cannot be absurdly large.
  auto [array, tensor] =
      allocate({order, dtype, multiply, add, scale, zero_point}, resize.window.width, resize.window.height);
  const std::unique_ptr<std::uint8_t[]> scratch(new std::uint8_t[scratch_bytes]);
  Status status = Status::kOk;
  {
    const py::gil_scoped_release release;
    status = image::prepare(picture.view, resize, tensor, scratch.get(), scratch_bytes);
  }
  raise_for_status(status);
  return array;
}

py::array to_rgb(const py::object& planes, const std::string& format, std::optional<std::uint32_t> width,
                 std::optional<std::uint32_t> height, const std::string& yuv, std::uint32_t rotation) {
  const Borrowed picture = borrow(planes, format, yuv, rotation, width, height);
  std::size_t scratch_bytes = 0;
  raise_for_status(image::to_rgb_scratch_bytes(picture.view, &scratch_bytes));
  const bool turned = rotation % 180 != 0;
  py::array_t<std::uint8_t> array(std::vector<py::ssize_t>{turned ? picture.view.width_px : picture.view.height_px,
                                                           turned ? picture.view.height_px : picture.view.width_px, 3});
  std::uint8_t* rgb = array.mutable_data();
  const auto rgb_bytes = static_cast<std::size_t>(array.nbytes());
  const std::unique_ptr<std::uint8_t[]> scratch(new std::uint8_t[scratch_bytes]);
  Status status = Status::kOk;
  {
    const py::gil_scoped_release release;
    status = image::to_rgb(picture.view, rgb, rgb_bytes, scratch.get(), scratch_bytes);
  }
  raise_for_status(status);
  return std::move(array);
}

py::tuple tile_difference(const py::object& one, const py::object& other, const std::string& format,
                          std::optional<std::uint32_t> width, std::optional<std::uint32_t> height) {
  const Borrowed first = borrow(one, format, kYuvs[0], 0, width, height);
  const Borrowed second = borrow(other, format, kYuvs[0], 0, width, height);
  image::TileDifference difference{};
  Status status = Status::kOk;
  {
    const py::gil_scoped_release release;
    status = image::tile_difference(first.view, second.view, &difference);
  }
  raise_for_status(status);
  return py::make_tuple(difference.mean_256ths, difference.greatest);
}

py::array warp_similarity(const py::object& planes, const std::array<std::array<double, 3>, 2>& matrix,
                          std::uint32_t chip_px, const std::string& format, std::optional<std::uint32_t> width,
                          std::optional<std::uint32_t> height, const std::string& yuv, std::uint32_t rotation,
                          const std::string& order, const std::string& dtype, std::array<double, 3> multiply,
                          std::array<double, 3> add, double scale, std::int32_t zero_point) {
  const Borrowed picture = borrow(planes, format, yuv, rotation, width, height);
  const image::Similarity to_chip = {matrix[0][0], matrix[1][0], matrix[0][2], matrix[1][2]};
  constexpr double kTolerance = 1e-6;  // of the scale: what single precision leaves
  const double allowed = kTolerance * (std::fabs(to_chip.a) + std::fabs(to_chip.b));
  if (!(std::fabs(matrix[1][1] - to_chip.a) <= allowed && std::fabs(matrix[0][1] + to_chip.b) <= allowed)) {
    raise("UsageError",
          "matrix: got one that mirrors, shears or is not finite, expected [[a, -b, x], [b, a, y]]; "
          "make it with fit_similarity");
  }
  std::size_t scratch_bytes = 0;
  raise_for_status(image::warp_scratch_bytes(picture.view, to_chip, chip_px, &scratch_bytes));
  auto [array, tensor] = allocate({order, dtype, multiply, add, scale, zero_point}, chip_px, chip_px);
  const std::unique_ptr<std::uint8_t[]> scratch(new std::uint8_t[scratch_bytes]);
  Status status = Status::kOk;
  {
    const py::gil_scoped_release release;
    status = image::warp_similarity(picture.view, to_chip, chip_px, tensor, scratch.get(), scratch_bytes);
  }
  raise_for_status(status);
  return array;
}

py::array_t<double> fit_similarity(const std::vector<std::array<double, 2>>& source,
                                   const std::vector<std::array<double, 2>>& target) {
  if (source.size() != target.size()) {
    raise("UsageError", "target: got " + std::to_string(target.size()) + " points, expected " +
                            std::to_string(source.size()) + " as in source; pair them");
  }
  const auto points = [](const std::vector<std::array<double, 2>>& pairs) {
    std::vector<image::Point> all;
    for (const auto& [x, y] : pairs) {
      all.push_back({x, y});
    }
    return all;
  };
  const std::vector<image::Point> from = points(source);
  const std::vector<image::Point> to = points(target);
  image::Similarity found{};
  if (from.empty()) {  // an empty vector has no address to pass
    raise_for_status(Status::kOutOfRange);
  }
  raise_for_status(image::fit_similarity(from.data(), to.data(), from.size(), &found));
  py::array_t<double> matrix(std::vector<py::ssize_t>{2, 3});
  auto cells = matrix.mutable_unchecked<2>();
  cells(0, 0) = found.a;
  cells(0, 1) = -found.b;
  cells(0, 2) = found.tx;
  cells(1, 0) = found.b;
  cells(1, 1) = found.a;
  cells(1, 2) = found.ty;
  return matrix;
}

py::tuple letterbox_window(double width, double height, std::array<std::uint32_t, 2> canvas_px) {
  image::Window window{};
  raise_for_status(image::letterbox_window(width, height, canvas_px[0], canvas_px[1], &window));
  return py::make_tuple(window.left, window.top, window.width, window.height);
}

py::dict kernels() {
  py::list available;
  py::list known;
  for (std::size_t i = 0; i < image::kKernelCount; ++i) {
    const image::KernelInfo info = image::kernel_info(i);
    known.append(info.name);
    if (info.available) {
      available.append(info.name);
    }
  }
  py::dict all;
  all["in_use"] = image::kernel_in_use();
  all["available"] = py::tuple(available);
  all["known"] = py::tuple(known);
  return all;
}

}  // namespace

PYBIND11_MODULE(_image, module) {
  module.doc() = "Native image preprocessing of Safelight (C++17). Private: use safelight.media.";
  module.attr("FORMATS") = name_tuple(kFormats);
  module.attr("YUVS") = name_tuple(kYuvs);
  module.attr("FILTERS") = name_tuple(kFilters);
  module.attr("MAX_SIDE_PX") = image::kMaxSidePx;
  module.attr("MAX_TARGET_PX") = image::kMaxTargetPx;
  module.attr("MAX_CHIP_PX") = image::kMaxChipPx;
  const std::array<double, 3> ones = {1.0, 1.0, 1.0};
  const std::array<double, 3> zeros = {0.0, 0.0, 0.0};
  module.def("prepare", &prepare, py::arg("planes"), py::kw_only(), py::arg("resize_px"), py::arg("format") = "rgb",
             py::arg("width") = py::none(), py::arg("height") = py::none(), py::arg("yuv") = "bt601_full",
             py::arg("rotation") = 0, py::arg("crop") = py::none(), py::arg("window") = py::none(),
             py::arg("filter") = "bilinear", py::arg("letterbox") = py::none(), py::arg("order") = "rgb",
             py::arg("dtype") = "uint8", py::arg("multiply") = ones, py::arg("add") = zeros, py::arg("scale") = 1.0,
             py::arg("zero_point") = 0);
  module.def("to_rgb", &to_rgb, py::arg("planes"), py::kw_only(), py::arg("format") = "rgb",
             py::arg("width") = py::none(), py::arg("height") = py::none(), py::arg("yuv") = "bt601_full",
             py::arg("rotation") = 0);
  module.def("warp_similarity", &warp_similarity, py::arg("planes"), py::kw_only(), py::arg("matrix"),
             py::arg("chip_px"), py::arg("format") = "rgb", py::arg("width") = py::none(),
             py::arg("height") = py::none(), py::arg("yuv") = "bt601_full", py::arg("rotation") = 0,
             py::arg("order") = "rgb", py::arg("dtype") = "uint8", py::arg("multiply") = ones, py::arg("add") = zeros,
             py::arg("scale") = 1.0, py::arg("zero_point") = 0);
  module.def("fit_similarity", &fit_similarity, py::arg("source"), py::arg("target"));
  module.def("letterbox_window", &letterbox_window, py::arg("width"), py::arg("height"), py::arg("canvas_px"));
  module.attr("DIFFERENCE_TILE_PX") = image::kDifferenceTilePx;
  module.def("tile_difference", &tile_difference, py::arg("one"), py::arg("other"), py::kw_only(),
             py::arg("format") = "rgb", py::arg("width") = py::none(), py::arg("height") = py::none());
  module.def("kernels", &kernels);
  module.def(
      "set_kernel", [](const std::string& name) { raise_for_status(image::set_kernel(name.c_str())); },
      py::arg("name"));
}
