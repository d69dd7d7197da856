/* Moves the time of day of one process: preloaded, it adds the seconds that the file SKEW_FILE has,
   eight bytes in the machine's order, which may be changed at any time. Other clocks stay. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static volatile long *skew;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SKEW_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        abort();
    void *mapped = mmap(NULL, sizeof *skew, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED)
        abort();
    skew = mapped;
}

int clock_gettime(clockid_t id, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, time);
    if (!failed && id == CLOCK_REALTIME && skew)
        time->tv_sec += *skew;
    return failed;
}
