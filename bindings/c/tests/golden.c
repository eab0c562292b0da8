/* The C face against the golden vectors that Python and C++ pass too, and against misuse. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "safelight.h"

static int failures = 0;

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                     \
    }                                                                 \
  } while (0)

static uint32_t number_of(safelight_vocabulary vocabulary, const char* word) {
  uint32_t number = 0;
  if (safelight_word_from_name(vocabulary, word, &number) != SAFELIGHT_OK) {
    fprintf(stderr, "no such word: %s\n", word);
    exit(1);
  }
  return number;
}

/* kind:state:label:score, with - for no label and no score */
static safelight_finding parse_finding(char* text) {
  char* kind = strtok(text, ":");
  char* state = strtok(NULL, ":");
  char* label = strtok(NULL, ":");
  char* score = strtok(NULL, ":");
  safelight_finding finding;
  finding.kind = number_of(SAFELIGHT_WORDS_FINDING_KIND, kind);
  finding.state = number_of(SAFELIGHT_WORDS_STATE, state);
  finding.label = strcmp(label, "-") == 0 ? 0 : number_of(SAFELIGHT_WORDS_LABEL, label);
  finding.score = strcmp(score, "-") == 0 ? (float)NAN : strtof(score, NULL);
  return finding;
}

static void check_row(char* line) {
  char* cells[5] = {NULL, NULL, NULL, NULL, NULL};
  safelight_finding findings[SAFELIGHT_MAX_FINDINGS];
  size_t finding_count = 0;
  safelight_outcome outcome = {0};
  char reasons[1024] = "";
  char* cursor = line;
  for (int i = 0; i < 5 && cursor != NULL; ++i) {
    cells[i] = cursor;
    cursor = strchr(cursor, '\t');
    if (cursor != NULL) {
      *cursor++ = '\0';
    }
  }
  if (cells[4] == NULL) {
    fprintf(stderr, "malformed golden row\n");
    exit(1);
  }
  if (strcmp(cells[2], "-") != 0) {
    char* text = cells[2];
    while (text != NULL) {
      char* next = strchr(text, ' ');
      if (next != NULL) {
        *next++ = '\0';
      }
      findings[finding_count++] = parse_finding(text);
      text = next;
    }
  }
  outcome.struct_size = sizeof outcome;
  CHECK(safelight_policy_decide(number_of(SAFELIGHT_WORDS_AGE_BAND, cells[0]),
                                number_of(SAFELIGHT_WORDS_EVENT, cells[1]), findings, finding_count,
                                &outcome) == SAFELIGHT_OK);
  for (uint32_t i = 0; i < outcome.reason_count; ++i) {
    if (i > 0) {
      strcat(reasons, " ");
    }
    strcat(reasons, safelight_word_name(SAFELIGHT_WORDS_REASON, outcome.reasons[i]));
  }
  if (strcmp(safelight_word_name(SAFELIGHT_WORDS_ACTION, outcome.action), cells[3]) != 0 ||
      strcmp(reasons[0] == '\0' ? "-" : reasons, cells[4]) != 0) {
    fprintf(stderr, "golden row %s %s: expected %s (%s), got %s (%s)\n", cells[0], cells[1], cells[3], cells[4],
            safelight_word_name(SAFELIGHT_WORDS_ACTION, outcome.action), reasons);
    ++failures;
  }
}

