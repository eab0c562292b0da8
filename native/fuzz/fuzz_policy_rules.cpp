// Any rules table and any evidence: never below the floor, never an action from nowhere, protective when it fails.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "input.h"
#include "safelight/policy.h"

using namespace safelight::policy;
using safelight::Status;
using safelight::fuzz::expect;
using safelight::fuzz::Input;

namespace {

template <std::size_t count>
void raise(std::uint8_t least, std::array<std::uint8_t, count>* actions) {
  for (std::uint8_t& action : *actions) {
    action = std::max(action, least);
  }
}

// Tables of bytes hardly ever pass the check: the one that ships with some cells changed, or raised as a whole, does.
Rules take_rules(Input* input) {
  Rules rules = default_rules();
  const std::size_t kind = input->below(4);
  if (kind == 0) {
    return rules;
  }
  Cells& cells = input->below(2) == 0 ? rules.actions : rules.floors;
  if (kind == 1) {
    const auto least = static_cast<std::uint8_t>(input->below(kActionCount + 1));
    raise(least, &cells.picture);
    raise(least, &cells.could_not_tell);
    raise(least, &cells.answers);
  } else if (kind == 2) {
    const std::vector<std::uint8_t> bytes = input->bytes(sizeof(Cells));
    std::memcpy(&cells, bytes.data(), sizeof(Cells));
  }
  for (std::size_t i = input->below(6); i > 0; --i) {
    auto* bytes = reinterpret_cast<std::uint8_t*>(&cells);
    bytes[input->below(sizeof(Cells))] = static_cast<std::uint8_t>(input->below(kActionCount + 1));
  }
  rules.strong_explicit_score = input->below(8) == 0 ? input->take<float>() : 0.9F;
  rules.strong_minor_score = input->below(8) == 0 ? input->take<float>() : 0.9F;
  return rules;
}

Finding take_finding(Input* input) {
  Finding finding{};
  finding.kind = static_cast<FindingKind>(input->below(kFindingKindCount + (input->below(16) == 0 ? 1 : 0)));
  finding.state = static_cast<State>(input->below(3) == 0 ? input->below(kStateCount + 1) : 0);
  finding.label = static_cast<Label>(input->below(kLabelCount + (input->below(16) == 0 ? 1 : 0)));
  finding.score = input->below(4) == 0 ? input->take<float>() : static_cast<float>(input->below(101)) / 100.0F;
  return finding;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Rules rules = take_rules(&input);
  const auto band = static_cast<AgeBand>(input.below(kAgeBandCount + 1));
  const auto event = static_cast<Event>(input.below(kEventCount + 1));
  std::vector<Finding> findings(input.below(12));
  for (Finding& finding : findings) {
    finding = take_finding(&input);
  }
  Outcome outcome{};
  const Status status = evaluate(rules, band, event, findings.data(), findings.size(), &outcome);
  if (status != Status::kOk) {
    expect(outcome.action == Action::kHold);
    return 0;
  }
  expect(check_rules(rules) == Status::kOk);
  expect(static_cast<std::size_t>(outcome.action) < kActionCount && outcome.reason_count <= kReasonCount);
  std::array<bool, kReasonCount> seen{};
  for (std::uint32_t i = 0; i < outcome.reason_count; ++i) {
    const std::uint8_t reason = outcome.reasons[i];
    expect(reason > 0 && reason < kReasonCount && !seen[reason]);
    seen[reason] = true;
  }
  if (event > Event::kSave) {
    return 0;
  }
  std::uint8_t lowest = kActionCount;
  for (std::size_t level = 0; level < kLevelCount; ++level) {
    for (std::size_t subject = 0; subject < kSubjectCount; ++subject) {
      lowest = std::min(lowest, rules.floors.picture[picture_cell(band, event, level, subject)]);
    }
  }
  expect(static_cast<std::uint8_t>(outcome.action) >= lowest);
  // A known list's answer never lowers what is done about a picture.
  for (const Label label : {Label::kNoMatch, Label::kMatch}) {
    findings.push_back({FindingKind::kKnown, State::kOk, label, 1.0F});
    Outcome after{};
    expect(evaluate(rules, band, event, findings.data(), findings.size(), &after) == Status::kOk);
    expect(after.action >= outcome.action);
    findings.pop_back();
  }
  return 0;
}
