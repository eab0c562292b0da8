/* The stable C face of Safelight's native core: version, status and the policy evaluator.
 *
 * Rules of this header, kept from release to release:
 *  - Every function returns a safelight_status (or a static string); none throws, exits or prints.
 *  - Words travel as numbers; the *_name and *_from_name functions translate. Numbers are only appended.
 *  - A struct that the library writes starts with struct_size, set by the caller to sizeof the struct.
 *  - Nothing is allocated and nothing is kept: no call needs a matching "free". Every call is thread-safe.
 */
#ifndef SAFELIGHT_H
#define SAFELIGHT_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define SAFELIGHT_API __declspec(dllexport)
#else
#define SAFELIGHT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a struct changes or a function is removed; additions do not raise it. */
#define SAFELIGHT_ABI_VERSION 1

typedef uint32_t safelight_status;
#define SAFELIGHT_OK 0u
#define SAFELIGHT_NULL_ARGUMENT 1u
#define SAFELIGHT_UNKNOWN_WORD 2u
#define SAFELIGHT_BAD_RULES_TABLE 3u
#define SAFELIGHT_BUFFER_TOO_SMALL 4u
#define SAFELIGHT_STRUCT_SIZE_MISMATCH 5u
#define SAFELIGHT_BAD_PICTURE 6u
#define SAFELIGHT_OUT_OF_RANGE 7u
#define SAFELIGHT_KERNEL_UNAVAILABLE 8u
#define SAFELIGHT_BAD_INDEX 9u
#define SAFELIGHT_UNUSABLE_HASH 10u

/* The ladder. Compare with >= : act on anything at or above the rung you handle. */
typedef uint32_t safelight_action;
#define SAFELIGHT_ALLOW 0u
#define SAFELIGHT_NUDGE 1u
#define SAFELIGHT_BLUR 2u
#define SAFELIGHT_HOLD 3u
#define SAFELIGHT_BLOCK 4u

/* The vocabularies that safelight_word_name and safelight_word_from_name translate. */
typedef enum safelight_vocabulary {
  SAFELIGHT_WORDS_ACTION = 0,
  SAFELIGHT_WORDS_AGE_BAND = 1,
  SAFELIGHT_WORDS_EVENT = 2,
  SAFELIGHT_WORDS_FINDING_KIND = 3,
  SAFELIGHT_WORDS_STATE = 4,
  SAFELIGHT_WORDS_LABEL = 5,
  SAFELIGHT_WORDS_REASON = 6
} safelight_vocabulary;

/* What one detector said. label and score are read only when state is "OK".
 * score is in [0, 1]; for kind "age" it is the probability that the person shown is under 18. */
typedef struct safelight_finding {
  uint32_t kind;
  uint32_t state;
  uint32_t label;
  float score;
} safelight_finding;

#define SAFELIGHT_MAX_FINDINGS 64

/* At least as many as there are reasons; each reason appears at most once. */
#define SAFELIGHT_MAX_REASONS 32

typedef struct safelight_outcome {
  uint32_t struct_size; /* in: sizeof(safelight_outcome) */
  safelight_action action;
  uint32_t reason_count;
  uint32_t reasons[SAFELIGHT_MAX_REASONS]; /* most severe first */
} safelight_outcome;

/* Version of the library, e.g. "0.1.0". Static storage. */
SAFELIGHT_API const char* safelight_version(void);

/* SAFELIGHT_ABI_VERSION of the library; compare it with the header's at start-up. */
SAFELIGHT_API uint32_t safelight_abi_version(void);

/* A sentence that says what was wrong and what to do next. Static storage, never NULL. */
SAFELIGHT_API const char* safelight_status_message(safelight_status status);

/* The word behind a number ("under_10", "NUDITY_EXPLICIT"), or NULL when there is none. Static storage. */
SAFELIGHT_API const char* safelight_word_name(safelight_vocabulary vocabulary, uint32_t number);

/* The number of a word; SAFELIGHT_UNKNOWN_WORD and *number untouched when there is none. */
SAFELIGHT_API safelight_status safelight_word_from_name(safelight_vocabulary vocabulary, const char* name,
                                                        uint32_t* number);

/* Decides by the built-in default rules: evidence x age band x event -> action and reasons.
 *
 * Whatever the return value, outcome->action is protective (HOLD) unless evidence lowered it; when the
 * status is not SAFELIGHT_OK, act on HOLD. With outcome NULL or of another struct_size nothing is written.
 * No finding, or none about nudity, means "could not tell": HOLD, never ALLOW.
 * At most SAFELIGHT_MAX_FINDINGS findings; more is SAFELIGHT_BUFFER_TOO_SMALL. */
SAFELIGHT_API safelight_status safelight_policy_decide(uint32_t age_band, uint32_t event,
                                                       const safelight_finding* findings, size_t finding_count,
                                                       safelight_outcome* outcome);

#ifdef __cplusplus
}
#endif

#endif /* SAFELIGHT_H */
