// Which kernels exist here, and which one runs.
#include <array>
#include <atomic>
#include <cstring>

#include "kernels.h"
#include "safelight/image.h"

namespace safelight::image {
namespace {

struct Choice {
  const char* name;
  const Kernels* kernels;
};

// Slowest first.
const std::array<Choice, kKernelCount>& choices() noexcept {
  static const std::array<Choice, kKernelCount> all = {{
      {"scalar", &kScalarKernels},
      {"sse2", sse2_kernels()},
      {"avx2", avx2_kernels()},
      {"neon", neon_kernels()},
  }};
  return all;
}

const Kernels* fastest() noexcept {
  const Kernels* best = &kScalarKernels;
  for (const Choice& choice : choices()) {
    best = choice.kernels != nullptr ? choice.kernels : best;
  }
  return best;
}

// Null until somebody forces one: then it is the fastest.
std::atomic<const Kernels*> forced{nullptr};

}  // namespace

const Kernels& active_kernels() noexcept {
  const Kernels* chosen = forced.load(std::memory_order_acquire);
  if (chosen != nullptr) {
    return *chosen;
  }
  static const Kernels* const best = fastest();
  return *best;
}

KernelInfo kernel_info(std::size_t index) noexcept {
  if (index >= kKernelCount) {
    return {nullptr, false};
  }
  const Choice& choice = choices().at(index);
  return {choice.name, choice.kernels != nullptr};
}

const char* kernel_in_use() noexcept { return active_kernels().name; }

Status set_kernel(const char* name) noexcept {
  if (name == nullptr) {
    return Status::kNullArgument;
  }
  if (std::strcmp(name, "auto") == 0) {
    forced.store(nullptr, std::memory_order_release);
    return Status::kOk;
  }
  for (const Choice& choice : choices()) {
    if (std::strcmp(name, choice.name) == 0) {
      if (choice.kernels == nullptr) {
        return Status::kKernelUnavailable;
      }
      forced.store(choice.kernels, std::memory_order_release);
      return Status::kOk;
    }
  }
  return Status::kUnknownWord;
}

}  // namespace safelight::image
