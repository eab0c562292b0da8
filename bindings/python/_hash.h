// What the two files of the module safelight._hash share.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>

#include "safelight/hash.h"
#include "safelight/status.h"

// The one table from status to exception is Python's.
inline void raise_for_status(safelight::Status status) {
  if (status != safelight::Status::kOk) {
    pybind11::module_::import("safelight.errors").attr("raise_for_status")(static_cast<std::uint32_t>(status));
  }
}

inline pybind11::dict kernel_names(std::size_t count, safelight::hash::KernelInfo (*info)(std::size_t) noexcept,
                                   const char* in_use) {
  pybind11::list available;
  pybind11::list known;
  for (std::size_t i = 0; i < count; ++i) {
    const safelight::hash::KernelInfo kernel = info(i);
    known.append(kernel.name);
    if (kernel.available) {
      available.append(kernel.name);
    }
  }
  pybind11::dict all;
  all["in_use"] = in_use;
  all["available"] = pybind11::tuple(available);
  all["known"] = pybind11::tuple(known);
  return all;
}

void add_index(pybind11::module_& module);
