/*
 * As much of QEMU's machine protocol as its storage daemon needs to be told
 * (https://www.qemu.org/docs/master/interop/qmp-spec.html): one line of JSON each way.
 */
#ifndef MINTFS_BENCH_QMP_H
#define MINTFS_BENCH_QMP_H

#include "fs/base/cleanup.h"

struct qmp;

/* These end the process with a message when something fails. */
struct qmp *qmp_connect(const char *socket_path);
void qmp_tell(struct qmp *qmp, const char *format, ...) PRINTF_LIKE(2, 3);
/* Until such an event has come. */
void qmp_await(struct qmp *qmp, const char *event);

#endif
