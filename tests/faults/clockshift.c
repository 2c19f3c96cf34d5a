/* clockshift: a program's wall clock, set by a file.
 *
 * Loaded with LD_PRELOAD between a program and libc. What the program reads of the wall clock is
 * moved by the number in the file that CLOCKSHIFT names: a signed 64-bit count of nanoseconds in
 * the machine's byte order, mapped by this side and by the test. Steady clocks stay as they are.
 *
 * Linux and glibc only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SECOND = 1000000000 };
static const volatile int64_t *offset;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("CLOCKSHIFT");
    if (!path || !*path) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) abort(); /* A clock that is not moved would prove nothing. */
    void *found = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    if (found == MAP_FAILED) abort();
    close(fd);
    offset = found;
}

int clock_gettime(clockid_t which, struct timespec *out) {
    if (!real_clock_gettime) real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real_clock_gettime(which, out);
    if (rc || !offset || (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) return rc;
    int64_t by = *offset, seconds = by / SECOND, rest = by % SECOND + out->tv_nsec;
    if (rest < 0) {
        rest += SECOND;
        seconds--;
    } else if (rest >= SECOND) {
        rest -= SECOND;
        seconds++;
    }
    out->tv_sec += seconds;
    out->tv_nsec = rest;
    return 0;
}

int gettimeofday(struct timeval *out, void *zone) {
    (void)zone;
    struct timespec now;
    int rc = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return (time_t)-1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
