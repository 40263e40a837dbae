#include "fs/base/process.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"

int boot_read_id(char ret_boot_id[BOOT_ID_SIZE + 1])
{
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    static _Thread_local char known[BOOT_ID_SIZE + 1];
    if (!known[0]) {
        char boot_id[BOOT_ID_SIZE + 1];
        AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
        int r = fd < 0 ? fd : io_pread_exact(fd, boot_id, BOOT_ID_SIZE, 0);
        if (r < 0)
            return log_errno(r, "cannot read %s", path);
        boot_id[BOOT_ID_SIZE] = '\0';
        memcpy(known, boot_id, sizeof(known));
    }
    memcpy(ret_boot_id, known, sizeof(known));
    return 0;
}

/* ---- namespaces of this process ---- */

struct view {
    uint64_t pid_namespace; /* 0: not known; the same below */
    uint64_t time_namespace;
    bool proc_is_ours; /* /proc shows the PID namespace of this process */
};

static uint64_t inode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) < 0 ? 0 : (uint64_t)status.st_ino;
}

static uint64_t pid_namespace_of(int pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
    return inode_of(path);
}

static bool proc_is_ours(void)
{
    char text[16];
    ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
    if (n < 0)
        return false;
    text[n] = '\0';
    return atoi(text) == getpid();
}

/* Read once: a process stays in its PID namespace, only its children can be in another one. */
static struct view look_around(void)
{
    static _Thread_local struct view known;
    static _Thread_local pid_t known_to;
    if (known_to != getpid()) {
        known = (struct view){
            .pid_namespace = inode_of("/proc/self/ns/pid"),
            .time_namespace = inode_of("/proc/self/ns/time"),
            .proc_is_ours = proc_is_ours(),
        };
        known_to = getpid();
    }
    return known;
}

/* ---- /proc/PID ---- */

enum { PROC_TEXT_MAX = 8192 };

/* A whole file of /proc/PID, with a NUL. -ESRCH if the process does not exist or is hidden. */
static int read_proc(int pid, const char *name, char ret_text[PROC_TEXT_MAX])
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY, 0);
    ssize_t n = fd < 0 ? fd : io_pread(fd, ret_text, PROC_TEXT_MAX - 1, 0);
    if (n <= 0)
        return -ESRCH;
    ret_text[n] = '\0';
    return 0;
}

/* From proc(5), stat. The name in field 2 may contain anything, up to the last ")". */
static int read_start(int pid, uint64_t *ret_start)
{
    enum { FIELD_STATE = 3, FIELD_THREADS = 20, FIELD_START = 22 };
    char text[PROC_TEXT_MAX];
    if (read_proc(pid, "stat", text) < 0)
        return -ESRCH;
    char *at = strrchr(text, ')');
    char state = at && at[1] ? at[2] : '\0';
    unsigned long threads = 0;
    for (int field = FIELD_STATE; at && field <= FIELD_START; field++) {
        at = strchr(at + 1, ' ');
        if (at && field == FIELD_THREADS)
            threads = strtoul(at, NULL, 10);
    }
    if (!at)
        return -ESRCH;
    *ret_start = strtoull(at, NULL, 10);
    /* A zombie with other threads is alive: only its main thread ended, by pthread_exit(3). */
    return (state == 'Z' && threads <= 1) || state == 'X' ? -ESRCH : 0;
}

int process_identify(int pid, struct process_id *ret_id)
{
    struct view view = look_around();
    if (!view.proc_is_ours || !view.pid_namespace)
        return -EXDEV;
    struct process_id id = {
        .pid = pid,
        .pid_namespace = view.pid_namespace,
        .time_namespace = view.time_namespace,
    };
    int r = pid > 0 ? read_start(pid, &id.start) : -ESRCH;
    if (r == 0)
        *ret_id = id;
    return r;
}

