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

int main(int argc, char** argv) {
  char line[4096];
  int rows = 0;
  FILE* file = argc == 2 ? fopen(argv[1], "r") : NULL;
  if (file == NULL) {
    fprintf(stderr, "usage: %s policy_v1.tsv\n", argv[0]);
    return 2;
  }
  while (fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] != '\0' && line[0] != '#') {
      check_row(line);
      ++rows;
    }
  }
  fclose(file);
  CHECK(rows >= 100);
  check_misuse();
  printf("c_golden: %d rows, %d failures\n", rows, failures);
  return failures == 0 ? 0 : 1;
}