static void check_misuse(void) {
  safelight_finding finding = {0, 0, 0, 0.0f};
  safelight_outcome outcome = {0};
  uint32_t number = 7;
  CHECK(safelight_abi_version() == SAFELIGHT_ABI_VERSION);
  CHECK(strchr(safelight_version(), '.') != NULL);
  CHECK(strlen(safelight_status_message(12345)) > 0);
  CHECK(safelight_policy_decide(0, 0, NULL, 0, NULL) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_policy_decide(0, 0, NULL, 0, &outcome) == SAFELIGHT_STRUCT_SIZE_MISMATCH);
  outcome.struct_size = sizeof outcome;
  CHECK(safelight_policy_decide(0, 0, NULL, 1, &outcome) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(outcome.action == SAFELIGHT_HOLD);
  outcome.action = SAFELIGHT_ALLOW;
  CHECK(safelight_policy_decide(256, 0, &finding, 1, &outcome) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(outcome.action == SAFELIGHT_HOLD);
  CHECK(safelight_policy_decide(0, 0xFFFFFFFFu, &finding, 1, &outcome) == SAFELIGHT_UNKNOWN_WORD);
  finding.kind = 257; /* would wrap to a valid 8-bit kind */
  CHECK(safelight_policy_decide(0, 0, &finding, 1, &outcome) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(safelight_policy_decide(0, 0, &finding, SAFELIGHT_MAX_FINDINGS + 1, &outcome) == SAFELIGHT_BUFFER_TOO_SMALL);
  CHECK(safelight_word_name(SAFELIGHT_WORDS_EVENT, 9999) == NULL);
  CHECK(safelight_word_name((safelight_vocabulary)99, 0) == NULL);
  CHECK(safelight_word_from_name(SAFELIGHT_WORDS_EVENT, "teleport", &number) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(number == 7);
  CHECK(safelight_word_from_name(SAFELIGHT_WORDS_EVENT, NULL, &number) == SAFELIGHT_NULL_ARGUMENT);
}

/* The picture of tests/reference/pdq.py: the same bytes on every machine. */
static uint8_t* picture(uint32_t width, uint32_t height, uint32_t seed) {
  uint8_t grid[9][9][3];
  uint32_t state = seed * 2654435761u + 1u;
  uint8_t* pixels = malloc((size_t)width * height * 3);
  if (pixels == NULL) {
    exit(1);
  }
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 9; ++x) {
      for (int c = 0; c < 3; ++c) {
        state = state * 1664525u + 1013904223u;
        grid[y][x][c] = (uint8_t)(state >> 24);
      }
    }
  }
  for (uint32_t y = 0; y < height; ++y) {
    for (uint32_t x = 0; x < width; ++x) {
      const uint32_t row = y * 8 * 256 / height;
      const uint32_t column = x * 8 * 256 / width;
      const uint32_t down = row & 255;
      const uint32_t right = column & 255;
      for (int c = 0; c < 3; ++c) {
        const uint32_t upper =
            grid[row >> 8][column >> 8][c] * (256 - right) + grid[row >> 8][(column >> 8) + 1][c] * right;
        const uint32_t lower =
            grid[(row >> 8) + 1][column >> 8][c] * (256 - right) + grid[(row >> 8) + 1][(column >> 8) + 1][c] * right;
        pixels[((size_t)y * width + x) * 3 + (size_t)c] = (uint8_t)((upper * (256 - down) + lower * down) >> 16);
      }
    }
  }
  return pixels;
}

static void parse_bits(const char* text, uint8_t* bits) {
  for (int i = 0; i < SAFELIGHT_PDQ_BYTES; ++i) {
    unsigned value = 0;
    CHECK(sscanf(text + 2 * i, "%2x", &value) == 1);
    bits[i] = (uint8_t)value;
  }
}

static safelight_pdq hash_of(uint32_t width, uint32_t height, uint32_t seed) {
  uint8_t* pixels = picture(width, height, seed);
  safelight_frame frame = {sizeof frame,      SAFELIGHT_FORMAT_RGB,      width, height, pixels,
                           3 * (size_t)width, 3 * (size_t)width * height};
  safelight_pdq result = {sizeof result, 0, 0, 0, {0}};
  size_t needed = 0;
  void* scratch = NULL;
  CHECK(safelight_pdq_scratch_bytes(&frame, SAFELIGHT_PDQ_FULL, &needed) == SAFELIGHT_OK);
  scratch = malloc(needed);
  CHECK(safelight_pdq_hash(&frame, SAFELIGHT_PDQ_FULL, &result, scratch, needed) == SAFELIGHT_OK);
  CHECK(safelight_pdq_hash(&frame, SAFELIGHT_PDQ_FULL, &result, scratch, needed - 1) == SAFELIGHT_BUFFER_TOO_SMALL);
  CHECK(result.state == SAFELIGHT_PDQ_TOO_SMALL && result.bits[0] == 0);
  CHECK(safelight_pdq_hash(&frame, SAFELIGHT_PDQ_FULL, &result, scratch, needed) == SAFELIGHT_OK);
  free(scratch);
  free(pixels);
  return result;
}

/* width, height, seed, quality, hash */
static void check_pdq_row(char* line) {
  uint32_t width = 0;
  uint32_t height = 0;
  uint32_t seed = 0;
  uint32_t quality = 0;
  uint32_t distance = 999;
  char text[80] = "";
  uint8_t bits[SAFELIGHT_PDQ_BYTES];
  safelight_pdq made;
  if (sscanf(line, "%u\t%u\t%u\t%u\t%64s", &width, &height, &seed, &quality, text) != 5) {
    fprintf(stderr, "malformed golden row\n");
    exit(1);
  }
  parse_bits(text, bits);
  made = hash_of(width, height, seed);
  CHECK(made.state == SAFELIGHT_PDQ_OK && made.quality == quality && made.profile == SAFELIGHT_PDQ_FULL);
  CHECK(safelight_pdq_distance(made.bits, bits, &distance) == SAFELIGHT_OK);
  CHECK(distance == 0);
}

static uint8_t index_bytes[4096];
static size_t index_length = 0;

/* hash, max_distance, id:distance:category of each match or - */
static void check_index_row(char* line) {
  safelight_pdq wanted = {sizeof wanted, SAFELIGHT_PDQ_OK, SAFELIGHT_PDQ_NEAR512, 100, {0}};
  safelight_match matches[16];
  size_t count = 0;
  char text[512] = "";
  char* cells[3];
  cells[0] = strtok(line, "\t");
  cells[1] = strtok(NULL, "\t");
  cells[2] = strtok(NULL, "\t");
  if (cells[2] == NULL) {
    fprintf(stderr, "malformed golden row\n");
    exit(1);
  }
  parse_bits(cells[0], wanted.bits);
  CHECK(safelight_index_query(index_bytes, index_length, &wanted, (uint32_t)atoi(cells[1]), matches, 16, &count) ==
        SAFELIGHT_OK);
  for (size_t i = 0; i < count; ++i) {
    sprintf(text + strlen(text), "%s%llu:%u:%u", i > 0 ? " " : "", (unsigned long long)matches[i].entry_id,
            matches[i].distance, matches[i].category);
  }
  if (strcmp(count == 0 ? "-" : text, cells[2]) != 0) {
    fprintf(stderr, "golden index row: expected %s, got %s\n", cells[2], text);
    ++failures;
  }
}

static void check_hash_misuse(void) {
  uint8_t pixels[192] = {0};
  uint8_t scratch[1];
  safelight_frame frame = {sizeof frame, SAFELIGHT_FORMAT_GREY, 8, 8, pixels, 8, 64};
  safelight_pdq hash = {sizeof hash, SAFELIGHT_PDQ_OK, SAFELIGHT_PDQ_NEAR512, 100, {1}};
  safelight_index_info info = {0, 0, 0, 0};
  safelight_match match;
  size_t count = 9;
  uint32_t distance = 0;
  CHECK(safelight_pdq_scratch_bytes(NULL, 0, &count) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_pdq_scratch_bytes(&frame, 0, NULL) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_pdq_scratch_bytes(&frame, 3, &count) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(safelight_pdq_scratch_bytes(&frame, 256, &count) == SAFELIGHT_UNKNOWN_WORD);
  frame.length_bytes = 63;
  CHECK(safelight_pdq_scratch_bytes(&frame, 0, &count) == SAFELIGHT_BAD_PICTURE);
  frame.format = 256; /* would wrap to a valid 8-bit format */
  CHECK(safelight_pdq_scratch_bytes(&frame, 0, &count) == SAFELIGHT_UNKNOWN_WORD);
  frame.struct_size = 1;
  CHECK(safelight_pdq_scratch_bytes(&frame, 0, &count) == SAFELIGHT_STRUCT_SIZE_MISMATCH);
  CHECK(safelight_pdq_hash(&frame, 0, NULL, scratch, 1) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_pdq_hash(NULL, 0, &hash, scratch, 1) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_pdq_distance(pixels, NULL, &distance) == SAFELIGHT_NULL_ARGUMENT);
  hash.state = SAFELIGHT_PDQ_OK;
  hash.profile = SAFELIGHT_PDQ_NEAR512;
  hash.bits[0] = 1;
  CHECK(safelight_index_describe(index_bytes, index_length, &info) == SAFELIGHT_STRUCT_SIZE_MISMATCH);
  info.struct_size = sizeof info;
  CHECK(safelight_index_describe(index_bytes, index_length, NULL) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_index_describe(index_bytes, index_length - 1, &info) == SAFELIGHT_BAD_INDEX);
  CHECK(safelight_index_describe(index_bytes, index_length, &info) == SAFELIGHT_OK);
  CHECK(info.profile == SAFELIGHT_PDQ_NEAR512 && info.entry_count == 5 && info.negative_count == 1);
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 31, NULL, 0, NULL) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_index_query(index_bytes, index_length, NULL, 31, NULL, 0, &count) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_index_query(index_bytes, 100, &hash, 31, &match, 1, &count) == SAFELIGHT_BAD_INDEX);
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 257, &match, 1, &count) == SAFELIGHT_OUT_OF_RANGE);
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 256, &match, 1, &count) == SAFELIGHT_BUFFER_TOO_SMALL);
  CHECK(count > 1);
  hash.profile = SAFELIGHT_PDQ_FULL;
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 31, &match, 1, &count) == SAFELIGHT_PROFILE_MISMATCH);
  hash.state = SAFELIGHT_PDQ_LOW_QUALITY;
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 31, &match, 1, &count) == SAFELIGHT_UNUSABLE_HASH);
  hash.state = SAFELIGHT_PDQ_OK;
  hash.profile = SAFELIGHT_PDQ_NEAR512;
  hash.bits[0] = 0;
  CHECK(safelight_index_query(index_bytes, index_length, &hash, 31, &match, 1, &count) == SAFELIGHT_UNUSABLE_HASH);
  CHECK(count == 0);
}

