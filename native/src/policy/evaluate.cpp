#include <algorithm>

#include "safelight/policy.h"

namespace safelight::policy {
namespace {

constexpr std::size_t kLevelExplicit = 2;
constexpr std::size_t kSubjectAdult = 0;
constexpr std::size_t kSubjectMinorOrUnsure = 1;

struct Link {
  AgeBand younger;
  AgeBand older;
};
constexpr std::array<Link, 5> kBandChain = {{{AgeBand::kUnder10, AgeBand::k10To12},
                                             {AgeBand::k10To12, AgeBand::k13To15},
                                             {AgeBand::k13To15, AgeBand::k16To17},
                                             {AgeBand::kUnknown, AgeBand::k13To15},
                                             {AgeBand::k16To17, AgeBand::kAdult}}};

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

// A picture is judged by these; nothing that is said about help lifts them.
constexpr bool about_picture(FindingKind kind) noexcept { return kind <= FindingKind::kKnown; }

constexpr bool about_words(FindingKind kind) noexcept {
  return kind == FindingKind::kGrooming || kind == FindingKind::kConversation;
}

constexpr bool about_lookup(FindingKind kind) noexcept {
  return kind == FindingKind::kQuery || kind == FindingKind::kSite;
}

constexpr bool is_picture_event(Event event) noexcept { return event <= Event::kSave; }

// What an answer of a kind without an axis of its own asks for: a column of the table, and the reason to give.
struct Column {
  bool asks;
  std::size_t answer;
  Reason reason;
};

constexpr Column column_of(FindingKind kind, Label label) noexcept {
  const auto one = [](Answer answer, Reason reason) { return Column{true, static_cast<std::size_t>(answer), reason}; };
  switch (label) {
    case Label::kWatch:
      return one(Answer::kConversationWatch, Reason::kConversationWatch);
    case Label::kWarn:
      return one(Answer::kConversationWarn, Reason::kConversationWarn);
    case Label::kDanger:
      return one(Answer::kConversationDanger, Reason::kConversationDanger);
    case Label::kMatch:
      return kind == FindingKind::kQuery ? one(Answer::kQueryMatch, Reason::kQueryMatch)
                                         : one(Answer::kSiteMatch, Reason::kSiteMatch);
    case Label::kMissing:
      return one(Answer::kConsentMissing, Reason::kConsentMissing);
    case Label::kExpired:
      return one(Answer::kConsentExpired, Reason::kConsentExpired);
    case Label::kWithdrawn:
      return one(Answer::kConsentWithdrawn, Reason::kConsentWithdrawn);
    case Label::kSpent:
      return one(Answer::kTimeSpent, Reason::kTimeSpent);
    case Label::kOutsideWindow:
      return one(Answer::kTimeOutsideWindow, Reason::kTimeOutsideWindow);
    default:
      break;
  }
  if (label >= Label::kAgeProbe && label <= Label::kSexualised) {
    return {true, static_cast<std::size_t>(label) - static_cast<std::size_t>(Label::kAgeProbe), Reason::kGroomingStage};
  }
  return {false, 0, Reason::kRule};
}

// Which action each reason asks for; reasons that were not seen stay absent.
class Reasons {
 public:
  void add(std::uint8_t reason, std::uint8_t action) noexcept {
    seen_[reason] = true;
    action_[reason] = std::max(action_[reason], action);
  }

