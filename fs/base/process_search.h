/*
 * Looking through /proc for the processes that use something, to name them in a message. Processes
 * of other users that may not be looked at are passed over.
 */
#ifndef MINTFS_BASE_PROCESS_SEARCH_H
#define MINTFS_BASE_PROCESS_SEARCH_H

#include <stdbool.h>

#include "fs/base/cleanup.h"

/* `procfd` is the directory /proc/PID. */
typedef bool process_test(int procfd, int pid, void *context);

/*
 * "name (pid), name (pid)" of the processes for which the test is true, the lowest numbers first;
 * after PROCESSES_NAMED_MAX of them "and N more". NULL: none, or no memory. The caller frees it. A
 * mintfs process is named with its subcommand, as in "mintfs build (123)".
 */
enum { PROCESSES_NAMED_MAX = 8 };
char *processes_list(process_test *test, void *context);

/* Whether the link NAME of a directory of /proc leads to `path`, or to something below it. */
bool process_link_leads_in(int dirfd, const char *name, const char *path);

/* Whether the process has the file or a file below the directory `path` open. */
bool process_has_open(int procfd, const char *path);

/* Whether `path` is `directory`, or is below it, by the text of the two. */
bool path_is_in(const char *path, const char *directory);

#endif
