/*
 * Reports the exit status to the program that started this command, beside exit(3). waitpid(2)
 * loses it where that program ignores SIGCHLD, or has a handler or thread that waits for every
 * child; the Python package runs in tests that do so.
 *
 * This is an internal interface: MINTFS_STATUS_FD is the number of a pipe's descriptor. The last
 * thing that the command does is to write its status there, as a decimal number and a newline. A
 * command that was killed writes nothing. Builders and daemons inherit neither the variable nor the
 * descriptor.
 */
#ifndef MINTFS_TOOLS_STATUS_REPORT_H
#define MINTFS_TOOLS_STATUS_REPORT_H

/* The descriptor, or -1 without the variable. To be called before any process is started, since it
 * also marks the descriptor as not inherited. */
int status_report_take(void);

/* Does nothing for -1. */
void status_report(int fd, int status);

#endif