  void add(const Reasons& other) noexcept {
    for (std::size_t reason = 0; reason < kReasonCount; ++reason) {
      if (other.seen_[reason]) {
        add(static_cast<std::uint8_t>(reason), other.action_[reason]);
      }
    }
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

// Calls `check(more severe, less severe)` for every pair of cells that no table may turn around, until one fails.
// The readable twin is order() in sdk/safelight/policy/table.py.
template <typename Check>
bool in_order(const Cells& actions, const Cells& floors, Check check) noexcept {
  const auto picture = [&](AgeBand band, Event event, std::size_t level, std::size_t subject) {
    const std::size_t cell = picture_cell(band, event, level, subject);
    return std::max(actions.picture[cell], floors.picture[cell]);
  };
  const auto answer = [&](AgeBand band, std::size_t column) {
    const std::size_t cell = answer_cell(band, column);
    return std::max(actions.answers[cell], floors.answers[cell]);
  };
  const auto could_not_tell = [&](AgeBand band, FindingKind kind) {
    const std::size_t cell = could_not_tell_cell(band, kind);
    return std::max(actions.could_not_tell[cell], floors.could_not_tell[cell]);
  };
  for (std::size_t b = 0; b < kAgeBandCount; ++b) {
    const auto band = static_cast<AgeBand>(b);
    for (std::size_t e = 0; e < kEventCount; ++e) {
      const auto event = static_cast<Event>(e);
      for (std::size_t level = 0; level < kLevelCount; ++level) {
        for (std::size_t subject = 0; subject < kSubjectCount; ++subject) {
          if (level > 0 && !check(picture(band, event, level, subject), picture(band, event, level - 1, subject))) {
            return false;
          }
        }
        if (!check(picture(band, event, level, kSubjectMinorOrUnsure), picture(band, event, level, kSubjectAdult))) {
          return false;
        }
      }
    }
    for (auto column = static_cast<std::size_t>(Answer::kConversationWarn);
         column <= static_cast<std::size_t>(Answer::kConversationDanger); ++column) {
      if (!check(answer(band, column), answer(band, column - 1))) {
        return false;
      }
    }
  }
  for (const auto& [younger, older] : kBandChain) {
    for (std::size_t e = 0; e < kEventCount; ++e) {
      for (std::size_t level = 0; level < kLevelCount; ++level) {
        for (std::size_t subject = 0; subject < kSubjectCount; ++subject) {
          const auto event = static_cast<Event>(e);
          const bool exception = older == AgeBand::kAdult && subject == kSubjectMinorOrUnsure;
          if (!exception && !check(picture(younger, event, level, subject), picture(older, event, level, subject))) {
            return false;
          }
        }
      }
    }
    for (std::size_t kind = 0; kind < kFindingKindCount; ++kind) {
      const auto word = static_cast<FindingKind>(kind);
      if (!check(could_not_tell(younger, word), could_not_tell(older, word))) {
        return false;
      }
    }
    for (std::size_t column = 0; column < kAnswerCount; ++column) {
      if (!check(answer(younger, column), answer(older, column))) {
        return false;
      }
    }
  }
  return true;
}

// Is every action in the ladder, and none, with its floor, below the floor of the rules that ship?
template <std::size_t N>
bool in_bounds(const std::array<std::uint8_t, N>& actions, const std::array<std::uint8_t, N>& floors,
               const std::array<std::uint8_t, N>& least) noexcept {
  for (std::size_t i = 0; i < N; ++i) {
    if (actions[i] >= kActionCount || floors[i] >= kActionCount || std::max(actions[i], floors[i]) < least[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

Status check_rules(const Rules& rules) noexcept {
  const Cells& least = default_rules().floors;
  const Cells& actions = rules.actions;
  const Cells& floors = rules.floors;
  const bool ok = in_bounds(actions.picture, floors.picture, least.picture) &&
                  in_bounds(actions.could_not_tell, floors.could_not_tell, least.could_not_tell) &&
                  in_bounds(actions.answers, floors.answers, least.answers) && actions.known_match < kActionCount &&
                  floors.known_match < kActionCount &&
                  std::max(actions.known_match, floors.known_match) >= least.known_match &&
                  in_order(
                      actions, floors, [](std::uint8_t more, std::uint8_t less) { return more >= less; }) &&
                  in_unit_interval(rules.strong_explicit_score) && in_unit_interval(rules.strong_minor_score);
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

  const auto could_not_tell = [&](FindingKind kind) {
    const std::size_t cell = could_not_tell_cell(band, kind);
    return std::max(rules.actions.could_not_tell[cell], rules.floors.could_not_tell[cell]);
  };
  Reasons reasons;   // about a picture, and the consent that a camera needs: stay whatever else is said
  Reasons liftable;  // about words, addresses, time, consent and settings: help lifts them
  bool help = false;
  bool picture_here = is_picture_event(event);
  bool picture_judged = false;  // a nudity answer, or a stated reason why there is none
  bool words_judged = false;
  bool lookup_judged = false;
  bool use_judged = false;
  bool subject_seen = false;
  Label subject = Label::kNoFace;
  std::size_t level = 0;
  float explicit_score = 0.0F;
  float minor_score = 0.0F;

  for (std::size_t i = 0; i < finding_count; ++i) {
    const Finding& finding = findings[i];
    const FindingKind kind = finding.kind;
    if (!in_vocabulary(kind, kFindingKindCount) || !in_vocabulary(finding.state, kStateCount)) {
      return Status::kUnknownWord;
    }
    picture_here = picture_here || about_picture(kind);
    State state = finding.state;
    if (state == State::kOk) {
      if (kind == FindingKind::kMedia || kind == FindingKind::kSettings) {
        continue;  // "decoded well" is no evidence about what is in the picture
      }
      if (!in_vocabulary(finding.label, kLabelCount)) {
        return Status::kUnknownWord;
      }
      if (!in_unit_interval(finding.score) || !label_belongs(kind, finding.label)) {
        state = State::kScoreInvalid;
      }
    }
    words_judged = words_judged || about_words(kind);
    lookup_judged = lookup_judged || about_lookup(kind);
    use_judged = use_judged || kind == FindingKind::kConsent || kind == FindingKind::kTime;
    const bool stays = about_picture(kind) || (kind == FindingKind::kConsent && event == Event::kCapture);
    Reasons& target = stays ? reasons : liftable;
    if (state != State::kOk) {
      if (kind == FindingKind::kAge) {
        subject_seen = true;
        subject = std::max(subject, Label::kUnsure);
      } else {
        picture_judged = picture_judged || about_picture(kind);
        target.add(static_cast<std::uint8_t>(state), could_not_tell(kind));
      }
      continue;
    }
    if (finding.label == Label::kHelp) {
      help = true;
      continue;
    }
    switch (kind) {
      case FindingKind::kNudity:
        picture_judged = true;
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
          reasons.add(static_cast<std::uint8_t>(Reason::kKnownMatch),
                      std::max(rules.actions.known_match, rules.floors.known_match));
        }
        break;
      default: {
        const Column column = column_of(kind, finding.label);
        if (column.asks) {
          const std::size_t cell = answer_cell(band, column.answer);
          target.add(static_cast<std::uint8_t>(column.reason),
                     std::max(rules.actions.answers[cell], rules.floors.answers[cell]));
        }
        break;
      }
    }
  }

  constexpr auto kNoEvidence = static_cast<std::uint8_t>(State::kNoEvidence);
  if (picture_here) {
    if (!picture_judged) {
      reasons.add(kNoEvidence, could_not_tell(FindingKind::kNudity));
    }
    if (!subject_seen) {
      subject = Label::kUnsure;
    }
    const auto action_for = [&](std::size_t subject_axis) {
      const std::size_t cell = picture_cell(band, event, level, subject_axis);
      return std::max(rules.actions.picture[cell], rules.floors.picture[cell]);
    };
    const bool minor_or_unsure = subject >= Label::kUnsure;
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
  } else if (event == Event::kMessage && !words_judged) {
    liftable.add(kNoEvidence, could_not_tell(FindingKind::kConversation));
  } else if (event == Event::kSearch && !lookup_judged) {
    liftable.add(kNoEvidence, could_not_tell(FindingKind::kQuery));
  } else if (event == Event::kUse && !use_judged) {
    liftable.add(kNoEvidence, could_not_tell(FindingKind::kConsent));
  }
  if (!help) {
    reasons.add(liftable);
  }
  reasons.write(outcome);
  if (help) {
    outcome->reasons[outcome->reason_count++] = static_cast<std::uint8_t>(Reason::kHelp);
  }
  return Status::kOk;
}

}  // namespace safelight::policy
