// The rules that ship, compiled in from sdk/safelight/policy/default_rules.json so that every face has them.
#include "safelight/policy.h"

namespace safelight::policy {

const Rules& default_rules() noexcept {
  static constexpr Rules kRules =
#include "default_rules.inc"
      ;
  return kRules;
}

}  // namespace safelight::policy
