/* Stands between a process and the time of day by LD_PRELOAD: TIME_OF_DAY_FILE holds by how many
 * seconds it is ahead (8 bytes, a signed integer), now; whoever writes there sets the clock of the
 * processes that have it loaded, and of nobody else. The steady clock goes on as it does when an
 * administrator sets a machine's clock.
 *
 * Whoever waits until a time of day waits by this clock too, as by the kernel's: when it is set
 * back meanwhile, he waits so much longer. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* ahead_s;

__attribute__((constructor)) static void find_file(void) {
  const char* const name = getenv("TIME_OF_DAY_FILE");
  const int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  void* const place = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (place != MAP_FAILED) ahead_s = place;
}

static int64_t ahead(void) {
  return ahead_s == NULL ? 0 : *ahead_s;
}

int clock_gettime(clockid_t clock, struct timespec* time) {
  static int (*next)(clockid_t, struct timespec*);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "clock_gettime");
  const int result = next(clock, time);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += ahead();
  return result;
}

int gettimeofday(struct timeval* time, void* zone) {
  (void)zone;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t* seconds) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds != NULL) *seconds = now.tv_sec;
  return now.tv_sec;
}

int timespec_get(struct timespec* time, int base) {
  return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

static int before(const struct timespec* one, const struct timespec* other) {
  return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec : one->tv_nsec < other->tv_nsec;
}

typedef int (*timedwait_function)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);

/* In slices of real time: the clock may be set at any moment. */
static int wait_until(pthread_cond_t* condition, pthread_mutex_t* mutex,
                      const struct timespec* until) {
  static timedwait_function next;
  /* There is an older one of that name. */
  if (next == NULL) *(void**)&next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  for (;;) {
    struct timespec now, slice, wanted = *until;
    clock_gettime(CLOCK_REALTIME, &now);
    if (!before(&now, until)) return ETIMEDOUT;
    wanted.tv_sec -= ahead();
    slice = now;
    slice.tv_sec -= ahead();
    slice.tv_nsec += 200000000;
    if (slice.tv_nsec >= 1000000000) {
      slice.tv_nsec -= 1000000000;
      ++slice.tv_sec;
    }
    const int result = next(condition, mutex, before(&slice, &wanted) ? &slice : &wanted);
    if (result != ETIMEDOUT) return result;
  }
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const struct timespec* until) {
  static timedwait_function next;
  if (next == NULL) *(void**)&next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  /* What pthread_condattr_setclock() has noted: a condition of the steady clock. */
  if (condition->__data.__wrefs & 2) return next(condition, mutex, until);
  return wait_until(condition, mutex, until);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const struct timespec* until) {
  static int (*next)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const struct timespec*);
  if (next == NULL) *(void**)&next = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  if (clock != CLOCK_REALTIME) return next(condition, mutex, clock, until);
  return wait_until(condition, mutex, until);
}
