// The vocabulary as text. Order follows the enums in policy.h; tests/unit compares it with the Python words.
#include <array>

#include "safelight/policy.h"

namespace safelight::policy {
namespace {

template <std::size_t N>
const char* at(const std::array<const char*, N>& names, std::uint32_t value) noexcept {
  return value < N ? names[value] : nullptr;
}

constexpr std::array<const char*, kActionCount> kActions = {"ALLOW", "NUDGE", "BLUR", "HOLD", "BLOCK"};
constexpr std::array<const char*, kAgeBandCount> kAgeBands = {"under_10", "10_12", "13_15",
                                                              "16_17",    "adult", "unknown"};
constexpr std::array<const char*, kEventCount> kEvents = {"capture", "upload",  "send",   "receive", "view",
                                                          "save",    "message", "search", "use"};
constexpr std::array<const char*, kFindingKindCount> kFindingKinds = {
    "media", "nudity", "age", "known", "grooming", "conversation", "query", "site", "consent", "time", "settings"};
constexpr std::array<const char*, kLabelCount> kLabels = {
    "none",     "suggestive",    "explicit",       "no_face",     "adult",         "unsure",     "minor",
    "no_match", "match",         "age_probe",      "alone_check", "flattery_bond", "isolation",  "secrecy",
    "gift",     "platform_move", "photo_request",  "meeting",     "threat",        "sexualised", "calm",
    "watch",    "warn",          "danger",         "given",       "missing",       "expired",    "withdrawn",
    "allowed",  "spent",         "outside_window", "help"};
constexpr std::array<const char*, kStateCount> kStates = {
    "OK",
    "NO_EVIDENCE",
    "NO_MODEL",
    "UNVERIFIED",
    "DETECTOR_FAILED",
    "SCORE_INVALID",
    "DECODE_FAILED",
    "NOT_MEDIA",
    "NO_DECODER",
    "TOO_LARGE",
    "TOO_SMALL",
    "LOW_QUALITY",
    "TOO_DARK",
    "TOO_BLURRED",
    "TIMED_OUT",
    "OUT_OF_MEMORY",
    "NO_LIST",
    "UNKNOWN_LANGUAGE",
    "TOO_LONG",
    "MALFORMED",
    "NO_STORE",
    "STORE_DAMAGED",
    "STORE_ROLLED_BACK",
    "STORE_FAILED",
    "CLOCK_UNCONFIRMED",
};
constexpr std::array<const char*, kReasonCount - kFirstReason> kReasons = {
    "HELP",
    "TIME_SPENT",
    "TIME_OUTSIDE_WINDOW",
    "CONSENT_MISSING",
    "CONSENT_EXPIRED",
    "CONSENT_WITHDRAWN",
    "RULE",
    "QUERY_MATCH",
    "SITE_MATCH",
    "GROOMING_STAGE",
    "CONVERSATION_WATCH",
    "NUDITY_SUGGESTIVE",
    "CONVERSATION_WARN",
    "CONVERSATION_DANGER",
    "NUDITY_EXPLICIT",
    "SUBJECT_UNSURE",
    "SUBJECT_MINOR",
    "SUBJECT_MINOR_STRONG",
    "KNOWN_MATCH",
};

}  // namespace

const char* action_name(std::uint32_t value) noexcept { return at(kActions, value); }
const char* age_band_name(std::uint32_t value) noexcept { return at(kAgeBands, value); }
const char* event_name(std::uint32_t value) noexcept { return at(kEvents, value); }
const char* finding_kind_name(std::uint32_t value) noexcept { return at(kFindingKinds, value); }
const char* label_name(std::uint32_t value) noexcept { return at(kLabels, value); }
const char* reason_name(std::uint32_t value) noexcept {
  return value < kFirstReason ? at(kStates, value) : at(kReasons, value - static_cast<std::uint32_t>(kFirstReason));
}
const char* state_name(std::uint32_t value) noexcept { return at(kStates, value); }

}  // namespace safelight::policy
