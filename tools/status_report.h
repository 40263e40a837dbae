/*
 * Reports the exit status to the program that started this command, besides exit(3). waitpid(2)
 * cannot report it if that program ignores SIGCHLD, or has a handler or thread that waits for every
 * child, as some tests do in which the Python package runs.
 *
 * This is an internal interface: MINTFS_STATUS_FD is the number of a pipe's descriptor. Just before
 * it exits, the command writes its status there, as a decimal number and a newline. A killed
 * command writes nothing. Builders and daemons inherit neither the variable nor the descriptor.
 */
#ifndef MINTFS_TOOLS_STATUS_REPORT_H
#define MINTFS_TOOLS_STATUS_REPORT_H

/*
 * The descriptor, or -1 without the variable. To be called before any process is started, since it
 * also makes the descriptor close-on-exec.
 */
int status_report_take(void);

/* Writes the status. Does nothing if fd is -1. */
void status_report(int fd, int status);

#endif
