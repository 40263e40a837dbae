#include "fs/mount/limits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "fs/base/io.h"
#include "fs/base/log.h"

/* Threads need some 100 KiB. The default depends on the inherited limit on stack sizes. */
enum { THREAD_STACK_BYTES = 2 << 20 };

/* Each template in use and each active session has a descriptor or two. */
enum { DESCRIPTORS_WANTED = 1 << 20 };

#define MIB ((rlim_t)1 << 20)

/*
 * The limits that can end the daemon or fail its sessions. Below `least` it does not start; below
 * `enough` it logs a warning.
 */
static const struct deadly {
    int resource;
    const char *name;
    const char *flag; /* of the shell's ulimit */
    rlim_t least;
    rlim_t enough;
    rlim_t shown_unit;
    const char *unit;
} deadly[] = {
    {RLIMIT_FSIZE, "file sizes", "-f", 1024 * MIB, RLIM_INFINITY, MIB, "MiB"},
    {RLIMIT_CPU, "CPU time", "-t", (rlim_t)3 * LIMITS_CPU_RESERVE_SECONDS, RLIM_INFINITY, 1, "s"},
    {RLIMIT_AS, "memory", "-v", 512 * MIB, RLIM_INFINITY, MIB, "MiB"},
    {RLIMIT_DATA, "memory", "-d", 256 * MIB, RLIM_INFINITY, MIB, "MiB"},
    {RLIMIT_NOFILE, "open files", "-n", 128, 1024, 1, "descriptors"},
};

static const struct deadly *find_deadly(int resource)
{
    for (size_t i = 0; i < ARRAY_LENGTH(deadly); i++)
        if (deadly[i].resource == resource)
            return &deadly[i];
    return NULL;
}

/* The most descriptors that the kernel allows a process; 0: not known. */
static rlim_t most_descriptors(void)
{
    uintmax_t most = 0;
    AUTO_FILE FILE *file = fopen("/proc/sys/fs/nr_open", "re");
    return file && fscanf(file, "%ju", &most) == 1 ? (rlim_t)most : 0;
}

static rlim_t wanted_hard(int resource, rlim_t hard)
{
    if (resource == RLIMIT_NOFILE) {
        rlim_t most = most_descriptors();
        most = most < DESCRIPTORS_WANTED ? most : DESCRIPTORS_WANTED;
        return hard < most ? most : hard;
    }
    return RLIM_INFINITY;
}

/* Raises the hard limit; if that is refused, the soft limit to the hard one. */
static void raise_quietly(int resource, struct rlimit *ret_limit)
{
    if (getrlimit(resource, ret_limit) < 0)
        return;
    rlim_t hard = wanted_hard(resource, ret_limit->rlim_max);
    struct rlimit wanted = {.rlim_cur = hard, .rlim_max = hard};
    if (setrlimit(resource, &wanted) == 0) {
        *ret_limit = wanted;
        return;
    }
    ret_limit->rlim_cur = ret_limit->rlim_max;
    (void)setrlimit(resource, ret_limit);
}

void limits_raise_open_files(void)
{
    struct rlimit limit;
    raise_quietly(RLIMIT_NOFILE, &limit);
}

bool limits_are_too_low(char *ret_text, size_t size)
{
    for (size_t i = 0; i < ARRAY_LENGTH(deadly); i++) {
        const struct deadly *limit = &deadly[i];
        struct rlimit found = {.rlim_max = RLIM_INFINITY};
        raise_quietly(limit->resource, &found);
        if (found.rlim_max >= limit->least)
            continue;
        (void)snprintf(ret_text, size, "%s (%ju %s, ulimit %s)", limit->name,
                       (uintmax_t)(found.rlim_max / limit->shown_unit), limit->unit, limit->flag);
        return true;
    }
    return false;
}

static int report(const struct deadly *limit, rlim_t hard)
{
    uintmax_t shown = (uintmax_t)(hard / limit->shown_unit);
    if (hard < limit->least)
        return log_fail(EPERM,
                        "cannot mount: the daemon would keep the limit on %s of this process (%ju "
                        "%s, ulimit %s), and all sessions on the mount would fail with it: run "
                        "mintfs mount where that limit is not set, or set MINTFS_BACKEND=copy",
                        limit->name, shown, limit->unit, limit->flag);
    log_warning(
        "the daemon keeps the limit on %s of this process (%ju %s, ulimit %s), which cannot "
        "be raised: all sessions on the mount share it; to have none, run mintfs mount "
        "where that limit is not set",
        limit->name, shown, limit->unit, limit->flag);
    return 0;
}

static int raise_limit(int resource)
{
    struct rlimit limit = {.rlim_max = RLIM_INFINITY};
    raise_quietly(resource, &limit);
    const struct deadly *kept = find_deadly(resource);
    if (!kept || limit.rlim_max >= kept->enough)
        return 0;
    int r = report(kept, limit.rlim_max);
    if (resource == RLIMIT_CPU && r == 0) {
        limit.rlim_cur -= LIMITS_CPU_RESERVE_SECONDS;
        (void)setrlimit(resource, &limit);
    }
    /* The heaps of threads reserve 64 MiB each. */
    if (resource == RLIMIT_AS)
        (void)mallopt(M_ARENA_MAX, 1);
    return r;
}

static void set_thread_stack(void)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return;
    if (pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES) == 0)
        (void)pthread_setattr_default_np(&attributes);
    (void)pthread_attr_destroy(&attributes);
}

int limits_take_own(void)
{
    static const int resources[] = {
        RLIMIT_FSIZE,  RLIMIT_CPU,        RLIMIT_AS,       RLIMIT_DATA,   RLIMIT_NOFILE,
        RLIMIT_STACK,  RLIMIT_MEMLOCK,    RLIMIT_NPROC,    RLIMIT_RSS,    RLIMIT_LOCKS,
        RLIMIT_RTTIME, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_RTPRIO,
    };
    int result = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < ARRAY_LENGTH(resources); i++) {
        int r = raise_limit(resources[i]);
        result = result < 0 ? result : r;
    }
    set_thread_stack();
    return result;
}

/* ---- priority ---- */

static void reset_oom_score(void)
{
    int score = 0;
    AUTO_FILE FILE *file = fopen("/proc/self/oom_score_adj", "re");
    if (!file || fscanf(file, "%d", &score) != 1 || score <= 0)
        return;
    AUTO_FD int fd = io_openat(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);
    if (fd >= 0 && write(fd, "0", 1) < 0)
        return;
}

static void reset_affinity(void)
{
    enum { CPUS_MAX = 8192 };
    cpu_set_t *all = CPU_ALLOC(CPUS_MAX);
    if (!all)
        return;
    memset(all, 0xff, CPU_ALLOC_SIZE(CPUS_MAX));
    (void)sched_setaffinity(0, CPU_ALLOC_SIZE(CPUS_MAX), all);
    CPU_FREE(all);
}

void limits_take_own_priority(void)
{
    enum { IOPRIO_WHO_PROCESS = 1 };
    (void)umask(077);
    if (sched_getscheduler(0) != SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){.sched_priority = 0});
    if (getpriority(PRIO_PROCESS, 0) != 0)
        (void)setpriority(PRIO_PROCESS, 0, 0);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0);
    reset_affinity();
    reset_oom_score();
}