/* Calls `check` with every row of a file; returns how many. */
static int each_row(const char* path, void (*check)(char*)) {
  static char line[65536];
  int rows = 0;
  FILE* file = fopen(path, "r");
  if (file == NULL) {
    fprintf(stderr, "a golden file cannot be opened\n");
    exit(2);
  }
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] != '\0' && line[0] != '#') {
      check(line);
      ++rows;
    }
  }
  fclose(file);
  return rows;
}

/* message in hex, sender, trust, gap, language, flags, dense in eighths, ids, tokens (not read here) */
static void check_text_row(char* line) {
  static char message[16384];
  char* cells[9] = {NULL};
  char* cursor = line;
  size_t length = 0;
  char* end = NULL;
  safelight_text_features found = {0};
  void* scratch = malloc(safelight_text_scratch_bytes());
  if (scratch == NULL) {
    exit(1);
  }
  for (int i = 0; i < 9 && cursor != NULL; ++i) {
    cells[i] = cursor;
    cursor = strchr(cursor, '\t');
    if (cursor != NULL) {
      *cursor++ = '\0';
    }
  }
  if (cells[8] == NULL || strlen(cells[0]) / 2 > sizeof message) {
    fprintf(stderr, "malformed golden row\n");
    exit(1);
  }
  for (; cells[0][2 * length] != '\0'; ++length) {
    const char digits[3] = {cells[0][2 * length], cells[0][2 * length + 1], '\0'};
    message[length] = (char)strtol(digits, NULL, 16);
  }
  found.struct_size = sizeof found;
  CHECK(safelight_text_read(message, length, strcmp(cells[1], "other") == 0,
                            strcmp(cells[2], "guardian") == 0 ? SAFELIGHT_TRUST_GUARDIAN
                            : strcmp(cells[2], "child") == 0  ? SAFELIGHT_TRUST_CHILD
                                                              : SAFELIGHT_TRUST_UNKNOWN,
                            strcmp(cells[3], "-") == 0 ? (double)NAN : strtod(cells[3], NULL), &found, scratch,
                            safelight_text_scratch_bytes()) == SAFELIGHT_OK);
  CHECK(strcmp(safelight_text_language_name(found.language), cells[4]) == 0);
  CHECK(found.flags == (uint32_t)strtoul(cells[5], NULL, 10));
  for (int i = 0; i < SAFELIGHT_TEXT_DENSE; ++i) {
    CHECK(found.dense[i] * 8.0f == (float)(cells[6][i] - '0'));
  }
  cursor = cells[7];
  for (uint32_t i = 0; i < SAFELIGHT_TEXT_MAX_IDS; ++i) {
    CHECK(found.ids[i] == (i < found.count ? (int32_t)strtol(cursor, &end, 10) : 0));
    cursor = i < found.count ? end : cursor;
  }
  CHECK(*cursor == '\0');
  free(scratch);
}

