// The decision table and its evaluator: evidence × age band × event → action and reasons.
//
// Pure: no I/O, no clock, no allocation, no exception. The table is data (sdk/safelight/policy/
// default_rules.json, compiled in by native/tools/generate.py); this file is only how it is read.
// The readable twin is tests/reference/policy.py, and a property test holds the two together.
//
// The order of every enum is part of the ABI and of the table layout: append, never reorder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "safelight/status.h"

namespace safelight::policy {

// The ladder. Several findings take the highest.
enum class Action : std::uint8_t { kAllow, kNudge, kBlur, kHold, kBlock };
inline constexpr std::size_t kActionCount = 5;

// Who holds the device. `kUnknown` is protected.
enum class AgeBand : std::uint8_t { kUnder10, k10To12, k13To15, k16To17, kAdult, kUnknown };
inline constexpr std::size_t kAgeBandCount = 6;

enum class Event : std::uint8_t { kCapture, kUpload, kSend, kReceive, kView, kSave, kMessage, kSearch, kUse };
inline constexpr std::size_t kEventCount = 9;

enum class FindingKind : std::uint8_t {
  kMedia,
  kNudity,
  kAge,
  kKnown,
  kGrooming,      // the stage that one message belongs to
  kConversation,  // what the messages of one conversation mean together
  kQuery,
  kSite,
  kConsent,
  kTime,
  kSettings,  // states only: why the strictest settings are in force
};
inline constexpr std::size_t kFindingKindCount = 11;

enum class State : std::uint8_t {
  kOk,
  kNoEvidence,
  kNoModel,
  kUnverified,
  kDetectorFailed,
  kScoreInvalid,
  kDecodeFailed,
  kNotMedia,
  kNoDecoder,
  kTooLarge,
  kTooSmall,
  kLowQuality,
  kTooDark,
  kTooBlurred,
  kTimedOut,
  kOutOfMemory,
  kNoList,
  kUnknownLanguage,
  kTooLong,
  kMalformed,
  kNoStore,
  kStoreDamaged,
  kStoreRolledBack,
  kStoreFailed,
  kClockUnconfirmed,
};
inline constexpr std::size_t kStateCount = 25;

enum class Label : std::uint8_t {
  kNone,           // nudity, grooming
  kSuggestive,     // nudity
  kExplicit,       // nudity
  kNoFace,         // age
  kAdult,          // age
  kUnsure,         // age
  kMinor,          // age
  kNoMatch,        // known, query, site
  kMatch,          // known, query, site
  kAgeProbe,       // grooming, and the next ten
  kAloneCheck,     //
  kFlatteryBond,   //
  kIsolation,      //
  kSecrecy,        //
  kGift,           //
  kPlatformMove,   //
  kPhotoRequest,   //
  kMeeting,        //
  kThreat,         //
  kSexualised,     //
  kCalm,           // conversation
  kWatch,          // conversation
  kWarn,           // conversation
  kDanger,         // conversation
  kGiven,          // consent
  kMissing,        // consent
  kExpired,        // consent
  kWithdrawn,      // consent
  kAllowed,        // time
  kSpent,          // time
  kOutsideWindow,  // time
  kHelp,           // conversation, query, site: a way to help, which is never blocked
};
inline constexpr std::size_t kLabelCount = 32;

// Why: the states above (except kOk) keep their number. The others start at kFirstReason, so that both can grow;
// the numbers between are nobody's. Where several ask for the same action, the higher number comes first.
inline constexpr std::size_t kFirstReason = 64;
enum class Reason : std::uint8_t {
  kHelp = kFirstReason,  // allowed because it is a way to help
  kTimeSpent,
  kTimeOutsideWindow,
  kConsentMissing,
  kConsentExpired,
  kConsentWithdrawn,
  kRule,  // the rules ask for it whatever is in the picture
  kQueryMatch,
  kSiteMatch,
  kGroomingStage,
  kConversationWatch,
  kNuditySuggestive,
  kConversationWarn,
  kConversationDanger,
  kNudityExplicit,
  kSubjectUnsure,
  kSubjectMinor,
  kSubjectMinorStrong,
  kKnownMatch,
};
inline constexpr std::size_t kReasonCount = kFirstReason + 19;
static_assert(kStateCount <= kFirstReason, "states have grown into the reasons");

struct Finding {
  FindingKind kind;
  State state;
  Label label;  // read only when state is kOk
  float score;  // in [0, 1], read only when state is kOk; p(under 18) for kind kAge
};

// How explicit, and who is in the picture, as the table's two inner axes.
inline constexpr std::size_t kLevelCount = 3;    // none, suggestive, explicit
inline constexpr std::size_t kSubjectCount = 2;  // adult or no face; minor or unsure
inline constexpr std::size_t kPictureCells = kAgeBandCount * kEventCount * kLevelCount * kSubjectCount;

inline constexpr std::size_t kCouldNotTellCells = kAgeBandCount * kFindingKindCount;

// What a finding of a kind without an axis of its own can answer, as far as an action can hang on it: the eleven
// stages of grooming, then these.
enum class Answer : std::uint8_t {
  kConversationWatch = 11,
  kConversationWarn,
  kConversationDanger,
  kQueryMatch,
  kSiteMatch,
  kConsentMissing,
  kConsentExpired,
  kConsentWithdrawn,
  kTimeSpent,
  kTimeOutsideWindow,
};
inline constexpr std::size_t kAnswerCount = 21;
inline constexpr std::size_t kAnswerCells = kAgeBandCount * kAnswerCount;

// One action for every situation. Bytes only, without padding: a face may copy it as a whole.
struct Cells {
  std::array<std::uint8_t, kPictureCells> picture;              // picture_cell()
  std::array<std::uint8_t, kCouldNotTellCells> could_not_tell;  // could_not_tell_cell()
  std::array<std::uint8_t, kAnswerCells> answers;               // answer_cell()
  std::uint8_t known_match;
};
inline constexpr std::size_t kCellCount = kPictureCells + kCouldNotTellCells + kAnswerCells + 1;
static_assert(sizeof(Cells) == kCellCount);

// A rules document, flattened. A floor is an action that no rule goes below: looked at on every decision, so that a
// loosened table cannot undercut it.
struct Rules {
  Cells actions;
  Cells floors;
  float strong_explicit_score;  // both scores at or above these make kSubjectMinorStrong
  float strong_minor_score;
};

constexpr std::size_t picture_cell(AgeBand band, Event event, std::size_t level, std::size_t subject) noexcept {
  return ((static_cast<std::size_t>(band) * kEventCount + static_cast<std::size_t>(event)) * kLevelCount + level) *
             kSubjectCount +
         subject;
}

constexpr std::size_t could_not_tell_cell(AgeBand band, FindingKind kind) noexcept {
  return static_cast<std::size_t>(band) * kFindingKindCount + static_cast<std::size_t>(kind);
}

constexpr std::size_t answer_cell(AgeBand band, std::size_t answer) noexcept {
  return static_cast<std::size_t>(band) * kAnswerCount + answer;
}

struct Outcome {
  Action action;
  std::uint32_t reason_count;
  std::array<std::uint8_t, kReasonCount> reasons;  // most severe first, each at most once
};

// The rules that ship: DESIGN's default table.
const Rules& default_rules() noexcept;

// Is this a table that may decide? Actions in range and scores in [0, 1]; nothing below the floors of the rules that
// ship; and no turned-around order: explicit >= suggestive >= none, a subject who may be a child >= an adult,
// danger >= warn >= watch, under_10 >= 10_12 >= 13_15 >= 16_17 >= adult and unknown >= 13_15. (One exception, in the
// design: a picture that may show a child may be more severe for an adult.) evaluate() refuses any other table.
Status check_rules(const Rules& rules) noexcept;

// Decides. Whatever goes wrong, `outcome` is protective: it starts as kHold and is lowered only by evidence.
//
// - Every event needs evidence of its own: a picture event an answer about nudity; a message one about nudity or
//   about what was written; a search one about the query, the site or nudity; a use one about time or consent.
//   None at all is kNoEvidence: "could not tell", never "nothing found".
// - A finding that could not tell counts as the could-not-tell action of its kind, except an age finding: the
//   subject is then "unsure", the more protective side of its axis.
// - A score outside [0, 1] (or NaN), or a label of another kind, is kScoreInvalid.
// - kHelp, of kind conversation, query or site, lifts whatever asks for an action because of words, addresses, time,
//   consent or settings, under every table: help is never blocked. A picture is judged as ever, and the consent that
//   a camera needs is still asked for.
Status evaluate(const Rules& rules, AgeBand band, Event event, const Finding* findings, std::size_t finding_count,
                Outcome* outcome) noexcept;

// Names as in the Python face ("under_10", "upload", "NUDITY_EXPLICIT"); null for a number out of range.
const char* action_name(std::uint32_t value) noexcept;
const char* age_band_name(std::uint32_t value) noexcept;
const char* event_name(std::uint32_t value) noexcept;
const char* finding_kind_name(std::uint32_t value) noexcept;
const char* state_name(std::uint32_t value) noexcept;
const char* label_name(std::uint32_t value) noexcept;
const char* reason_name(std::uint32_t value) noexcept;

}  // namespace safelight::policy
