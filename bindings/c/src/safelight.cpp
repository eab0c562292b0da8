// The C face: translates, checks sizes, and calls the core. No algorithm lives here.
#include "safelight.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "safelight/hash.h"
#include "safelight/hash_index.h"
#include "safelight/image.h"
#include "safelight/policy.h"
#include "safelight/status.h"
#include "safelight/text_features.h"
#include "safelight/version.h"

namespace hash = safelight::hash;
namespace image = safelight::image;
namespace policy = safelight::policy;
namespace text = safelight::text;
using safelight::Status;

static_assert(policy::kReasonCount <= SAFELIGHT_MAX_REASONS, "raise SAFELIGHT_MAX_REASONS and SAFELIGHT_ABI_VERSION");
static_assert(policy::kFirstReason == SAFELIGHT_FIRST_REASON);
static_assert(static_cast<std::uint32_t>(Status::kKernelUnavailable) == SAFELIGHT_KERNEL_UNAVAILABLE);
static_assert(static_cast<std::uint32_t>(Status::kProfileMismatch) == SAFELIGHT_PROFILE_MISMATCH);
static_assert(safelight::kStatusCount == SAFELIGHT_PROFILE_MISMATCH + 1, "name the new status in safelight.h");
static_assert(static_cast<std::uint32_t>(policy::Action::kBlock) == SAFELIGHT_BLOCK);
static_assert(static_cast<std::uint32_t>(image::Format::kYuyv) == SAFELIGHT_FORMAT_YUYV);
static_assert(image::kFormatCount == SAFELIGHT_FORMAT_YUYV + 1, "name the new format in safelight.h");
static_assert(static_cast<std::uint32_t>(hash::Profile::kNear512) == SAFELIGHT_PDQ_NEAR512);
static_assert(static_cast<std::uint32_t>(hash::PdqState::kTooSmall) == SAFELIGHT_PDQ_TOO_SMALL);
static_assert(text::kMaxIds == SAFELIGHT_TEXT_MAX_IDS && text::kDense == SAFELIGHT_TEXT_DENSE);
static_assert(static_cast<std::uint32_t>(text::Trust::kGuardian) == SAFELIGHT_TRUST_GUARDIAN);
static_assert(text::kSexualised == SAFELIGHT_TEXT_SEXUALISED && text::kFlagCount == 8, "name the new flag");
static_assert(hash::kPdqBytes == SAFELIGHT_PDQ_BYTES);
static_assert(hash::kMatchDistance == SAFELIGHT_MATCH_DISTANCE);
static_assert(hash::kNoCategory == SAFELIGHT_NO_CATEGORY);
static_assert(sizeof(hash::IndexMatch) == sizeof(safelight_match) &&
                  offsetof(hash::IndexMatch, entry_id) == offsetof(safelight_match, entry_id) &&
                  offsetof(hash::IndexMatch, distance) == offsetof(safelight_match, distance) &&
                  offsetof(hash::IndexMatch, category) == offsetof(safelight_match, category),
              "safelight_index_query copies nothing");

