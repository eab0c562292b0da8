// The Python face of the hash index, by pybind11. It checks arrays and buffers and converts; it holds no algorithm.
//
// Lifetimes: an Index borrows its buffer until it is destroyed, and a Builder its block; both objects are kept by the
// calls that use them, so that closing in one thread cannot take the memory from under another.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "_hash.h"
#include "safelight/hash_index.h"
#include "safelight/status.h"

namespace py = pybind11;
namespace hash = safelight::hash;
using safelight::Status;

namespace {

// Arrays are dense: anything else is refused by pybind11 with a TypeError instead of being copied.
template <typename T>
using Dense = py::array_t<T, py::array::c_style>;

constexpr std::size_t kUsualMatches = 64;

std::size_t row_count(const Dense<std::uint8_t>& rows) {
  if (rows.ndim() != 2 || rows.shape(1) != static_cast<py::ssize_t>(hash::kPdqBytes)) {
    throw py::type_error("expected uint8[N, 32]");
  }
  return static_cast<std::size_t>(rows.shape(0));
}

// A buffer of dense bytes, for as long as this lives. Made and destroyed holding the GIL.
class Borrowed {
 public:
  explicit Borrowed(const py::object& owner) {
    if (PyObject_GetBuffer(owner.ptr(), &buffer_, PyBUF_SIMPLE) != 0) {
      throw py::error_already_set();
    }
  }
  ~Borrowed() { PyBuffer_Release(&buffer_); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  [[nodiscard]] const void* data() const noexcept { return buffer_.buf; }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(buffer_.len); }

 private:
  Py_buffer buffer_{};
};

class Index {
 public:
  explicit Index(const py::object& owner) : borrowed_(owner) {
    raise_for_status(hash::index_open(borrowed_.data(), borrowed_.size(), &view_));
  }

  [[nodiscard]] const hash::IndexShape& shape() const noexcept { return view_.shape; }
  [[nodiscard]] std::size_t nbytes() const noexcept { return borrowed_.size(); }

  void verify() const {
    Status status = Status::kOk;
    {
      const py::gil_scoped_release release;
      status = hash::index_verify(view_);
    }
    raise_for_status(status);
  }

  [[nodiscard]] py::list query(const py::bytes& bits, std::uint32_t max_distance) const {
    const std::string_view wanted = bits;  // a view into the object, which the caller holds
    if (wanted.size() != hash::kPdqBytes) {
      throw py::type_error("expected 32 bytes");
    }
    std::vector<hash::IndexMatch> matches;
    Status status = Status::kOk;
    {
      const py::gil_scoped_release release;
      status = find(reinterpret_cast<const std::uint8_t*>(wanted.data()), max_distance, &matches);
    }
    raise_for_status(status);
    py::list answer;
    for (const hash::IndexMatch& match : matches) {
      answer.append(py::make_tuple(match.entry_id, match.distance, category_of(match)));
    }
    return answer;
  }

  // One list a row.
  [[nodiscard]] py::list query_many(const Dense<std::uint8_t>& rows, std::uint32_t max_distance) const {
    const std::size_t count = row_count(rows);
    const std::uint8_t* wanted = rows.data();
    std::vector<hash::IndexMatch> matches;
    std::vector<std::size_t> ends(count);
    Status status = Status::kOk;
    {
      const py::gil_scoped_release release;
      for (std::size_t i = 0; i < count && status == Status::kOk; ++i) {
        status = find(wanted + i * hash::kPdqBytes, max_distance, &matches);
        ends[i] = matches.size();
      }
    }
    raise_for_status(status);
    py::list answers(count);
    std::size_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      py::list answer;
      for (; at < ends[i]; ++at) {
        answer.append(py::make_tuple(matches[at].entry_id, matches[at].distance, category_of(matches[at])));
      }
      answers[i] = std::move(answer);
    }
    return answers;
  }

 private:
  static py::object category_of(const hash::IndexMatch& match) {
    return match.category == hash::kNoCategory ? py::object(py::none()) : py::object(py::int_(match.category));
  }

  // Appends to `matches`.
  Status find(const std::uint8_t* wanted, std::uint32_t max_distance, std::vector<hash::IndexMatch>* matches) const {
    const std::size_t before = matches->size();
    std::size_t found = kUsualMatches;
    Status status = Status::kBufferTooSmall;
    while (status == Status::kBufferTooSmall) {
      matches->resize(before + found);
      status =
          hash::index_query(view_, wanted, max_distance, matches->data() + before, matches->size() - before, &found);
    }
    matches->resize(before + (status == Status::kOk ? found : 0));
    return status;
  }

