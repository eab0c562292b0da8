/* A minimal client of `safelight serve` in C: one camera frame in shared memory, one decision.
 *
 *     cc -std=c11 -Wall -Wextra -o client client.c && ./client /run/safelight/safelight.sock
 *
 * Prints the action and exits 0 when the frame may go ahead, 3 when it may not, and 3 as well when there is no answer:
 * what was not judged is held. The protocol is in docs/serve-protocol.md. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { HEADER_BYTES = 16, MAX_ANSWER_BYTES = 1 << 20, TIMEOUT_S = 5 };
enum { ALLOW = 0, NUDGE = 1, BLUR = 2, HOLD = 3, BLOCK = 4, NO_ACTION = 255, EXIT_PROTECTED = 3 };

static const char* const ACTIONS[] = {"ALLOW", "NUDGE", "BLUR", "HOLD", "BLOCK"};

static void put_u32(unsigned char* out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = (unsigned char)(value >> (8 * i));
}

static uint32_t get_u32(const unsigned char* in) {
  return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

/* Header and body in one go; fd, unless it is -1, with the first byte. */
static int send_request(int sock, uint32_t id, const char* body, int fd) {
  unsigned char frame[HEADER_BYTES + 512] = {'S', 'L', 1, 0};
  const size_t body_bytes = strlen(body);
  if (body_bytes > 512) return -1;
  put_u32(frame + 4, id);
  put_u32(frame + 8, (uint32_t)body_bytes);
  memcpy(frame + HEADER_BYTES, body, body_bytes);

  struct iovec part = {frame, HEADER_BYTES + body_bytes};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  ssize_t sent = sendmsg(sock, &message, MSG_NOSIGNAL);
  while (sent >= 0 && (size_t)sent < part.iov_len) {
    const ssize_t more = send(sock, frame + sent, part.iov_len - (size_t)sent, MSG_NOSIGNAL);
    if (more < 0) return -1;
    sent += more;
  }
  return sent < 0 ? -1 : 0;
}

static int read_exactly(int sock, void* out, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t count = recv(sock, (char*)out + done, size - done, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return -1; /* an end, an error or the time-out: no answer */
    done += (size_t)count;
  }
  return 0;
}

/* The action of the answer, or HOLD when there is none that can be believed. The body is for the notice to show. */
static int read_answer(int sock, uint32_t id, char** body) {
  unsigned char header[HEADER_BYTES];
  *body = NULL;
  if (read_exactly(sock, header, sizeof header) != 0) return HOLD;
  const uint32_t body_bytes = get_u32(header + 8);
  if (memcmp(header, "SL\1", 3) != 0 || body_bytes > MAX_ANSWER_BYTES || get_u32(header + 12) != 0) return HOLD;
  *body = malloc((size_t)body_bytes + 1);
  if (*body == NULL || read_exactly(sock, *body, body_bytes) != 0) return HOLD;
  (*body)[body_bytes] = '\0';
  return get_u32(header + 4) == id ? header[3] : HOLD;
}

static int open_socket(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct timeval patience = {.tv_sec = TIMEOUT_S};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  const int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (sock < 0) return -1;
  if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) != 0 ||
      connect(sock, (const struct sockaddr*)&address, sizeof address) != 0) {
    close(sock);
    return -1;
  }
  return sock;
}

/* Where a camera would write: NV21, 640 by 480. Sealed, so that what was judged is what it holds ever after. */
static int make_frame(int width, int height) {
  const size_t luma = (size_t)width * (size_t)height, size = luma * 3 / 2;
  const int fd = memfd_create("frame", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, (off_t)size) != 0) return -1;
  unsigned char* pixels = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (pixels == MAP_FAILED) return -1;
  for (int y = 0; y < height; ++y) {
    /* Something with edges: a picture without any is too blurred to be judged, and held. */
    for (int x = 0; x < width; ++x) pixels[y * width + x] = (x / 40 + y / 40) % 2 ? 200 : (unsigned char)(60 + x / 8);
  }
  memset(pixels + luma, 128, size - luma);
  munmap(pixels, size); /* F_SEAL_WRITE is refused while somebody may still write */
  return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) == 0 ? fd : -1;
}

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : "/run/safelight/safelight.sock";
  const int width = 640, height = 480;
  char request[512], *body = NULL;
  int action = HOLD;

  const int sock = open_socket(path);
  if (sock >= 0 && send_request(sock, 1, "{\"type\":\"hello\",\"versions\":[1],\"client\":\"example-c\"}", -1) == 0 &&
      read_answer(sock, 1, &body) == NO_ACTION) {
    free(body);
    body = NULL;
    const int frame = make_frame(width, height);
    snprintf(request, sizeof request,
             "{\"type\":\"check_image\",\"event\":\"capture\",\"source\":\"fd\",\"bytes\":%d,\"digest\":true,"
             "\"frame\":{\"format\":\"nv21\",\"width\":%d,\"height\":%d},\"timeout_ms\":%d}",
             width * height * 3 / 2, width, height, TIMEOUT_S * 1000);
    if (frame >= 0 && send_request(sock, 2, request, frame) == 0) action = read_answer(sock, 2, &body);
    if (frame >= 0) close(frame);
  }
  if (sock >= 0) close(sock);
  if (action > BLOCK) action = HOLD; /* an answer that decides nothing allows nothing */
  puts(ACTIONS[action]);
  if (body != NULL) puts(body);
  free(body);
  return action <= NUDGE ? 0 : EXIT_PROTECTED;
}
