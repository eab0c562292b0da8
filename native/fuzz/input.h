// Takes a fuzzer's bytes apart. Past their end everything is zero.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace safelight::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) noexcept : data_(data), left_(size) {}

  [[nodiscard]] std::size_t left() const noexcept { return left_; }

  template <typename T>
  T take() noexcept {
    T value{};
    const std::size_t count = std::min(left_, sizeof(value));
    if (count > 0) {
      std::memcpy(&value, data_, count);
    }
    skip(count);
    return value;
  }

  // 0 to `limit` - 1.
  std::size_t below(std::size_t limit) noexcept { return take<std::uint32_t>() % limit; }

  // Exactly as long as asked for, in memory of its own, so that reading beyond it is seen; zero past the end.
  std::vector<std::uint8_t> bytes(std::size_t count) {
    std::vector<std::uint8_t> taken(count);
    const std::size_t here = std::min(left_, count);
    std::copy_n(data_, here, taken.begin());
    skip(here);
    return taken;
  }

  // `count` bytes made of what is left, over and over.
  [[nodiscard]] std::vector<std::uint8_t> repeated(std::size_t count) const {
    std::vector<std::uint8_t> filled(count);
    for (std::size_t i = 0; left_ > 0 && i < count; ++i) {
      filled[i] = data_[i % left_];
    }
    return filled;
  }

 private:
  void skip(std::size_t count) noexcept {
    data_ += count;
    left_ -= count;
  }

  const std::uint8_t* data_;
  std::size_t left_;
};

// What must hold; stops the process, so that any fuzzer keeps the input.
inline void expect(bool condition) noexcept {
  if (!condition) {
    __builtin_trap();
  }
}

}  // namespace safelight::fuzz
