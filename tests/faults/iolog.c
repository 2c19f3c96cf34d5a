/* iolog: what a program does to the files of one folder, as a log; and faults on demand.
 *
 * Loaded with LD_PRELOAD between a program and libc, so it sees SQLite's calls as well as
 * Python's. One lock is held over a call and its line in the log, so that the order of the log
 * is the order in which things happened, in all threads.
 *
 * Environment:
 *   IOLOG_PREFIX   files whose path begins so are watched; the folder itself is one of them
 *   IOLOG_LOG      where operations are appended
 *   IOLOG_CONTROL  a file of `struct control`, mapped by this side and by the test
 *
 * Not watched: names that end in -shm (SQLite's shared memory holds nothing that must last).
 * A name that ends in .marks is written to the log only as a mark.
 *
 * A record is `struct record` and then `size` bytes; tests/faults/disk.py reads them.
 * Linux and glibc only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 'o', WRITE = 'w', SYNC = 's', TRUNCATE = 't', UNLINK = 'u', RENAME = 'r',
       CLOSE = 'c', MARK = 'm', START = 'b' };
enum { ON_WRITE = 1, ON_SYNC = 2, ON_TRUNCATE = 4, ON_OPEN = 8, ON_UNLINK = 16, ON_RENAME = 32,
       ON_READ = 64 };

struct record {
    uint8_t op;
    uint8_t failed;
    uint16_t flags; /* of an open: 1 O_CREAT, 2 O_TRUNC */
    int32_t fd;
    int64_t offset;
    uint64_t size;
} __attribute__((packed));

struct control {
    uint32_t mask;   /* which calls; 0 is none */
    int32_t error;   /* errno to give */
    uint64_t nth;    /* the first call that fails, counted from 1 */
    uint64_t count;  /* how many fail from there */
    uint64_t seen;   /* calls that fitted the mask */
    uint64_t failed; /* calls that were made to fail */
    uint32_t half;   /* 1: the call before the first failure writes half of what it was given */
    char suffix[28]; /* only files whose name ends so; empty is all */
} __attribute__((packed));

enum { FDS = 4096, PATH_BYTES = 512 };
static char *names[FDS];
static int is_mark[FDS];
static const char *prefix = "";
static size_t prefix_size;
static int log_fd = -1;
static struct control *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_fallocate)(int, off_t, off_t);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_close)(int);

#define FIND(name, symbol) \
    do { if (!real_##name) real_##name = dlsym(RTLD_NEXT, symbol); } while (0)

static void record(uint8_t op, int failed, int flags, int fd, int64_t offset, const void *data,
                   size_t size) {
    struct record head = {op, (uint8_t)failed, (uint16_t)flags, fd, offset, size};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, size}};
    if (log_fd >= 0 && syscall(SYS_writev, log_fd, parts, 2) < 0)
        abort(); /* A log with a hole would prove nothing. */
}

static void find_all(void) {
    FIND(open, "open64"); FIND(openat, "openat64"); FIND(write, "write");
    FIND(pwrite, "pwrite64"); FIND(writev, "writev"); FIND(read, "read");
    FIND(pread, "pread64"); FIND(ftruncate, "ftruncate64"); FIND(fsync, "fsync");
    FIND(fdatasync, "fdatasync"); FIND(fallocate, "posix_fallocate64");
    FIND(unlink, "unlink"); FIND(rename, "rename"); FIND(close, "close");
}

__attribute__((constructor)) static void begin(void) {
    find_all();
    const char *path = getenv("IOLOG_PREFIX");
    if (!path || !*path) return;
    prefix = strdup(path);
    prefix_size = strlen(prefix);
    if ((path = getenv("IOLOG_CONTROL"))) {
        int fd = real_open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0) abort();
        control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (control == MAP_FAILED) abort();
        real_close(fd);
    }
    if ((path = getenv("IOLOG_LOG"))) {
        log_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0) abort();
        record(START, 0, 0, getpid(), 0, NULL, 0);
    }
}

static int ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

static int is_watched(const char *path) {
    return prefix_size && path && !strncmp(path, prefix, prefix_size) && !ends_with(path, "-shm");
}

static const char *name_of(int fd) { return fd >= 0 && fd < FDS ? names[fd] : NULL; }

/* Whether this call is to fail, with errno set; 2 when it is to do half. Under the lock. */
static int fault(uint32_t kind, const char *path) {
    if (!control || !(control->mask & kind)) return 0;
    if (control->suffix[0] && !ends_with(path, control->suffix)) return 0;
    uint64_t seen = ++control->seen;
    if (control->half && kind == ON_WRITE && seen + 1 == control->nth) return 2;
    if (seen < control->nth || seen - control->nth >= control->count) return 0;
    control->failed++;
    errno = control->error;
    return 1;
}

