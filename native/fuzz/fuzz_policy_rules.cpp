// Any rules table and any evidence: never below the floor, never an action from nowhere, protective when it fails.
#include <algorithm>
#include <array>
#include <vector>

#include "input.h"
#include "safelight/policy.h"

using namespace safelight::policy;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

namespace {

template <std::size_t count>
void take_actions(Input* input, std::size_t limit, std::array<std::uint8_t, count>* actions) {
  // A few kinds of tables instead of a byte a cell, which no fuzzer would fill.
  const std::vector<std::uint8_t> pattern = input->bytes(1 + input->below(24));
  for (std::size_t i = 0; i < count; ++i) {
    (*actions)[i] = static_cast<std::uint8_t>(pattern[i % pattern.size()] % limit);
  }
}

Rules take_rules(Input* input) {
  if (input->below(4) == 0) {
    return default_rules();
  }
  const std::size_t limit = input->below(8) == 0 ? 256 : kActionCount;
  Rules rules{};
  take_actions(input, limit, &rules.picture);
  take_actions(input, limit, &rules.floors);
  take_actions(input, limit, &rules.could_not_tell);
  rules.known_match = static_cast<std::uint8_t>(input->below(limit));
  rules.strong_explicit_score = input->below(8) == 0 ? input->take<float>() : 0.9F;
  rules.strong_minor_score = input->below(8) == 0 ? input->take<float>() : 0.9F;
  return rules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Rules rules = take_rules(&input);
  const auto band = static_cast<AgeBand>(input.below(kAgeBandCount + 1));
  const auto event = static_cast<Event>(input.below(kEventCount + 1));
  std::vector<Finding> findings(input.below(12));
  for (Finding& finding : findings) {
    finding.kind = static_cast<FindingKind>(input.below(kFindingKindCount + (input.below(16) == 0 ? 1 : 0)));
    finding.state = static_cast<State>(input.below(3) == 0 ? input.below(kStateCount + 1) : 0);
    finding.label = static_cast<Label>(input.below(kLabelCount + 1));
    finding.score = input.below(4) == 0 ? input.take<float>() : static_cast<float>(input.below(101)) / 100.0F;
  }
  Outcome outcome{};
  const Status status = evaluate(rules, band, event, findings.data(), findings.size(), &outcome);
  if (status != Status::kOk) {
    expect(outcome.action == Action::kHold);
    return 0;
  }
  expect(check_rules(rules) == Status::kOk);
  expect(static_cast<std::size_t>(outcome.action) < kActionCount && outcome.reason_count <= kReasonCount);
  for (std::uint32_t i = 0; i < outcome.reason_count; ++i) {
    expect(outcome.reasons[i] > 0 && outcome.reasons[i] < kReasonCount);
  }
  std::uint8_t lowest = kActionCount;
  for (std::size_t level = 0; level < kLevelCount; ++level) {
    for (std::size_t subject = 0; subject < kSubjectCount; ++subject) {
      lowest = std::min(lowest, rules.floors[picture_cell(band, event, level, subject)]);
    }
  }
  expect(static_cast<std::uint8_t>(outcome.action) >= lowest);
  // An answer about known lists never lowers an action, whatever it says.
  if (!findings.empty() && findings.back().kind == FindingKind::kKnown) {
    Outcome before{};
    expect(evaluate(rules, band, event, findings.data(), findings.size() - 1, &before) == Status::kOk);
    expect(outcome.action >= before.action);
  }
  return 0;
}
