// Whatever text: what comes out has nothing that a terminal obeys or hides, and fits.
#include <cstring>
#include <vector>

#include "input.h"
#include "safelight/text.h"

using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::size_t shift = input.below(22);  // small ones too: most code points are
  std::vector<char32_t> text(input.left() / sizeof(char32_t));
  for (char32_t& code_point : text) {
    code_point = input.take<std::uint32_t>() >> (shift > 11 ? shift : 0);
  }
  std::size_t written = 0;
  std::vector<char32_t> out(safelight::text::kMaxEscapeLength * text.size());
  if (!text.empty()) {
    expect(safelight::text::printable(text.data(), text.size(), out.data(), out.size() - 1, &written) ==
           Status::kBufferTooSmall);
  }
  const Status status = safelight::text::printable(text.data(), text.size(), out.data(), out.size(), &written);
  expect(status == Status::kOk && written >= text.size() && written <= out.size());
  for (std::size_t i = 0; i < written; ++i) {
    expect(!safelight::text::must_escape(out[i]));
  }
  return 0;
}
