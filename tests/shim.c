/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A bad disk or a bad clock, for one process and its children (LD_PRELOAD).
 *   DISK_SHIM_PATH     only files with this in their path
 *   DISK_SHIM_CONTROL  a file that says how bad, read anew each time: "slow 800" (milliseconds each sync
 *                      takes) or "errno 30" (what each write comes to); not there: a good disk
 *   CLOCK_SHIM_CONTROL the same for the wall clock: "ahead 86400" (seconds); not there: the right time
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int is_ours(int fd) {
    const char *wanted = getenv("DISK_SHIM_PATH");
    char link[64], path[4096];
    if (!wanted) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strstr(path, wanted) != NULL;
}

static long told(const char *file, const char *word) {
    const char *control = getenv(file);
    char text[64] = {0}, said[32];
    long number = 0;
    int fd = control ? syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t size = syscall(SYS_read, fd, text, sizeof text - 1);
    syscall(SYS_close, fd);
    if (size <= 0 || sscanf(text, "%31s %ld", said, &number) != 2 || strcmp(said, word)) return 0;
    return number;
}

static void be_slow(int fd) {
    long ms = is_ours(fd) ? told("DISK_SHIM_CONTROL", "slow") : 0;
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    if (ms) nanosleep(&pause, NULL);
}

static int fails(int fd) {
    int saved = errno;
    long number = is_ours(fd) ? told("DISK_SHIM_CONTROL", "errno") : 0;
    errno = number ? (int)number : saved;
    return number != 0;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

int fsync(int fd) { REAL(int, "fsync", int); be_slow(fd); return real(fd); }
int fdatasync(int fd) { REAL(int, "fdatasync", int); be_slow(fd); return real(fd); }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return fails(fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return fails(fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
int ftruncate64(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    return fails(fd) ? -1 : real(fd, size);
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* The kernel's own calls: what libc has may be what we stand in for. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    int saved = errno, failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += told("CLOCK_SHIM_CONTROL", "ahead");
        errno = saved;
    }
    return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
