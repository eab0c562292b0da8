// Whatever text, as code points and as bytes: bounded, repeatable, ids distinct and in range, and the tokens print.
#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "input.h"
#include "safelight/text_features.h"

namespace text = safelight::text;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

namespace {

void check(const text::Features& found, const text::Workspace& workspace) {
  expect(found.count <= text::kMaxIds && workspace.token_count <= text::kMaxTokens);
  const std::set<std::int32_t> ids(found.ids.begin(), found.ids.begin() + found.count);
  expect(ids.size() == found.count && ids.count(0) == 0);
  for (std::size_t i = 0; i < text::kMaxIds; ++i) {
    expect(i < found.count ? found.ids[i] < static_cast<std::int32_t>(text::kBuckets) : found.ids[i] == 0);
  }
  for (const float value : found.dense) {
    expect(value >= 0.0F && value <= 1.0F && value * 8.0F == std::floor(value * 8.0F));
  }
  static std::vector<char32_t> shown(text::kMaxNormalised);
  std::size_t written = 0;
  expect(text::normalised(workspace, shown.data(), shown.size(), &written) == Status::kOk);
  expect(written <= shown.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto kWorkspace = std::make_unique<text::Workspace>();
  Input input(data, size);
  text::Context context;
  context.from_other = input.below(2) != 0;
  context.trust = static_cast<text::Trust>(input.below(3));
  context.gap_s = input.take<double>();
  const std::size_t shift = input.below(22);      // small ones too: most code points are
  const std::size_t times = 1 + input.below(64);  // over and over, to reach the limits
  const std::vector<std::uint8_t> bytes = input.repeated(input.left() * times);
  text::Features found;
  expect(text::features_utf8(reinterpret_cast<const char*>(bytes.data()), bytes.size(), context, kWorkspace.get(),
                             &found) == Status::kOk);
  check(found, *kWorkspace);
  std::vector<char32_t> points(bytes.size() / sizeof(char32_t));
  for (std::size_t i = 0; i < points.size(); ++i) {
    points[i] =
        Input(bytes.data() + i * sizeof(char32_t), sizeof(char32_t)).take<std::uint32_t>() >> (shift > 10 ? shift : 0);
  }
  expect(text::features(points.data(), points.size(), context, kWorkspace.get(), &found) == Status::kOk);
  check(found, *kWorkspace);
  text::Features again;
  std::fill(kWorkspace->scratch.begin(), kWorkspace->scratch.end(), U'x');
  expect(text::features(points.data(), points.size(), context, kWorkspace.get(), &again) == Status::kOk);
  expect(again.ids == found.ids && again.dense == found.dense && again.flags == found.flags);
  return 0;
}
