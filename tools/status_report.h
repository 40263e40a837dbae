/*
 * Tells the program that started this command what it exits with, beside exit(3). waitpid(2) does not
 * tell where that program ignores SIGCHLD, or a handler or a thread of its waits for every child;
 * the Python package works in tests that do so.
 *
 * An internal interface: MINTFS_STATUS_FD is the number of a pipe's descriptor. The command writes its
 * status there, as a decimal number and a newline, as the last thing that it does. A command that was
 * killed writes nothing. Builders and daemons get neither the variable nor the descriptor.
 */
#ifndef MINTFS_TOOLS_STATUS_REPORT_H
#define MINTFS_TOOLS_STATUS_REPORT_H

/* The descriptor, or -1 where none was named. Before anything is started: it is not inherited from
 * then on. */
int status_report_take(void);

/* Does nothing for -1. */
void status_report(int fd, int status);

#endif
