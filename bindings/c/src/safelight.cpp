// The C face: translates, checks sizes, and calls the core. No algorithm lives here.
#include "safelight.h"

#include <cstring>

#include "safelight/policy.h"
#include "safelight/status.h"
#include "safelight/version.h"

namespace policy = safelight::policy;
using safelight::Status;

static_assert(policy::kReasonCount <= SAFELIGHT_MAX_REASONS, "raise SAFELIGHT_MAX_REASONS and SAFELIGHT_ABI_VERSION");
static_assert(static_cast<std::uint32_t>(Status::kKernelUnavailable) == SAFELIGHT_KERNEL_UNAVAILABLE);
static_assert(static_cast<std::uint32_t>(Status::kUnusableHash) == SAFELIGHT_UNUSABLE_HASH);
static_assert(safelight::kStatusCount == SAFELIGHT_UNUSABLE_HASH + 1, "name the new status in safelight.h");
static_assert(static_cast<std::uint32_t>(policy::Action::kBlock) == SAFELIGHT_BLOCK);

namespace {

constexpr safelight_status as_c(Status status) noexcept { return static_cast<safelight_status>(status); }

// Out of range stays out of range: a plain cast to the 8-bit enums would wrap 256 to 0.
template <typename Word>
constexpr Word narrow(std::uint32_t number) noexcept {
  return static_cast<Word>(number < 0xFF ? number : 0xFF);
}

}  // namespace

const char* safelight_version(void) { return safelight::kVersion; }

uint32_t safelight_abi_version(void) { return SAFELIGHT_ABI_VERSION; }

const char* safelight_status_message(safelight_status status) {
  return safelight::status_message(static_cast<Status>(status));
}

const char* safelight_word_name(safelight_vocabulary vocabulary, uint32_t number) {
  switch (vocabulary) {
    case SAFELIGHT_WORDS_ACTION:
      return policy::action_name(number);
    case SAFELIGHT_WORDS_AGE_BAND:
      return policy::age_band_name(number);
    case SAFELIGHT_WORDS_EVENT:
      return policy::event_name(number);
    case SAFELIGHT_WORDS_FINDING_KIND:
      return policy::finding_kind_name(number);
    case SAFELIGHT_WORDS_STATE:
      return policy::state_name(number);
    case SAFELIGHT_WORDS_LABEL:
      return policy::label_name(number);
    case SAFELIGHT_WORDS_REASON:
      return policy::reason_name(number);
  }
  return nullptr;
}

safelight_status safelight_word_from_name(safelight_vocabulary vocabulary, const char* name, uint32_t* number) {
  if (name == nullptr || number == nullptr) {
    return as_c(Status::kNullArgument);
  }
  for (std::uint32_t candidate = 0;; ++candidate) {
    const char* word = safelight_word_name(vocabulary, candidate);
    if (word == nullptr) {
      return as_c(Status::kUnknownWord);
    }
    if (std::strcmp(word, name) == 0) {
      *number = candidate;
      return as_c(Status::kOk);
    }
  }
}

safelight_status safelight_policy_decide(uint32_t age_band, uint32_t event, const safelight_finding* findings,
                                         size_t finding_count, safelight_outcome* outcome) {
  if (outcome == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (outcome->struct_size != sizeof(safelight_outcome)) {
    return as_c(Status::kStructSizeMismatch);
  }
  outcome->action = SAFELIGHT_HOLD;
  outcome->reason_count = 0;
  if (findings == nullptr && finding_count > 0) {
    return as_c(Status::kNullArgument);
  }
  if (finding_count > SAFELIGHT_MAX_FINDINGS) {
    return as_c(Status::kBufferTooSmall);
  }
  // On the stack, so that nothing is allocated.
  std::array<policy::Finding, SAFELIGHT_MAX_FINDINGS> native{};
  for (std::size_t i = 0; i < finding_count; ++i) {
    native[i] = {narrow<policy::FindingKind>(findings[i].kind), narrow<policy::State>(findings[i].state),
                 narrow<policy::Label>(findings[i].label), findings[i].score};
  }
  policy::Outcome decided{};
  const Status status = policy::evaluate(policy::default_rules(), narrow<policy::AgeBand>(age_band),
                                         narrow<policy::Event>(event), native.data(), finding_count, &decided);
  outcome->action = static_cast<safelight_action>(decided.action);
  outcome->reason_count = decided.reason_count;
  for (std::uint32_t i = 0; i < decided.reason_count; ++i) {
    outcome->reasons[i] = decided.reasons[i];
  }
  return as_c(status);
}