/* By kill(2), since /proc may hide processes (hidepid). */
static bool exists(int pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

enum process_state process_look(const struct process_id *id)
{
    struct view view = look_around();
    uint64_t start;
    if (id->pid <= 0 || !id->pid_namespace || id->pid_namespace != view.pid_namespace)
        return PROCESS_UNSEEN;
    if (!exists(id->pid))
        return PROCESS_GONE;
    /* Start times cannot be compared then: a process with a reused number counts as this one. */
    if (!view.proc_is_ours || id->time_namespace != view.time_namespace)
        return PROCESS_LIVES;
    if (read_start(id->pid, &start) == 0)
        return start == id->start ? PROCESS_LIVES : PROCESS_GONE;
    char text[PROC_TEXT_MAX];
    return read_proc(id->pid, "stat", text) == 0 || !exists(id->pid) ? PROCESS_GONE : PROCESS_LIVES;
}

/* ---- numbers in other namespaces ---- */

/* From proc(5), status: the numbers of a thread in nested namespaces. */
struct numbers {
    int tgid; /* of its process, and its parent's; in the namespace of /proc */
    int parent;
    size_t depth; /* how many namespaces */
    int own_tgid; /* of its process, in its own namespace */
};

/* Reads the last number of a line "NAME:\t1\t2\t3\n" and returns how many there are; 0: no line. */
static size_t read_line(const char *text, const char *name, int *ret_last)
{
    const char *at = strstr(text, name);
    size_t count = 0;
    if (!at)
        return 0;
    at += strlen(name);
    while (*at == '\t' || *at == ' ') {
        char *end;
        *ret_last = (int)strtol(at, &end, 10);
        if (end == at)
            break;
        at = end;
        count++;
    }
    return count;
}

static int read_numbers(int pid, struct numbers *ret_numbers)
{
    char text[PROC_TEXT_MAX];
    int r = read_proc(pid, "status", text);
    if (r < 0)
        return r;
    ret_numbers->depth = read_line(text, "\nNStgid:", &ret_numbers->own_tgid);
    return ret_numbers->depth > 0 && read_line(text, "\nTgid:", &ret_numbers->tgid) == 1 &&
                   read_line(text, "\nPPid:", &ret_numbers->parent) == 1
               ? 0
               : -ESRCH;
}

struct search {
    int pid;
    size_t depth;
    uint64_t pid_namespace;
    int found;
};

static bool is_wanted(const struct search *search, int pid, const struct numbers *numbers)
{
    return numbers->depth == search->depth && numbers->own_tgid == search->pid &&
           pid_namespace_of(pid) == search->pid_namespace;
}

static int visit_process(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                         void *context)
{
    struct search *search = context;
    struct numbers numbers;
    char *end;
    long pid = strtol(name, &end, 10);
    if (*end || pid <= 0 || pid > INT_MAX || read_numbers((int)pid, &numbers) < 0 ||
        !is_wanted(search, (int)pid, &numbers))
        return 0;
    search->found = (int)pid;
    return 1;
}

/* Most owners are the caller itself or a shell above it, so those are tried first. */
static int search_ancestors(const struct search *search, const struct numbers *caller)
{
    enum { GENERATIONS_MAX = 32 };
    struct numbers numbers = *caller;
    int pid = caller->tgid;
    for (int i = 0; i < GENERATIONS_MAX; i++) {
        if (is_wanted(search, pid, &numbers))
            return pid;
        pid = numbers.parent;
        if (pid <= 0 || read_numbers(pid, &numbers) < 0)
            break;
    }
    return 0;
}

int process_translate(int caller, int pid, int *ret_pid)
{
    struct numbers numbers;
    struct search search = {.pid = pid};
    if (pid <= 0)
        return -ESRCH;
    if (caller <= 0 || !look_around().proc_is_ours || read_numbers(caller, &numbers) < 0)
        return -EXDEV;
    if (numbers.depth == 1) {
        *ret_pid = pid;
        return 0;
    }
    search.depth = numbers.depth;
    search.pid_namespace = pid_namespace_of(caller);
    if (!search.pid_namespace)
        return -EXDEV;
    search.found = search_ancestors(&search, &numbers);
    AUTO_FD int proc = search.found ? -1 : io_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
    int r = proc < 0 ? 0 : dir_each(proc, visit_process, &search);
    if (r < 0)
        return r;
    if (!search.found)
        return -ESRCH;
    *ret_pid = search.found;
    return 0;
}