static void check_text_misuse(void) {
  safelight_text_features found = {0};
  void* scratch = malloc(safelight_text_scratch_bytes());
  const size_t bytes = safelight_text_scratch_bytes();
  CHECK(safelight_text_feature_version() == 2);
  CHECK(strlen(safelight_text_data_sha256()) == 64);
  CHECK(safelight_text_language_name(999) == NULL);
  CHECK(safelight_text_read("a", 1, 1, 0, 0, NULL, scratch, bytes) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_text_read("a", 1, 1, 0, 0, &found, scratch, bytes) == SAFELIGHT_STRUCT_SIZE_MISMATCH);
  found.struct_size = sizeof found;
  CHECK(safelight_text_read("a", 1, 1, 0, 0, &found, NULL, bytes) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_text_read(NULL, 1, 1, 0, 0, &found, scratch, bytes) == SAFELIGHT_NULL_ARGUMENT);
  CHECK(safelight_text_read("a", 1, 1, 0, 0, &found, scratch, bytes - 1) == SAFELIGHT_BUFFER_TOO_SMALL);
  CHECK(safelight_text_read("a", 1, 2, 0, 0, &found, scratch, bytes) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(safelight_text_read("a", 1, 1, 3, 0, &found, scratch, bytes) == SAFELIGHT_UNKNOWN_WORD);
  CHECK(safelight_text_read(NULL, 0, 1, 0, 0, &found, scratch, bytes) == SAFELIGHT_OK && found.count == 0);
  free(scratch);
}

int main(int argc, char** argv) {
  int rows = 0;
  FILE* file = argc == 6 ? fopen(argv[3], "rb") : NULL;
  if (file == NULL) {
    fprintf(stderr, "usage: %s policy_v1.tsv pdq_v1.tsv hash_index_v1.bin hash_index_v1.tsv text_v2.tsv\n", argv[0]);
    return 2;
  }
  index_length = fread(index_bytes, 1, sizeof index_bytes, file);
  fclose(file);
  rows = each_row(argv[1], &check_row);
  CHECK(rows >= 100);
  CHECK(each_row(argv[2], &check_pdq_row) >= 10);
  CHECK(each_row(argv[4], &check_index_row) >= 10);
  CHECK(each_row(argv[5], &check_text_row) >= 40);
  check_misuse();
  check_text_misuse();
  check_hash_misuse();
  printf("c_golden: %d rows, %d failures\n", rows, failures);
  return failures == 0 ? 0 : 1;
}
