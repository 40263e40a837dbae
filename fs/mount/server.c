#include "fs/mount/server.h"

#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/clock.h"

struct server *server_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

void server_touch(struct server *server)
{
    atomic_store_explicit(&server->used_ns, clock_monotonic_coarse_ns(), memory_order_relaxed);
}

struct server *server_count(fuse_req_t req, enum request_kind kind)
{
    struct server *server = server_of(req);
    atomic_fetch_add_explicit(&server->requests[kind], 1, memory_order_relaxed);
    if (server->options->idle_seconds)
        server_touch(server);
#ifdef HAVE_FUSE_URING
    if (!atomic_load_explicit(&server->uses_uring, memory_order_relaxed) && fuse_req_is_uring(req))
        atomic_store(&server->uses_uring, true);
#endif
    return server;
}

void server_opened(struct server *server)
{
    atomic_fetch_add(&server->open_files, 1);
}

void server_closed(struct server *server)
{
    if (atomic_fetch_sub(&server->open_files, 1) != 1)
        return;
    if (atomic_load(&server->detached))
        server_wake_stopper(server);
    if (!atomic_load(&server->stopping))
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&server->mutex);
    (void)pthread_cond_broadcast(&server->changed);
}

void server_wake_stopper(struct server *server)
{
    static const uint64_t one = 1;
    if (write(server->stop_fd, &one, sizeof(one)) < 0)
        return; /* the counter is at its maximum: the stopper will wake */
}
