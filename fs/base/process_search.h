/*
 * Searches /proc for the processes that use something, to name them in a message. Processes that
 * this user may not inspect are skipped.
 */
#ifndef MINTFS_BASE_PROCESS_SEARCH_H
#define MINTFS_BASE_PROCESS_SEARCH_H

#include <stdbool.h>

/* `procfd` is the directory /proc/PID. */
typedef bool process_test(int procfd, int pid, void *context);

/*
 * "name (pid), name (pid)" for the processes for which the test is true, the lowest PIDs first, and
 * after PROCESSES_NAMED_MAX of them "and N more". A mintfs process is named with its subcommand:
 * "mintfs build (123)". The caller frees it; NULL if there is none, or no memory.
 */
enum { PROCESSES_NAMED_MAX = 8 };
char *processes_list(process_test *test, void *context);

/* Whether the symbolic link NAME of a directory of /proc leads to `path` or below it. */
bool process_link_leads_in(int dirfd, const char *name, const char *path);

/* Whether the process has the file `path`, or a file below the directory `path`, open. */
bool process_has_open(int procfd, const char *path);

/* Whether the text of `path` is `directory` or a path below it. */
bool path_is_in(const char *path, const char *directory);

#endif
