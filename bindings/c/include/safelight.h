/* The stable C face of Safelight's native core: version, status, the policy evaluator, PDQ hashes and looking
 * them up.
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
#define SAFELIGHT_ABI_VERSION 2

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
#define SAFELIGHT_PROFILE_MISMATCH 11u

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
#define SAFELIGHT_MAX_REASONS 128

/* A reason below this number is the state of that number ("UNVERIFIED"); the others start here. The numbers
 * between are nobody's and have no name. */
#define SAFELIGHT_FIRST_REASON 64u

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

/* The word behind a number ("under_10", "NUDITY_EXPLICIT"), or NULL when there is none: so all the words of a
 * vocabulary are found by counting up to NULL, for reasons a second time from SAFELIGHT_FIRST_REASON. */
SAFELIGHT_API const char* safelight_word_name(safelight_vocabulary vocabulary, uint32_t number);

/* The number of a word; SAFELIGHT_UNKNOWN_WORD and *number untouched when there is none. */
SAFELIGHT_API safelight_status safelight_word_from_name(safelight_vocabulary vocabulary, const char* name,
                                                        uint32_t* number);

/* Decides by the built-in default rules: evidence x age band x event -> action and reasons.
 *
 * Whatever the return value, outcome->action is protective (HOLD) unless evidence lowered it; when the
 * status is not SAFELIGHT_OK, act on HOLD. With outcome NULL or of another struct_size nothing is written.
 * A picture event without a finding about nudity means "could not tell": HOLD, never ALLOW; a message, search or use
 * without evidence of its own takes the could-not-tell action of its kind.
 * At most SAFELIGHT_MAX_FINDINGS findings; more is SAFELIGHT_BUFFER_TOO_SMALL. */
SAFELIGHT_API safelight_status safelight_policy_decide(uint32_t age_band, uint32_t event,
                                                       const safelight_finding* findings, size_t finding_count,
                                                       safelight_outcome* outcome);

/* --- PDQ hashes ------------------------------------------------------------------------------------------
 *
 * A perceptual hash can be inverted in part: treat it as sensitive, do not log it. */

/* How a picture lies in memory. Of the YUV formats only luma is read. */
typedef uint32_t safelight_format;
#define SAFELIGHT_FORMAT_RGB 0u
#define SAFELIGHT_FORMAT_BGR 1u
#define SAFELIGHT_FORMAT_RGBA 2u
#define SAFELIGHT_FORMAT_GREY 3u
#define SAFELIGHT_FORMAT_NV21 4u
#define SAFELIGHT_FORMAT_NV12 5u
#define SAFELIGHT_FORMAT_I420 6u
#define SAFELIGHT_FORMAT_YUYV 7u

/* What happens to a picture before it is hashed. Hashes of different profiles do not belong together. */
typedef uint32_t safelight_pdq_profile;
#define SAFELIGHT_PDQ_FULL 0u     /* nothing: pdqhash, threatexchange, HMA */
#define SAFELIGHT_PDQ_THUMB512 1u /* the caller has shrunk it to 512 px with Pillow's thumbnail */
#define SAFELIGHT_PDQ_NEAR512 2u  /* nearest neighbour to 512x512 when a side is above 512 */

typedef uint32_t safelight_pdq_state;
#define SAFELIGHT_PDQ_OK 0u
#define SAFELIGHT_PDQ_LOW_QUALITY 1u /* bits of a picture without features: never to be matched */
#define SAFELIGHT_PDQ_TOO_SMALL 2u   /* a side is under 5 px: no bits */

#define SAFELIGHT_PDQ_BYTES 32

/* A borrowed picture; nothing of it is kept. */
typedef struct safelight_frame {
  uint32_t struct_size; /* in: sizeof(safelight_frame) */
  safelight_format format;
  uint32_t width_px;
  uint32_t height_px;
  const uint8_t* data;
  size_t stride_bytes; /* from one row to the next */
  size_t length_bytes; /* from data on: what may be read */
} safelight_frame;

typedef struct safelight_pdq {
  uint32_t struct_size; /* in: sizeof(safelight_pdq) */
  safelight_pdq_state state;
  safelight_pdq_profile profile;
  uint32_t quality; /* 0 to 100 */
  uint8_t bits[SAFELIGHT_PDQ_BYTES];
} safelight_pdq;

/* How much scratch memory safelight_pdq_hash needs for this frame. */
SAFELIGHT_API safelight_status safelight_pdq_scratch_bytes(const safelight_frame* frame, safelight_pdq_profile profile,
                                                           size_t* bytes);

/* Hashes a frame as it lies, whatever way up. Low quality is SAFELIGHT_OK with that state; look at it.
 * On any other status result->state is SAFELIGHT_PDQ_TOO_SMALL and there are no bits. */
SAFELIGHT_API safelight_status safelight_pdq_hash(const safelight_frame* frame, safelight_pdq_profile profile,
                                                  safelight_pdq* result, void* scratch, size_t scratch_bytes);

/* Bits that differ, 0 to 256. Both are SAFELIGHT_PDQ_BYTES long; SAFELIGHT_NULL_ARGUMENT and *distance untouched. */
SAFELIGHT_API safelight_status safelight_pdq_distance(const uint8_t* left, const uint8_t* right, uint32_t* distance);