static int opened(int at, const char *path, int flags, mode_t mode) {
    if (at != AT_FDCWD || !is_watched(path))
        return at == AT_FDCWD ? real_open(path, flags, mode) : real_openat(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = -1, writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (ends_with(path, ".marks") || !writes || !fault(ON_OPEN, path))
        fd = real_open(path, flags, mode);
    int error = errno;
    if (fd >= FDS) abort();
    if (fd >= 0) {
        free(names[fd]);
        names[fd] = strdup(path);
        is_mark[fd] = ends_with(path, ".marks");
        int bits = (flags & O_CREAT ? 1 : 0) | (flags & O_TRUNC ? 2 : 0);
        if (!is_mark[fd]) record(OPEN, 0, bits, fd, 0, path, strlen(path));
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

/* The mode that stands behind the flags, where there is one. */
#define WITH_MODE(at)                                                                \
    va_list more;                                                                    \
    va_start(more, flags);                                                           \
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) ? va_arg(more, mode_t) : 0;      \
    va_end(more);                                                                    \
    find_all();                                                                      \
    return opened(at, path, flags, mode);

int open(const char *path, int flags, ...) { WITH_MODE(AT_FDCWD) }
int open64(const char *path, int flags, ...) { WITH_MODE(AT_FDCWD) }
int openat(int at, const char *path, int flags, ...) { WITH_MODE(at) }
int openat64(int at, const char *path, int flags, ...) { WITH_MODE(at) }
int creat(const char *path, mode_t mode) {
    find_all();
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

static ssize_t written(int fd, const void *data, size_t size, off_t offset, int has_offset) {
    const char *path = name_of(fd);
    if (!path) return has_offset ? real_pwrite(fd, data, size, offset) : real_write(fd, data, size);
    pthread_mutex_lock(&lock);
    if (is_mark[fd]) {
        record(MARK, 0, 0, fd, 0, data, size);
        pthread_mutex_unlock(&lock);
        return (ssize_t)size;
    }
    int what = fault(ON_WRITE, path);
    ssize_t done = -1;
    if (what == 2 && size > 1) size /= 2;
    if (what != 1)
        done = has_offset ? real_pwrite(fd, data, size, offset) : real_write(fd, data, size);
    int error = errno;
    if (done > 0) {
        off_t at = has_offset ? offset : lseek(fd, 0, SEEK_CUR) - done;
        record(WRITE, 0, 0, fd, at, data, (size_t)done);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    find_all();
    return written(fd, data, size, 0, 0);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    find_all();
    return written(fd, data, size, offset, 1);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    find_all();
    return written(fd, data, size, offset, 1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    find_all();
    if (!name_of(fd)) return real_writev(fd, parts, count);
    ssize_t all = 0; /* One part after another: allowed, and the log stays simple. */
    for (int i = 0; i < count; i++) {
        ssize_t done = written(fd, parts[i].iov_base, parts[i].iov_len, 0, 0);
        if (done < 0) return all ? all : -1;
        all += done;
        if ((size_t)done < parts[i].iov_len) break;
    }
    return all;
}

static int read_fault(int fd) {
    const char *path = name_of(fd);
    if (!path || !control || !(control->mask & ON_READ)) return 0;
    pthread_mutex_lock(&lock);
    int what = fault(ON_READ, path), error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return what;
}

ssize_t read(int fd, void *data, size_t size) {
    find_all();
    return read_fault(fd) ? -1 : real_read(fd, data, size);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    find_all();
    return read_fault(fd) ? -1 : real_pread(fd, data, size, offset);
}
ssize_t pread64(int fd, void *data, size_t size, off_t offset) {
    find_all();
    return read_fault(fd) ? -1 : real_pread(fd, data, size, offset);
}

int ftruncate(int fd, off_t size) {
    find_all();
    const char *path = name_of(fd);
    if (!path) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    int rc = fault(ON_TRUNCATE, path) ? -1 : real_ftruncate(fd, size);
    int error = errno;
    if (!rc) record(TRUNCATE, 0, 0, fd, size, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

/* Reserved space holds no data, so the log does not need it; it can be refused like a write. */
int posix_fallocate(int fd, off_t offset, off_t size) {
    find_all();
    const char *path = name_of(fd);
    if (!path) return real_fallocate(fd, offset, size);
    pthread_mutex_lock(&lock);
    int rc = fault(ON_WRITE, path) ? control->error : real_fallocate(fd, offset, size);
    pthread_mutex_unlock(&lock);
    return rc;
}
int posix_fallocate64(int fd, off_t offset, off_t size) {
    return posix_fallocate(fd, offset, size);
}

static int synced(int fd, int (*real)(int)) {
    const char *path = name_of(fd);
    if (!path) return real(fd);
    pthread_mutex_lock(&lock);
    int rc = fault(ON_SYNC, path) ? -1 : real(fd);
    int error = errno;
    record(SYNC, rc != 0, 0, fd, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}
int fsync(int fd) { find_all(); return synced(fd, real_fsync); }
int fdatasync(int fd) { find_all(); return synced(fd, real_fdatasync); }

int unlink(const char *path) {
    find_all();
    if (!is_watched(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int rc = fault(ON_UNLINK, path) ? -1 : real_unlink(path);
    int error = errno;
    if (!rc) record(UNLINK, 0, 0, -1, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int rename(const char *old, const char *new) {
    find_all();
    if (!is_watched(old) && !is_watched(new)) return real_rename(old, new);
    char both[2 * PATH_BYTES];
    size_t a = strlen(old), b = strlen(new);
    if (a + b + 1 > sizeof both) abort();
    memcpy(both, old, a + 1);
    memcpy(both + a + 1, new, b);
    pthread_mutex_lock(&lock);
    int rc = fault(ON_RENAME, old) ? -1 : real_rename(old, new);
    int error = errno;
    if (!rc) record(RENAME, 0, 0, -1, 0, both, a + 1 + b);
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}

int close(int fd) {
    find_all();
    if (!name_of(fd)) return real_close(fd);
    pthread_mutex_lock(&lock);
    if (!is_mark[fd]) record(CLOSE, 0, 0, fd, 0, NULL, 0);
    free(names[fd]);
    names[fd] = NULL;
    int rc = real_close(fd), error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return rc;
}
