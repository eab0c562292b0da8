// The Python face of the native core, by pybind11. It registers and converts; it holds no algorithm.
//
// Lifetimes: every argument is copied or borrowed for the one call; nothing is kept.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "safelight/policy.h"
#include "safelight/status.h"
#include "safelight/version.h"

namespace py = pybind11;
namespace policy = safelight::policy;

namespace {

struct BuiltinFile {
  const char* name;
  const char* sha256;
  std::size_t size_bytes;
};

constexpr BuiltinFile kBuiltinFiles[] = {
#include "builtin_data.inc"
};

#if defined(__clang__)
constexpr char kCompiler[] = __VERSION__;  // already names Clang
#elif defined(__GNUC__)
constexpr char kCompiler[] = "GCC " __VERSION__;
#else
constexpr char kCompiler[] = "unknown compiler";
#endif

// (kind, state, label, score) as vocabulary numbers.
using FindingTuple = std::tuple<std::uint8_t, std::uint8_t, std::uint8_t, float>;

constexpr std::size_t kPackedRulesSize = 2 * policy::kCellCount + 2 * sizeof(float);

// The one table from status to exception lives in sdk/safelight.errors.py; here a status is a number.
std::tuple<std::uint32_t, std::uint32_t, std::vector<std::uint32_t>> evaluate(
    const py::bytes& packed_rules, std::uint8_t band, std::uint8_t event, const std::vector<FindingTuple>& findings) {
  const std::string_view bytes = packed_rules;
  if (bytes.size() != kPackedRulesSize) {
    return {static_cast<std::uint32_t>(safelight::Status::kBadRulesTable),
            static_cast<std::uint32_t>(policy::Action::kHold),
            {}};
  }
  policy::Rules rules{};
  const char* cursor = bytes.data();
  const auto take = [&cursor](void* target, std::size_t size) {
    std::memcpy(target, cursor, size);
    cursor += size;
  };
  take(&rules.actions, policy::kCellCount);
  take(&rules.floors, policy::kCellCount);
  take(&rules.strong_explicit_score, sizeof(float));
  take(&rules.strong_minor_score, sizeof(float));

  std::vector<policy::Finding> native;
  native.reserve(findings.size());
  for (const auto& [kind, state, label, score] : findings) {
    native.push_back({static_cast<policy::FindingKind>(kind), static_cast<policy::State>(state),
                      static_cast<policy::Label>(label), score});
  }
  policy::Outcome outcome{};
  const safelight::Status status =
      policy::evaluate(rules, static_cast<policy::AgeBand>(band), static_cast<policy::Event>(event), native.data(),
                       native.size(), &outcome);
  std::vector<std::uint32_t> reasons(outcome.reasons.begin(), outcome.reasons.begin() + outcome.reason_count);
  return {static_cast<std::uint32_t>(status), static_cast<std::uint32_t>(outcome.action), std::move(reasons)};
}

constexpr char kDefaultRulesJson[] =
#include "default_rules_json.inc"
    ;

py::bytes default_rules() {
  const policy::Rules& rules = policy::default_rules();
  std::string packed;
  packed.reserve(kPackedRulesSize);
  const auto put = [&packed](const void* source, std::size_t size) {
    packed.append(static_cast<const char*>(source), size);
  };
  put(&rules.actions, policy::kCellCount);
  put(&rules.floors, policy::kCellCount);
  put(&rules.strong_explicit_score, sizeof(float));
  put(&rules.strong_minor_score, sizeof(float));
  return {packed};
}

template <typename Name>
std::vector<std::string> names(Name name, std::size_t count) {
  std::vector<std::string> all;
  for (std::uint32_t value = 0; value < count; ++value) {
    const char* word = name(value);
    all.emplace_back(word != nullptr ? word : "");  // reasons leave numbers free after the states
  }
  return all;
}

py::dict words() {
  py::dict all;
  all["action"] = names(policy::action_name, policy::kActionCount);
  all["age_band"] = names(policy::age_band_name, policy::kAgeBandCount);
  all["event"] = names(policy::event_name, policy::kEventCount);
  all["finding_kind"] = names(policy::finding_kind_name, policy::kFindingKindCount);
  all["state"] = names(policy::state_name, policy::kStateCount);
  all["label"] = names(policy::label_name, policy::kLabelCount);
  all["reason"] = names(policy::reason_name, policy::kReasonCount);
  return all;
}

std::vector<std::tuple<std::string, std::string, std::size_t>> builtin_files() {
  std::vector<std::tuple<std::string, std::string, std::size_t>> all;
  for (const BuiltinFile& file : kBuiltinFiles) {
    all.emplace_back(file.name, file.sha256, file.size_bytes);
  }
  return all;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "Native core of Safelight (C++17). Private: use safelight.build_info and safelight.policy.";
  module.attr("VERSION") = safelight::kVersion;
  module.attr("COMPILER") = kCompiler;
  module.attr("STATUS_COUNT") = safelight::kStatusCount;
  module.def("evaluate", &evaluate, py::arg("packed_rules"), py::arg("band"), py::arg("event"), py::arg("findings"));
  module.attr("DEFAULT_RULES_JSON") = kDefaultRulesJson;
  module.def("default_rules", &default_rules);
  module.def("words", &words);
  module.def("builtin_files", &builtin_files);
  module.def("status_message",
             [](std::uint32_t status) { return safelight::status_message(static_cast<safelight::Status>(status)); });
}
