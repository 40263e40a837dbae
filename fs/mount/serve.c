#include "fs/mount/serve.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/clock.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/mount/emptied_sessions.h"
#include "fs/mount/idle.h"
#include "fs/mount/leases.h"
#include "fs/mount/limits.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/notify.h"
#include "fs/mount/policy.h"
#include "fs/mount/stop.h"
#include "fs/mount/tree.h"
#include "fs/mount/verifier.h"
#include "fs/overlay/scratch.h"
#include "fs/store/catalog_stats.h"

/* ---- messages of libfuse ---- */

/* The last warning or error. Logged only if the mount fails: others are harmless (no io_uring). */
static char last_message[256];

PRINTF_LIKE(2, 0)
static void note_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    if (level > FUSE_LOG_WARNING)
        return;
    (void)vsnprintf(last_message, sizeof(last_message), format, arguments);
    last_message[strcspn(last_message, "\n")] = '\0';
}

/* ---- serving ---- */

static int open_session(struct server *server)
{
    const struct serve_options *options = server->options;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    bool uring = false;
#ifdef HAVE_FUSE_URING
    uring = !options->no_uring;
#endif
    AUTO_FREE char *text = text_format(
        "fsname=mintfs,subtype=mintfs,nosuid,nodev%s%s",
        options->allow_other ? ",allow_other,default_permissions" : "", uring ? ",io_uring" : "");
    if (!text)
        return -ENOMEM;
    if (fuse_opt_add_arg(&args, "mintfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
        fuse_opt_add_arg(&args, text) == 0)
        server->fuse =
            fuse_session_new(&args, &server_operations, sizeof(server_operations), server);
    fuse_opt_free_args(&args);
    if (!server->fuse)
        return log_fail(EIO, "cannot start a FUSE session: %s", last_message);
    if (fuse_session_mount(server->fuse, options->mount_point) != 0)
        return log_fail(EIO, "cannot mount at %s: %s", options->mount_point,
                        last_message[0] ? last_message
                                        : "fusermount3 refused, for the reason above");
    return 0;
}

static int run_loop(struct server *server)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config)
        return -ENOMEM;
    /* Positive if a signal ended the loop, which is not an error. */
    int r = fuse_session_loop_mt(server->fuse, config);
    fuse_loop_cfg_destroy(config);
    /*
     * enable_uring was switched off after the kernel had offered io_uring: requests then arrived
     * over /dev/fuse, and libfuse reports the failure of its rings only at the end.
     */
    if (r == -EOPNOTSUPP && !server->options->no_uring)
        r = 0;
    if (r >= 0)
        return 0;
    /* If libfuse cannot start a thread, it logs the reason and returns -1. */
    if (last_message[0])
        return log_fail(EIO, "the mount at %s failed: %s", server->options->mount_point,
                        last_message);
    return log_errno(r, "the mount at %s failed", server->options->mount_point);
}

/*
 * Detaches the mount if it still exists. If it is gone but its connection lives in another mount
 * namespace, libfuse would unmount again and complain on standard error. It does not if its
 * descriptor looks like that of a dead connection, as does a pipe that has no reader.
 */
static void end_session(struct server *server)
{
    int ends[2];
    if (server->is_unmounted && pipe2(ends, O_CLOEXEC) == 0) {
        (void)close(ends[0]);
        (void)dup2(ends[1], fuse_session_fd(server->fuse));
        (void)close(ends[1]);
    }
    fuse_session_unmount(server->fuse);
}

static int start_and_loop(struct server *server, struct lock *lock)
{
    int r = open_session(server);
    if (r < 0)
        return r;
    server->device = mountpoint_device(server->options->mount_point);
    r = running_mount_describe(lock, server->options, server->device);
    if (r == 0)
        r = notifier_start(server);
    if (r == 0)
        r = idle_start(server);
    if (r == 0)
        r = lease_keeper_start(server);
    if (r == 0)
        r = verifier_start(server);
    if (r == 0)
        r = stopper_start(server);
    if (r == 0) {
        r = run_loop(server);
        stopper_end(server);
    }
    verifier_stop(server);
    lease_keeper_stop(server);
    idle_stop(server);
    notifier_stop(server);
    end_session(server);
    return r;
}

static void init_server(struct server *server)
{
    clock_init_condition(&server->changed);
    pthread_mutex_init(&server->mutex, NULL);
}

static int open_parts(struct server *server, const struct store *store)
{
    const struct serve_options *options = server->options;
    struct scratch_options scratch_options = {
        .place = options->scratch,
        .session_limit_bytes = options->session_limit_bytes,
        .limit_bytes = options->limit_bytes,
        .name_lost = notifier_lose_name,
        .context = server,
    };
    int r = scratch_open(store, &scratch_options, &server->scratch);
    if (r < 0)
        return r;
    struct tree_options tree_options = {
        .store = store,
        .scratch = server->scratch,
        .uid = geteuid(),
        .gid = getegid(),
        .shared = options->allow_other,
    };
    server->emptied = emptied_new();
    return server->emptied ? tree_new(&tree_options, &server->tree) : -ENOMEM;
}

/* For `mintfs stats`. The use of a killed daemon is not counted. */
static void count_use(struct server *server, const struct store *store)
{
    struct scratch_counts counts = {0};
    uint64_t requests = 0;
    if (server->scratch)
        scratch_count(server->scratch, &counts);
    for (size_t i = 0; i < ARRAY_LENGTH(server->requests); i++)
        requests += atomic_load(&server->requests[i]);
    if (catalog_count_use(store->catalog, counts.sessions_made, requests) < 0)
        log_warning("cannot count the use of this mount");
}

int serve(const struct store *store, const struct serve_options *options,
          void (*ready)(void *context), void *context)
{
    AUTO_LOCK struct lock lock = LOCK_INIT;
    struct server server = {.options = options, .on_ready = ready, .on_ready_context = context};
    fuse_set_log_func(note_message);
    stopper_block_signals();
    int r = limits_take_own();
    if (r == 0)
        r = running_mount_claim(store, options, &lock);
    if (r < 0)
        return r;
    init_server(&server);
    server_touch(&server);
    r = open_parts(&server, store);
    if (r == 0)
        r = start_and_loop(&server, &lock);
    if (server.fuse)
        fuse_session_destroy(server.fuse);
    tree_free(server.tree);
    emptied_free(server.emptied);
    count_use(&server, store);
    scratch_close(server.scratch);
    pthread_mutex_destroy(&server.mutex);
    pthread_cond_destroy(&server.changed);
    return r;
}
