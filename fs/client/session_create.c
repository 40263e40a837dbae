#include "fs/client/session_create.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/text.h"
#include "fs/client/copies.h"
#include "fs/client/copies_list.h"
#include "fs/client/daemon_control.h"
#include "fs/client/ensure_template.h"
#include "fs/client/sessions.h"
#include "fs/mount/leases.h"
#include "fs/mount/serve.h"
#include "fs/overlay/sessions_at_rest.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/names.h"
#include "fs/store/template.h"

void created_session_fini(struct created_session *created)
{
    free(created->path);
    free(created->database);
    free(created->owner_lock);
}

static int log_exists(const struct created_session *created)
{
    return log_fail(EEXIST, "a session %s of this template exists already; take another ID",
                    created->id);
}

/* ---- one ID, one session ---- */

static char *mounted_path(const char *mount_point, const struct created_session *created)
{
    return text_format("%s/sessions/%s/%s", mount_point, created->key, created->id);
}

/* 1 where the store's mount shows a session of that ID. A mount out of reach has its own IDs. */
static int is_mounted(const struct store *store, const struct created_session *created)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    int r = daemon_find(store, &found);
    if (r <= 0)
        return r;
    AUTO_FREE char *path = mounted_path(found.mount_point, created);
    return path ? access(path, F_OK) == 0 : -ENOMEM;
}

static int is_copied(const struct store *store, const struct created_session *created)
{
    int r = copies_have(store, created->key, created->id);
    if (r <= 0)
        return r;
    /* Its lease may have ended. */
    r = copies_sweep(store);
    return r < 0 ? r : copies_have(store, created->key, created->id);
}

static int is_this_session(const struct session_at_rest *session, void *context)
{
    const struct created_session *created = context;
    return !strcmp(session->id, created->id) && !strcmp(session->key, created->key);
}

/*
 * An ID names one session of a template over all backends. The chosen backend reports a duplicate
 * itself; the other one, and scratches that no daemon has open, are asked here.
 */
static int check_other_backends(const struct store *store, struct created_session *created)
{
    int r = created->choice.backend == BACKEND_COPY ? is_mounted(store, created)
                                                    : is_copied(store, created);
    if (r == 0)
        r = sessions_each_id_at_rest(store, is_this_session, created);
    return r > 0 ? log_exists(created) : r;
}

/* ---- leases ---- */

static int set_attribute(const char *path, const char *name, uint64_t number)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%" PRIu64, number);
    return setxattr(path, name, text, (size_t)length, 0) < 0 ? -errno : 0;
}

static int log_lease_error(const struct session_request *request,
                           const struct created_session *created, int error)
{
    if (error == -ESRCH)
        return log_fail(ESRCH, "there is no process %" PRIu64 " to own the session",
                        request->owner_pid);
    if (error == -EXDEV)
        return log_fail(EXDEV,
                        "--owner %" PRIu64 ": %s; give the session a time to live instead, as in "
                        "--ttl 1h",
                        request->owner_pid,
                        created->choice.backend == BACKEND_FUSE
                            ? "the daemon of the mount cannot look into this PID namespace"
                            : "/proc shows another PID namespace than this one");
    return log_errno(error, "cannot set the lease of the session %s", created->id);
}

/* A session without the lease that was asked for might never end, so it is removed. */
static int lease_mounted(const struct store *store, const struct session_request *request,
                         const struct created_session *created)
{
    int r = 0;
    if (request->ttl_seconds)
        r = set_attribute(created->path, LEASE_TTL_ATTRIBUTE, request->ttl_seconds);
    if (r == 0 && request->owner_pid)
        r = set_attribute(created->path, LEASE_OWNER_ATTRIBUTE, request->owner_pid);
    if (r == 0)
        return 0;
    session_create_undo(store, created);
    return log_lease_error(request, created, r);
}

static int fill_copy_lease(const struct session_request *request,
                           const struct created_session *created, struct copy_lease *ret_lease)
{
    struct copy_lease lease = {.owner_lock = ""};
    if (request->ttl_seconds)
        session_lease_set_ttl(&lease.session, request->ttl_seconds);
    int r =
        request->owner_pid ? session_lease_set_owner(&lease.session, (int)request->owner_pid) : 0;
    if (r < 0)
        return log_lease_error(request, created, r);
    if (request->owner_lock)
        (void)snprintf(lease.owner_lock, sizeof(lease.owner_lock), "%s", request->owner_lock);
    *ret_lease = lease;
    return 0;
}

/* ---- the backends ---- */

static int create_copy(const struct store *store, const struct session_request *request,
                       struct created_session *created)
{
    bool first;
    bool is_leased = request->ttl_seconds || request->owner_pid;
    struct copy_lease lease = {.owner_lock = ""};
    char *path = NULL;
    int r = fill_copy_lease(request, created, &lease);
    if (r == 0)
        r = copies_sweep(store);
    if (r == 0)
        r = copies_new(store, created->key, created->id, is_leased ? &lease : NULL, &path, &first);
    created->path = path;
    if (r == 0 && lease.owner_lock[0])
        r = copy_owner_lock_path(path, lease.owner_lock, &created->owner_lock);
    if (r < 0 && path)
        session_create_undo(store, created);
    /* A daemon counts the sessions on its mount itself. */
    if (r == 0 && (catalog_touch(store->catalog, created->key) < 0 ||
                   catalog_count_use(store->catalog, 1, 0) < 0))
        log_warning("the use of template %" PRI_KEY " is not counted", created->key);
    /* With a store's first copy: an earlier store may have been removed without its copies. */
    if (r == 0 && first && copies_sweep_memory() < 0)
        log_warning("copies in memory of other stores could not be looked at");
    if (r == 0 && first)
        log_info("sessions are plain copies below %.*s, since %s",
                 (int)(strlen(path) - strlen(created->key) - strlen(created->id) - 2), path,
                 created->choice.why);
    return r;
}