namespace {

constexpr safelight_status as_c(Status status) noexcept { return static_cast<safelight_status>(status); }

// Out of range stays out of range: a plain cast to the 8-bit enums would wrap 256 to 0.
template <typename Word>
constexpr Word narrow(std::uint32_t number) noexcept {
  return static_cast<Word>(number < 0xFF ? number : 0xFF);
}

image::PictureView as_view(const safelight_frame& frame) noexcept {
  image::PictureView view{};
  view.format = narrow<image::Format>(frame.format);
  view.width_px = frame.width_px;
  view.height_px = frame.height_px;
  view.planes[0] = {frame.data, frame.stride_bytes, frame.length_bytes};
  return view;
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
  // No vocabulary has numbers beyond those of the reasons, which leave some free after the states.
  for (std::uint32_t candidate = 0; candidate < policy::kReasonCount; ++candidate) {
    const char* word = safelight_word_name(vocabulary, candidate);
    if (word != nullptr && std::strcmp(word, name) == 0) {
      *number = candidate;
      return as_c(Status::kOk);
    }
  }
  return as_c(Status::kUnknownWord);
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

safelight_status safelight_pdq_scratch_bytes(const safelight_frame* frame, safelight_pdq_profile profile,
                                             size_t* bytes) {
  if (frame == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (frame->struct_size != sizeof(safelight_frame)) {
    return as_c(Status::kStructSizeMismatch);
  }
  return as_c(hash::pdq_scratch_bytes(as_view(*frame), narrow<hash::Profile>(profile), bytes));
}

safelight_status safelight_pdq_hash(const safelight_frame* frame, safelight_pdq_profile profile, safelight_pdq* result,
                                    void* scratch, size_t scratch_bytes) {
  if (result == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (result->struct_size != sizeof(safelight_pdq)) {
    return as_c(Status::kStructSizeMismatch);
  }
  *result = {sizeof(safelight_pdq), SAFELIGHT_PDQ_TOO_SMALL, profile, 0, {}};
  if (frame == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (frame->struct_size != sizeof(safelight_frame)) {
    return as_c(Status::kStructSizeMismatch);
  }
  hash::Pdq made{};
  const Status status = hash::pdq(as_view(*frame), narrow<hash::Profile>(profile), &made, scratch, scratch_bytes);
  if (status == Status::kOk) {
    result->state = static_cast<safelight_pdq_state>(made.state);
    result->quality = made.quality;
    std::memcpy(result->bits, made.bits, sizeof(result->bits));
  }
  return as_c(status);
}

safelight_status safelight_pdq_distance(const uint8_t* left, const uint8_t* right, uint32_t* distance) {
  if (left == nullptr || right == nullptr || distance == nullptr) {
    return as_c(Status::kNullArgument);
  }
  *distance = hash::pdq_distance(left, right);
  return as_c(Status::kOk);
}

safelight_status safelight_index_describe(const void* index, size_t index_bytes, safelight_index_info* info) {
  if (info == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (info->struct_size != sizeof(safelight_index_info)) {
    return as_c(Status::kStructSizeMismatch);
  }
  hash::IndexView view{};
  const Status status = hash::index_open(index, index_bytes, &view);
  if (status == Status::kOk) {
    info->profile = static_cast<safelight_pdq_profile>(view.shape.profile);
    info->entry_count = view.shape.count;
    info->negative_count = view.shape.negative_count;
  }
  return as_c(status);
}

safelight_status safelight_index_query(const void* index, size_t index_bytes, const safelight_pdq* wanted,
                                       uint32_t max_distance, safelight_match* matches, size_t capacity,
                                       size_t* count) {
  if (count == nullptr || wanted == nullptr) {
    return as_c(Status::kNullArgument);
  }
  *count = 0;
  if (wanted->struct_size != sizeof(safelight_pdq)) {
    return as_c(Status::kStructSizeMismatch);
  }
  hash::IndexView view{};
  const Status status = hash::index_open(index, index_bytes, &view);
  if (status != Status::kOk) {
    return as_c(status);
  }
  if (wanted->state != SAFELIGHT_PDQ_OK) {
    return as_c(Status::kUnusableHash);
  }
  if (wanted->profile != static_cast<safelight_pdq_profile>(view.shape.profile)) {
    return as_c(Status::kProfileMismatch);
  }
  return as_c(hash::index_query(view, wanted->bits, max_distance, reinterpret_cast<hash::IndexMatch*>(matches),
                                capacity, count));
}

uint32_t safelight_text_feature_version(void) { return text::kFeatureVersion; }

const char* safelight_text_data_sha256(void) { return text::text_data_sha256(); }

const char* safelight_text_language_name(uint32_t language) {
  return language < text::kLanguageCount ? text::language_name(static_cast<text::Language>(language)) : nullptr;
}

size_t safelight_text_scratch_bytes(void) { return sizeof(text::Workspace); }

safelight_status safelight_text_read(const char* message, size_t length, uint32_t from_other,
                                     safelight_text_trust trust, double gap_s, safelight_text_features* features,
                                     void* scratch, size_t scratch_bytes) {
  if (features == nullptr || scratch == nullptr) {
    return as_c(Status::kNullArgument);
  }
  if (features->struct_size != sizeof(safelight_text_features)) {
    return as_c(Status::kStructSizeMismatch);
  }
  if (scratch_bytes < sizeof(text::Workspace)) {
    return as_c(Status::kBufferTooSmall);
  }
  if (trust > SAFELIGHT_TRUST_GUARDIAN || from_other > 1) {
    return as_c(Status::kUnknownWord);
  }
  text::Context context;
  context.from_other = from_other == 1;
  context.trust = static_cast<text::Trust>(trust);
  context.gap_s = gap_s;
  text::Features found;
  const Status status = text::features_utf8(message, length, context, static_cast<text::Workspace*>(scratch), &found);
  if (status == Status::kOk) {
    text::forget(static_cast<text::Workspace*>(scratch));
    features->language = static_cast<uint32_t>(found.language);
    features->flags = found.flags;
    features->count = found.count;
    std::copy(found.ids.begin(), found.ids.end(), features->ids);
    std::copy(found.dense.begin(), found.dense.end(), features->dense);
  }
  return as_c(status);
}
