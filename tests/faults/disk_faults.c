/* Stands between a process and write() by LD_PRELOAD, for files below VOKETAG_STATE_DIR:
 *
 *   DISK_FAULTS_TEAR_WRITE=N  the Nth write to RocksDB's log is cut in half, and kill -9 follows
 *   DISK_FAULTS_FLAG=FILE     while FILE exists, every write fails with the errno that it holds
 *
 * So the program is tested as it ships, by any user, without a disk that must be mounted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*write_function)(int, const void*, size_t);

/* Whether the descriptor is a file of the state; `ending`: one whose name ends so, or NULL. */
static int is_state(int descriptor, const char* ending) {
  const char* const directory = getenv("VOKETAG_STATE_DIR");
  char link[64];
  char path[PATH_MAX];
  if (directory == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  if (strncmp(path, directory, strlen(directory)) != 0) return 0;
  const size_t ending_length = ending == NULL ? 0 : strlen(ending);
  return (size_t)length >= ending_length &&
         (ending == NULL || strcmp(path + length - ending_length, ending) == 0);
}

/* 0, or the errno that writes fail with now. */
static int fault_now(void) {
  const char* const flag = getenv("DISK_FAULTS_FLAG");
  char digits[8] = {0};
  if (flag == NULL) return 0;
  const int file = open(flag, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t length = read(file, digits, sizeof digits - 1);
  close(file);
  return length > 0 ? atoi(digits) : 0;
}

ssize_t write(int descriptor, const void* bytes, size_t size) {
  static atomic_int writes;
  static write_function next;
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "write");
  const char* const tear = getenv("DISK_FAULTS_TEAR_WRITE");
  if (tear != NULL && is_state(descriptor, ".log") &&
      atomic_fetch_add(&writes, 1) + 1 == atoi(tear)) {
    next(descriptor, bytes, size / 2);
    kill(getpid(), SIGKILL);
  }
  const int fault = fault_now();
  if (fault != 0 && is_state(descriptor, NULL)) {
    errno = fault;
    return -1;
  }
  return next(descriptor, bytes, size);
}
