/*
 * The part of QEMU's machine protocol that controls its storage daemon: one line of JSON for each
 * command and each answer (https://www.qemu.org/docs/master/interop/qmp-spec.html).
 */
#ifndef MINTFS_BENCH_QMP_H
#define MINTFS_BENCH_QMP_H

#include "fs/base/cleanup.h"

struct qmp;

/* If something fails, these end the process with a message. */
struct qmp *qmp_connect(const char *socket_path);
void qmp_execute(struct qmp *qmp, const char *format, ...) PRINTF_LIKE(2, 3);
/* Waits for an event of that name. */
void qmp_await(struct qmp *qmp, const char *event);

#endif
