/*
 * The contenders: how each creates a database for one test, and how it removes it.
 *
 * As in workload.h, a failure ends the process. Whatever a way needs only once (a mount, a file
 * system in a loop file, a daemon) is set up by the script that starts this program.
 */
#ifndef MINTFS_BENCH_WAYS_H
#define MINTFS_BENCH_WAYS_H

#include <limits.h>
#include <sqlite3.h>
#include <stdint.h>

/* Where sessions are created, and from what. The strings are borrowed. */
struct place {
    const char *template_path;
    const char *directory; /* of the sessions */
    char *const *extra;    /* more arguments of the way, up to a NULL */
};

struct test_session {
    const struct place *place;
    unsigned serial;
    char directory[PATH_MAX];
    char database[PATH_MAX]; /* what to open */
    sqlite3 *handle;         /* already open, if there is no file */
};

struct way {
    const char *name;
    void (*make)(struct test_session *session);
    void (*discard)(struct test_session *session);
};

/* Returns NULL if there is no such way. */
const struct way *way_find(const char *name);

#endif
