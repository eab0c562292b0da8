#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "safelight/policy.h"

using namespace safelight::policy;
using safelight::Status;

namespace {

template <typename Name>
std::uint32_t number_of(Name name, const std::string& word) {
  for (std::uint32_t value = 0; name(value) != nullptr; ++value) {
    if (word == name(value)) {
      return value;
    }
  }
  FAIL("no such word: " << word);
  return 0;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

Finding parse_finding(const std::string& text) {
  const std::vector<std::string> parts = split(text, ':');
  REQUIRE(parts.size() == 4);
  return {static_cast<FindingKind>(number_of(finding_kind_name, parts[0])),
          static_cast<State>(number_of(state_name, parts[1])),
          static_cast<Label>(parts[2] == "-" ? 0 : number_of(label_name, parts[2])),
          parts[3] == "-" ? std::numeric_limits<float>::quiet_NaN() : std::stof(parts[3])};
}

Outcome decide(AgeBand band, Event event, const std::vector<Finding>& findings) {
  Outcome outcome{};
  REQUIRE(evaluate(default_rules(), band, event, findings.data(), findings.size(), &outcome) == Status::kOk);
  return outcome;
}

}  // namespace

TEST_CASE("golden vectors: the same answers as in Python and C") {
  std::ifstream file(GOLDEN_POLICY);
  REQUIRE(file.good());
  int rows = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    const std::vector<std::string> cells = split(line, '\t');
    REQUIRE(cells.size() == 5);
    std::vector<Finding> findings;
    if (cells[2] != "-") {
      for (const std::string& text : split(cells[2], ' ')) {
        findings.push_back(parse_finding(text));
      }
    }
    const Outcome outcome = decide(static_cast<AgeBand>(number_of(age_band_name, cells[0])),
                                   static_cast<Event>(number_of(event_name, cells[1])), findings);
    std::string reasons;
    for (std::uint32_t i = 0; i < outcome.reason_count; ++i) {
      reasons += (i > 0 ? " " : "") + std::string(reason_name(outcome.reasons[i]));
    }
    CAPTURE(line);
    CHECK(action_name(static_cast<std::uint32_t>(outcome.action)) == cells[3]);
    CHECK((reasons.empty() ? "-" : reasons) == cells[4]);
    ++rows;
  }
  CHECK(rows >= 100);
}

TEST_CASE("nothing seen is could-not-tell, never allowed") {
  for (std::size_t band = 0; band < kAgeBandCount; ++band) {
    for (std::size_t event = 0; event < kEventCount; ++event) {
      const auto who = static_cast<AgeBand>(band);
      const auto what = static_cast<Event>(event);
      const Outcome outcome = decide(who, what, {});
      if (what == Event::kMessage || what == Event::kSearch) {
        // Silence about words is no reason to cut a child off; see docs/adr/0013.
        CHECK(outcome.action == (who == AgeBand::kAdult ? Action::kAllow : Action::kNudge));
      } else {
        CHECK(outcome.action >= Action::kHold);
      }
    }
  }
}

TEST_CASE("an impossible score is could-not-tell") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float score : {nan, infinity, -infinity, -0.01F, 1.01F}) {
    const Outcome outcome =
        decide(AgeBand::kUnder10, Event::kUpload, {{FindingKind::kNudity, State::kOk, Label::kNone, score}});
    CHECK(outcome.action == Action::kHold);
    CHECK(outcome.reasons[0] == static_cast<std::uint8_t>(State::kScoreInvalid));
  }
}

TEST_CASE("a floor holds against a loosened table") {
  Rules loosened = default_rules();
  loosened.actions.picture.fill(static_cast<std::uint8_t>(Action::kAllow));
  const Finding finding{FindingKind::kNudity, State::kOk, Label::kExplicit, 0.9F};
  Outcome outcome{};
  REQUIRE(evaluate(loosened, AgeBand::k16To17, Event::kCapture, &finding, 1, &outcome) == Status::kOk);
  CHECK(outcome.action == Action::kHold);
}

TEST_CASE("a table below a shipped floor, or less protective for a younger band, never decides") {
  const Finding finding{FindingKind::kNudity, State::kOk, Label::kNone, 0.0F};
  const auto refused = [&](const Rules& rules) {
    Outcome outcome{Action::kAllow, 0, {}};
    return evaluate(rules, AgeBand::k13To15, Event::kView, &finding, 1, &outcome) == Status::kBadRulesTable &&
           outcome.action == Action::kHold;
  };
  Rules broken = default_rules();
  broken.floors = Cells{};
  CHECK_FALSE(refused(broken));  // the actions themselves are above the floors that ship
  broken.actions.picture[picture_cell(AgeBand::k16To17, Event::kCapture, 2, 0)] = 0;
  CHECK(refused(broken));

  broken = default_rules();
  broken.actions.answers[answer_cell(AgeBand::kUnder10, static_cast<std::size_t>(Answer::kQueryMatch))] = 0;
  CHECK(refused(broken));
  broken = default_rules();
  broken.actions.picture[picture_cell(AgeBand::kUnknown, Event::kView, 1, 0)] = 0;
  CHECK(refused(broken));
  broken = default_rules();
  broken.actions.answers[answer_cell(AgeBand::kAdult, static_cast<std::size_t>(Answer::kConversationWatch))] = 2;
  CHECK(refused(broken));
  broken = default_rules();
  broken.actions.could_not_tell[could_not_tell_cell(AgeBand::kUnder10, FindingKind::kSite)] = 0;
  CHECK(refused(broken));
  broken = default_rules();
  broken.actions.known_match = broken.floors.known_match = 0;
  CHECK(refused(broken));
}

TEST_CASE("misuse is a status, and the outcome stays protective") {
  Outcome outcome{Action::kAllow, 0, {}};
  const Finding finding{FindingKind::kNudity, State::kOk, Label::kNone, 0.0F};
  CHECK(evaluate(default_rules(), AgeBand::kAdult, Event::kView, nullptr, 1, &outcome) == Status::kNullArgument);
  CHECK(outcome.action == Action::kHold);
  CHECK(evaluate(default_rules(), AgeBand::kAdult, Event::kView, &finding, 1, nullptr) == Status::kNullArgument);

  outcome.action = Action::kAllow;
  CHECK(evaluate(default_rules(), static_cast<AgeBand>(6), Event::kView, &finding, 1, &outcome) ==
        Status::kUnknownWord);
  CHECK(outcome.action == Action::kHold);

  outcome.action = Action::kAllow;
  const Finding unknown{static_cast<FindingKind>(200), State::kOk, Label::kNone, 0.0F};
  CHECK(evaluate(default_rules(), AgeBand::kAdult, Event::kView, &unknown, 1, &outcome) == Status::kUnknownWord);
  CHECK(outcome.action == Action::kHold);

  Rules broken = default_rules();
  broken.actions.picture[0] = 5;
  outcome.action = Action::kAllow;
  CHECK(evaluate(broken, AgeBand::kAdult, Event::kView, &finding, 1, &outcome) == Status::kBadRulesTable);
  CHECK(outcome.action == Action::kHold);
  broken = default_rules();
  broken.strong_minor_score = std::nanf("");
  CHECK(check_rules(broken) == Status::kBadRulesTable);
}
