// The version, stated once in pyproject.toml and written here by native/tools/generate.py.
#pragma once

#include "version.inc"

namespace safelight {

inline constexpr char kVersion[] = SAFELIGHT_VERSION;

}  // namespace safelight