/*
 * Compares a restored template with its manifest before the daemon has to: mkdir would wait for the
 * daemon or fail with EAGAIN. Errors are logged, but for -ENOENT.
 */
static int verify_restored(const struct store *store, const char *key)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open_unverified(store, key, &template);
    if (r < 0 || !template)
        return r;
    r = template_is_verified(store, template);
    if (r != 0)
        return r < 0 ? r : 0;
    progress_start("comparing the restored template with its manifest",
                   manifest_size_bytes(template->manifest));
    r = template_verify(store, template, NULL);
    progress_stop();
    return r;
}

static int create_mounted(const char *mount_point, struct created_session *created)
{
    created->path = mounted_path(mount_point, created);
    if (!created->path)
        return -ENOMEM;
    if (mkdir(created->path, 0700) == 0)
        return 0;
    return errno == EEXIST ? log_exists(created) : -errno;
}

/* The mount is about to end, or the template was evicted or is not verified yet. */
static bool is_worth_retrying(int error)
{
    return error == -ENOENT || error == -ENOTCONN || error == -ESHUTDOWN || error == -EAGAIN;
}

static int log_mount_error(const struct store *store, const struct session_request *request,
                           const struct created_session *created, int error)
{
    AUTO_TEMPLATE struct template *template = NULL;
    switch (-error) {
    case EEXIST:
        return error; /* logged */
    case EBADMSG: {
        /* mkdir(2) reports no more than that the template is damaged; this names the file. */
        int r = template_open(store, created->key, &template);
        return r < 0 ? r : log_errno(EBADMSG, "cannot make the session %s", created->path);
    }
    case ESRCH: /* of the owner that the ID names */
    case EXDEV:
        return log_lease_error(request, created, error);
    case ESHUTDOWN:
        return log_fail(EBUSY,
                        "the mount is about to end, and waits for files that are open: try again "
                        "when it is gone");
    default:
        return log_errno(error, "cannot make the session %s",
                         created->path ? created->path : created->id);
    }
}

static int create_on_backend(const struct store *store, const struct session_request *request,
                             struct created_session *created)
{
    enum { TRIES = 3 };
    int r = -ESHUTDOWN;
    for (int i = 0; i < TRIES && is_worth_retrying(r); i++) {
        bool is_unverified = r == -EAGAIN;
        AUTO_SERVE_FOUND struct serve_found found = {0};
        free(steal_pointer(&created->path));
        r = backend_choose(store, created->key, &found, &created->choice);
        if (r == 0 && request->id)
            r = check_other_backends(store, created);
        if (r < 0)
            return r;
        if (created->choice.backend == BACKEND_COPY)
            return create_copy(store, request, created);
        /* A template that was verified before is trusted here; the daemon refuses a changed one. */
        if (is_unverified || catalog_was_verified(store->catalog, created->key) == 0)
            r = verify_restored(store, created->key);
        if (r != 0 && r != -ENOENT)
            return r;
        if (r == 0)
            r = create_mounted(found.mount_point, created);
    }
    if (r != 0)
        return log_mount_error(store, request, created, r);
    return lease_mounted(store, request, created);
}

/* ---- creating a session ---- */

static int find_database(const struct store *store, const char *key, char **ret_file)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r < 0)
        return r;
    const struct manifest *manifest = template->manifest;
    const char *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < manifest->entry_count; i++)
        if (manifest->entries[i].is_sqlite) {
            found = manifest->entries[i].path;
            count++;
        }
    if (count != 1)
        return log_fail(EINVAL,
                        "--url wants a template of one database, this one has %zu; add the "
                        "file's name to the path that `session new` prints without --url",
                        count);
    *ret_file = strdup(found);
    return *ret_file ? 0 : -ENOMEM;
}

int session_create(struct store *store, const struct session_request *wanted,
                   struct created_session *ret_created)
{
    struct session_request request = *wanted;
    CLEANUP(created_session_fini) struct created_session created = {.path = NULL};
    int r = sessions_make_id(request.id, created.id);
    if (r < 0)
        return r;
    if (!request.owner_pid)
        request.owner_pid = (uint64_t)session_id_owner(created.id);
    r = ensure_named_template(store, request.template, created.key);
    if (r == 0 && request.needs_database)
        r = find_database(store, created.key, &created.database);
    if (r == 0)
        r = create_on_backend(store, &request, &created);
    if (r < 0)
        return r;
    *ret_created = created;
    created = (struct created_session){.path = NULL};
    return 0;
}

void session_create_undo(const struct store *store, const struct created_session *created)
{
    if (created->choice.backend == BACKEND_FUSE
            ? rmdir(created->path) < 0
            : copies_remove(store, created->key, created->id) < 0)
        log_warning("the session %s could not be removed", created->path);
}
