/*
 * The contenders: how each makes a database for one test, and how it takes it away.
 *
 * As in workload.h, what fails ends the process. What a way needs once (a mount, a file system in a
 * loop file, a daemon) is set up by the script that starts this program.
 */
#ifndef MINTFS_BENCH_WAYS_H
#define MINTFS_BENCH_WAYS_H

#include <limits.h>
#include <sqlite3.h>
#include <stdint.h>

/* Where and from what; borrowed strings. */
struct place {
    const char *template_path;
    const char *directory; /* sessions lie here */
    char *const *extra;    /* what else the way wants, up to a NULL */
};

struct test_session {
    const struct place *place;
    unsigned serial;
    char directory[PATH_MAX];
    char database[PATH_MAX]; /* what to open */
    sqlite3 *handle;         /* open already, where there is no file */
};

struct way {
    const char *name;
    void (*make)(struct test_session *session);
    void (*discard)(struct test_session *session);
};

/* NULL: no such way. */
const struct way *way_find(const char *name);

#endif
