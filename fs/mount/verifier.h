/*
 * The thread that compares restored templates with their manifests before their first use.
 *
 * The comparison takes a second for each GiB or two, too long for a request: a handler that waits
 * holds up a thread and, over io_uring, all requests of its CPU. So this thread verifies one
 * template after another. A request that needs the result (mkdir of a session, open of a template's
 * file) waits for a limited time, if few others wait; otherwise it fails with EAGAIN, and a later
 * request finds the result. Lookups need no result.
 *
 *     arrives over    waits at most    requests waiting at most    template size at most
 *     /dev/fuse       10 s             4                           any
 *     io_uring        0.1 s            1                           64 MiB
 *
 * `mintfs session new` does not depend on this: it verifies the template itself before its mkdir.
 */
#ifndef MINTFS_MOUNT_VERIFIER_H
#define MINTFS_MOUNT_VERIFIER_H

#include "fs/base/cleanup.h"
#include "fs/mount/server.h"
#include "fs/overlay/lower.h"

MUST_CHECK int verifier_start(struct server *server);
/* When the daemon is asked to stop: interrupts the current verification and all waits. */
void verifier_interrupt(struct server *server);
void verifier_stop(struct server *server);
/*
 * 0 if the template is verified. Otherwise waits for it as the table above states: -EAGAIN if it
 * takes longer, -EBADMSG (logged) if the template is damaged, -ESHUTDOWN if the daemon stops. Call
 * it without any lock.
 */
MUST_CHECK int verifier_require(fuse_req_t req, struct lower *lower);
/* How many templates are being verified or wait for their turn. */
unsigned verifier_count(struct server *server);

#endif