/* --- Looking hashes up -----------------------------------------------------------------------------------
 *
 * An index is its bytes, as safelight.hashing.HashIndex.save writes them and native/include/safelight/hash_index.h
 * documents them: map the file, or decrypt it into memory, and pass it to every call. Nothing is opened or closed.
 * Its content is not vouched for: verify a signature over it first. */

/* At most this many bits differ between two copies of a picture (the reference's advice). */
#define SAFELIGHT_MATCH_DISTANCE 31u
#define SAFELIGHT_NO_CATEGORY 0xFFFFFFFFu

typedef struct safelight_index_info {
  uint32_t struct_size; /* in: sizeof(safelight_index_info) */
  safelight_pdq_profile profile;
  uint64_t entry_count;
  uint64_t negative_count;
} safelight_index_info;

typedef struct safelight_match {
  uint64_t entry_id;
  uint32_t distance;
  uint32_t category; /* SAFELIGHT_NO_CATEGORY when the index has none */
} safelight_match;

/* What the bytes are, from their header; SAFELIGHT_BAD_INDEX when they are no index, cut short or damaged there. */
SAFELIGHT_API safelight_status safelight_index_describe(const void* index, size_t index_bytes,
                                                        safelight_index_info* info);

/* Every entry at most max_distance (0 to 256) from the hash, nearest first; exact at every distance.
 *
 * *count is set to how many there are; with SAFELIGHT_BUFFER_TOO_SMALL that is how many matches must have room for.
 * SAFELIGHT_UNUSABLE_HASH: hash->state is not SAFELIGHT_PDQ_OK or no bit is set: the picture could not be judged, which
 * is not "no match". SAFELIGHT_PROFILE_MISMATCH: hash->profile is not the index's. SAFELIGHT_BAD_INDEX: as above, or
 * damage met on the way. On these *count is 0 and means nothing. */
SAFELIGHT_API safelight_status safelight_index_query(const void* index, size_t index_bytes, const safelight_pdq* hash,
                                                     uint32_t max_distance, safelight_match* matches, size_t capacity,
                                                     size_t* count);

/* --- Features of a chat message ---------------------------------------------------------------------------
 *
 * What a model of conversations takes in, as docs/text-features.md specifies it. Nothing of the text is kept,
 * in the scratch memory neither. A model names the version and the data that it was trained on: compare both.
 */

#define SAFELIGHT_TEXT_MAX_IDS 96
#define SAFELIGHT_TEXT_DENSE 16

typedef uint32_t safelight_text_trust; /* who knows the contact */
#define SAFELIGHT_TRUST_UNKNOWN 0u
#define SAFELIGHT_TRUST_CHILD 1u
#define SAFELIGHT_TRUST_GUARDIAN 2u

/* Bits of safelight_text_features.flags. */
#define SAFELIGHT_TEXT_TRUNCATED 1u    /* more text than is read (4,096 code points) */
#define SAFELIGHT_TEXT_INVALID 2u      /* something that is no UTF-8 was read as U+FFFD */
#define SAFELIGHT_TEXT_HIDDEN 4u       /* invisible characters */
#define SAFELIGHT_TEXT_LOOKALIKE 8u    /* letters of another script in place of Latin ones */
#define SAFELIGHT_TEXT_LEET 16u        /* digits or signs in place of letters */
#define SAFELIGHT_TEXT_JOINED 32u      /* letters set apart */
#define SAFELIGHT_TEXT_STRETCHED 64u   /* the same letter three times or more */
#define SAFELIGHT_TEXT_SEXUALISED 128u /* a word of the keyed list */

typedef struct safelight_text_features {
  uint32_t struct_size; /* in: sizeof(safelight_text_features) */
  uint32_t language;    /* see safelight_text_language_name */
  uint32_t flags;
  uint32_t count;                      /* of ids */
  int32_t ids[SAFELIGHT_TEXT_MAX_IDS]; /* distinct, padded with 0 */
  float dense[SAFELIGHT_TEXT_DENSE];   /* each in [0, 1] */
} safelight_text_features;

/* Version of the features and the SHA-256 of the data compiled in, as 64 hexadecimal digits. */
SAFELIGHT_API uint32_t safelight_text_feature_version(void);
SAFELIGHT_API const char* safelight_text_data_sha256(void);

/* "en", "unknown", or NULL when there is no such language. Static storage. */
SAFELIGHT_API const char* safelight_text_language_name(uint32_t language);

/* How much scratch memory safelight_text_read needs: constant, about 250 KB, aligned as malloc aligns. */
SAFELIGHT_API size_t safelight_text_scratch_bytes(void);

/* Reads one message of `length` bytes of UTF-8. from_other: 1 when the contact wrote it, 0 when the protected person
 * did. gap_s: seconds since the message before; negative or NaN when there is none. */
SAFELIGHT_API safelight_status safelight_text_read(const char* text, size_t length, uint32_t from_other,
                                                   safelight_text_trust trust, double gap_s,
                                                   safelight_text_features* features, void* scratch,
                                                   size_t scratch_bytes);

#ifdef __cplusplus
}
#endif

#endif /* SAFELIGHT_H */
