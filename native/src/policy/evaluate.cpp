#include <algorithm>

#include "safelight/policy.h"

namespace safelight::policy {
namespace {

constexpr std::size_t kLevelExplicit = 2;
constexpr std::size_t kSubjectAdult = 0;
constexpr std::size_t kSubjectMinorOrUnsure = 1;

template <typename Word>
constexpr bool in_vocabulary(Word word, std::size_t count) noexcept {
  return static_cast<std::size_t>(word) < count;
}

// Written so that NaN is outside.
bool in_unit_interval(float score) noexcept { return score >= 0.0F && score <= 1.0F; }

bool label_belongs(FindingKind kind, Label label) noexcept {
  switch (kind) {
    case FindingKind::kNudity:
      return label <= Label::kExplicit;
    case FindingKind::kAge:
      return label >= Label::kNoFace && label <= Label::kMinor;
    case FindingKind::kKnown:
      return label == Label::kNoMatch || label == Label::kMatch;
    case FindingKind::kGrooming:
      return label == Label::kNone || (label >= Label::kAgeProbe && label <= Label::kSexualised);
    case FindingKind::kConversation:
      return (label >= Label::kCalm && label <= Label::kDanger) || label == Label::kHelp;
    case FindingKind::kQuery:
    case FindingKind::kSite:
      return label == Label::kNoMatch || label == Label::kMatch || label == Label::kHelp;
    case FindingKind::kConsent:
      return label >= Label::kGiven && label <= Label::kWithdrawn;
    case FindingKind::kTime:
      return label >= Label::kAllowed && label <= Label::kOutsideWindow;
    case FindingKind::kMedia:
    case FindingKind::kSettings:
      return false;  // states only
  }
  return false;
}

// Which action each reason asks for; reasons that were not seen stay absent.
class Reasons {
 public:
  void add(std::uint8_t reason, std::uint8_t action) noexcept {
    seen_[reason] = true;
    action_[reason] = std::max(action_[reason], action);
  }

  // Highest action first; among equals the order of the enum, from its end: findings before states.
  void write(Outcome* outcome) const noexcept {
    std::uint8_t highest = 0;
    std::uint32_t count = 0;
    for (std::size_t level = kActionCount - 1; level > 0; --level) {
      for (std::size_t reason = kReasonCount; reason-- > 0;) {
        if (seen_[reason] && action_[reason] == level) {
          outcome->reasons[count++] = static_cast<std::uint8_t>(reason);
          highest = std::max(highest, action_[reason]);
        }
      }
    }
    outcome->reason_count = count;
    outcome->action = static_cast<Action>(highest);
  }

 private:
  std::array<bool, kReasonCount> seen_{};
  std::array<std::uint8_t, kReasonCount> action_{};
};

}  // namespace

Status check_rules(const Rules& rules) noexcept {
  const auto in_ladder = [](std::uint8_t action) { return action < kActionCount; };
  const bool ok = std::all_of(rules.picture.begin(), rules.picture.end(), in_ladder) &&
                  std::all_of(rules.floors.begin(), rules.floors.end(), in_ladder) &&
                  std::all_of(rules.could_not_tell.begin(), rules.could_not_tell.end(), in_ladder) &&
                  in_ladder(rules.known_match) && in_unit_interval(rules.strong_explicit_score) &&
                  in_unit_interval(rules.strong_minor_score);
  return ok ? Status::kOk : Status::kBadRulesTable;
}

Status evaluate(const Rules& rules, AgeBand band, Event event, const Finding* findings, std::size_t finding_count,
                Outcome* outcome) noexcept {
  if (outcome == nullptr) {
    return Status::kNullArgument;
  }
  *outcome = Outcome{Action::kHold, 0, {}};
  if (findings == nullptr && finding_count > 0) {
    return Status::kNullArgument;
  }
  if (!in_vocabulary(band, kAgeBandCount) || !in_vocabulary(event, kEventCount)) {
    return Status::kUnknownWord;
  }
  const Status rules_status = check_rules(rules);
  if (rules_status != Status::kOk) {
    return rules_status;
  }

  const std::uint8_t could_not_tell = rules.could_not_tell[static_cast<std::size_t>(band)];
  Reasons reasons;
  bool judged = false;  // a nudity answer, or a stated reason why there is none
  bool subject_seen = false;
  Label subject = Label::kNoFace;
  std::size_t level = 0;
  float explicit_score = 0.0F;
  float minor_score = 0.0F;

  for (std::size_t i = 0; i < finding_count; ++i) {
    const Finding& finding = findings[i];
    if (!in_vocabulary(finding.kind, kFindingKindCount) || !in_vocabulary(finding.state, kStateCount)) {
      return Status::kUnknownWord;
    }
    const bool is_age = finding.kind == FindingKind::kAge;
    State state = finding.state;
    if (state == State::kOk) {
      if (finding.kind == FindingKind::kMedia || finding.kind == FindingKind::kSettings) {
        continue;  // "decoded well" is no evidence about what is in the picture
      }
      if (!in_vocabulary(finding.label, kLabelCount)) {
        return Status::kUnknownWord;
      }
      if (!in_unit_interval(finding.score) || !label_belongs(finding.kind, finding.label)) {
        state = State::kScoreInvalid;
      }
    }
    if (state != State::kOk) {
      if (is_age) {
        subject_seen = true;
        subject = std::max(subject, Label::kUnsure);
      } else {
        judged = true;
        reasons.add(static_cast<std::uint8_t>(state), could_not_tell);
      }
      continue;
    }
    switch (finding.kind) {
      case FindingKind::kNudity:
        judged = true;
        level = std::max(level, static_cast<std::size_t>(finding.label));
        explicit_score = std::max(explicit_score, finding.score);
        break;
      case FindingKind::kAge:
        subject_seen = true;
        subject = std::max(subject, finding.label);
        minor_score = std::max(minor_score, finding.score);
        break;
      case FindingKind::kKnown:
        if (finding.label == Label::kMatch) {
          reasons.add(static_cast<std::uint8_t>(Reason::kKnownMatch), rules.known_match);
        }
        break;
      default:
        break;
    }
  }
  if (!judged) {
    reasons.add(static_cast<std::uint8_t>(State::kNoEvidence), could_not_tell);
  }
  if (!subject_seen) {
    subject = Label::kUnsure;
  }

  const bool minor_or_unsure = subject >= Label::kUnsure;
  const auto action_for = [&](std::size_t subject_axis) {
    const std::size_t cell = picture_cell(band, event, level, subject_axis);
    return std::max(rules.picture[cell], rules.floors[cell]);
  };
  const std::uint8_t action = action_for(minor_or_unsure ? kSubjectMinorOrUnsure : kSubjectAdult);
  Reason why_level = Reason::kRule;
  if (level > 0) {
    why_level = level == kLevelExplicit ? Reason::kNudityExplicit : Reason::kNuditySuggestive;
  }
  reasons.add(static_cast<std::uint8_t>(why_level), action);
  const bool subject_matters = action > action_for(kSubjectAdult);
  if (subject_matters) {
    Reason why_subject = Reason::kSubjectUnsure;
    if (subject == Label::kMinor) {
      const bool strong = explicit_score >= rules.strong_explicit_score && minor_score >= rules.strong_minor_score;
      why_subject = strong ? Reason::kSubjectMinorStrong : Reason::kSubjectMinor;
    }
    reasons.add(static_cast<std::uint8_t>(why_subject), action);
  }
  reasons.write(outcome);
  return Status::kOk;
}

}  // namespace safelight::policy
