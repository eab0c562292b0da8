// One caller's buffer, handed out in aligned pieces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace safelight::image {

inline constexpr std::size_t kAlignment = 64;  // a cache line; enough for every vector type

constexpr std::size_t round_up(std::size_t value, std::size_t step) noexcept {
  return (value + step - 1) / step * step;
}

// Without a buffer it only counts, so that the code which lays out the pieces is also the code which says how
// much they need: the two cannot disagree.
class Scratch {
 public:
  Scratch() noexcept = default;
  explicit Scratch(void* buffer) noexcept : base_(static_cast<std::uint8_t*>(buffer)) {
    const std::size_t past = reinterpret_cast<std::uintptr_t>(base_) % kAlignment;
    base_ += past == 0 ? 0 : kAlignment - past;
  }

  template <typename T>
  T* take(std::size_t count) noexcept {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += round_up(count * sizeof(T), kAlignment);
    return piece;
  }

  // What a buffer of any alignment must hold.
  std::size_t bytes_needed() const noexcept { return used_ + kAlignment; }

 private:
  std::uint8_t* base_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace safelight::image