  Borrowed borrowed_;
  hash::IndexView view_{};
};

// Fills a block that Python owns; slots may be filled by several threads.
class Builder {
 public:
  Builder(const Dense<std::uint8_t>& hashes, const std::optional<Dense<std::uint64_t>>& ids,
          const std::optional<Dense<std::uint16_t>>& categories, const Dense<std::uint8_t>& negatives,
          std::uint8_t profile, std::uint32_t slot_count)
      : shape_{static_cast<hash::Profile>(profile),
               slot_count,
               row_count(hashes),
               row_count(negatives),
               ids.has_value(),
               categories.has_value()} {
    const auto count = static_cast<py::ssize_t>(shape_.count);
    if ((ids && (ids->ndim() != 1 || ids->size() != count)) ||
        (categories && (categories->ndim() != 1 || categories->size() != count))) {
      throw py::type_error("expected as many ids and categories as hashes");
    }
    std::size_t bytes = 0;
    raise_for_status(hash::index_bytes(shape_, &bytes));
    block_ = Dense<std::uint8_t>(static_cast<py::ssize_t>(bytes));
    const hash::IndexInput input{shape_, hashes.data(), ids ? ids->data() : nullptr,
                                 categories ? categories->data() : nullptr, negatives.data()};
    std::uint8_t* data = block_.mutable_data();
    Status status = Status::kOk;
    {
      const py::gil_scoped_release release;
      status = hash::index_begin(input, data, bytes);
    }
    raise_for_status(status);
  }

  void fill_slot(std::uint32_t slot) {
    std::uint8_t* data = block_.mutable_data();
    const auto bytes = static_cast<std::size_t>(block_.size());
    Status status = Status::kOk;
    {
      const py::gil_scoped_release release;
      status = hash::index_fill_slot(shape_, slot, data, bytes);
    }
    raise_for_status(status);
  }

  Dense<std::uint8_t> finish() {
    raise_for_status(hash::index_finish(shape_, block_.mutable_data(), static_cast<std::size_t>(block_.size())));
    return block_;
  }

 private:
  hash::IndexShape shape_;
  Dense<std::uint8_t> block_;
};

}  // namespace

void add_index(py::module_& module) {
  module.attr("MAX_DISTANCE") = hash::kMaxDistance;
  module.attr("MATCH_DISTANCE") = hash::kMatchDistance;
  module.attr("MAX_ENTRIES") = hash::kMaxEntries;
  module.attr("SLOT_COUNTS") = py::make_tuple(0, hash::kMinSlots, hash::kMaxSlots);
  module.def("usual_slot_count", &hash::usual_slot_count, py::arg("count"));
  py::class_<Index>(module, "Index")
      .def(py::init<const py::object&>(), py::arg("buffer"))
      .def_property_readonly("count", [](const Index& index) { return index.shape().count; })
      .def_property_readonly("negative_count", [](const Index& index) { return index.shape().negative_count; })
      .def_property_readonly("profile",
                             [](const Index& index) { return static_cast<std::uint8_t>(index.shape().profile); })
      .def_property_readonly("slot_count", [](const Index& index) { return index.shape().slot_count; })
      .def_property_readonly("has_categories", [](const Index& index) { return index.shape().has_categories; })
      .def_property_readonly("nbytes", &Index::nbytes)
      .def("verify", &Index::verify)
      .def("query", &Index::query, py::arg("bits"), py::arg("max_distance"))
      .def("query_many", &Index::query_many, py::arg("rows").noconvert(), py::arg("max_distance"));
  py::class_<Builder>(module, "IndexBuilder")
      .def(py::init<const Dense<std::uint8_t>&, const std::optional<Dense<std::uint64_t>>&,
                    const std::optional<Dense<std::uint16_t>>&, const Dense<std::uint8_t>&, std::uint8_t,
                    std::uint32_t>(),
           py::arg("hashes").noconvert(), py::arg("ids").noconvert(), py::arg("categories").noconvert(),
           py::arg("negatives").noconvert(), py::arg("profile"), py::arg("slot_count"))
      .def("fill_slot", &Builder::fill_slot, py::arg("slot"))
      .def("finish", &Builder::finish);
  module.def("index_kernels", [] {
    return kernel_names(hash::kIndexKernelCount, &hash::index_kernel_info, hash::index_kernel_in_use());
  });
  module.def(
      "set_index_kernel", [](const std::string& name) { raise_for_status(hash::set_index_kernel(name.c_str())); },
      py::arg("name"));
}
