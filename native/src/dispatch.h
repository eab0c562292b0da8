// Inner loops that exist once per instruction set: which exist here, and which one runs.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "safelight/status.h"

namespace safelight {

// `Kernels` is a struct of function pointers. Thread-safe, force() included.
template <typename Kernels, std::size_t kCount>
class Dispatch {
 public:
  struct Choice {
    const char* name;
    const Kernels* kernels;  // null where this build or CPU does not have them
  };

  // Slowest first; the first one exists everywhere.
  explicit Dispatch(const std::array<Choice, kCount>& choices) noexcept
      : choices_(choices), fastest_(choices.front().kernels) {
    for (const Choice& choice : choices_) {
      fastest_ = choice.kernels != nullptr ? choice.kernels : fastest_;
    }
  }

  const Kernels& active() const noexcept {
    const Kernels* chosen = forced_.load(std::memory_order_acquire);
    return chosen != nullptr ? *chosen : *fastest_;
  }

  const char* active_name() const noexcept {
    const Kernels* running = &active();
    for (const Choice& choice : choices_) {
      if (choice.kernels == running) {
        return choice.name;
      }
    }
    return choices_.front().name;
  }

  // Null from kCount on.
  const Choice* choice(std::size_t index) const noexcept { return index < kCount ? &choices_[index] : nullptr; }

  // "auto" is the fastest again. kUnknownWord for another name, kKernelUnavailable where it does not exist.
  Status force(const char* name) noexcept {
    if (name == nullptr) {
      return Status::kNullArgument;
    }
    if (std::strcmp(name, "auto") == 0) {
      forced_.store(nullptr, std::memory_order_release);
      return Status::kOk;
    }
    for (const Choice& choice : choices_) {
      if (std::strcmp(name, choice.name) == 0) {
        if (choice.kernels == nullptr) {
          return Status::kKernelUnavailable;
        }
        forced_.store(choice.kernels, std::memory_order_release);
        return Status::kOk;
      }
    }
    return Status::kUnknownWord;
  }

 private:
  std::array<Choice, kCount> choices_;
  const Kernels* fastest_;
  std::atomic<const Kernels*> forced_{nullptr};  // null until somebody forces one
};

}  // namespace safelight
