#include "fs/client/session_change.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/client/copies.h"
#include "fs/client/copies_list.h"
#include "fs/client/offline_sessions.h"

int session_remove(const struct store *store, const struct session_row *row)
{
    if (!row->path)
        return offline_sessions_remove(store, row);
    if (row->backend == BACKEND_COPY) {
        int r = copies_remove(store, row->key, row->id);
        return r == -ENOENT ? log_fail(ENOENT, "the session %s is gone already", row->id) : r;
    }
    return rmdir(row->path) < 0 ? log_errno(errno, "cannot remove the session %s", row->path) : 0;
}

/* Creates a session of the same template with a random ID that ends in `suffix`. */
static int create_beside(const struct session_row *row, const char *suffix, char **ret_path)
{
    char id[SESSION_ID_MAX + 1];
    size_t parent_length = strlen(row->path) - strlen(row->id);
    int r = sessions_make_id(NULL, id);
    if (r < 0)
        return r;
    AUTO_FREE char *path = text_format("%.*s%s%s", (int)parent_length, row->path, id, suffix);
    if (!path)
        return -ENOMEM;
    if (mkdir(path, 0700) < 0)
        return -errno;
    *ret_path = steal_pointer(&path);
    return 0;
}

/* Gives the new session's directory the mode and owner of the old one, and then its name. */
static int take_place(const char *path, const struct stat *old, const char *beside)
{
    struct stat fresh;
    if (stat(beside, &fresh) < 0 ||
        ((old->st_uid != fresh.st_uid || old->st_gid != fresh.st_gid) &&
         chown(beside, old->st_uid, old->st_gid) < 0) ||
        (old->st_mode != fresh.st_mode && chmod(beside, old->st_mode & 07777) < 0) ||
        rename(beside, path) < 0)
        return -errno;
    return 0;
}

/*
 * A new session replaces the old one by rename(2), which other processes see as one step. Until
 * then this process owns the new one, so that it ends even if this process is killed; except where
 * the daemon is in another PID namespace.
 */
static int reset_mounted(const struct session_row *row)
{
    struct stat old;
    char suffix[24];
    AUTO_FREE char *beside = NULL;
    if (stat(row->path, &old) < 0)
        return log_errno(errno, "cannot reset the session %s", row->path);
    (void)snprintf(suffix, sizeof(suffix), ".pid-%d", (int)getpid());
    int r = create_beside(row, suffix, &beside);
    if (r == -EXDEV || r == -ESRCH)
        r = create_beside(row, "", &beside);
    if (beside)
        r = take_place(row->path, &old, beside);
    if (r == 0)
        return 0;
    r = log_errno(r, "cannot reset the session %s", row->path);
    if (beside && rmdir(beside) < 0)
        log_warning("the session %s could not be removed", beside);
    return r;
}

int session_reset(const struct store *store, const struct session_row *row)
{
    if (!row->path)
        return log_fail(ENOENT, "the session %s is not mounted: mintfs mount brings it back",
                        row->id);
    if (row->backend == BACKEND_FUSE)
        return reset_mounted(row);
    int r = copies_reset(store, row->key, row->id);
    return r == -ENOENT ? log_fail(ENOENT, "the session %s is gone", row->id) : r;
}

int sessions_change(const struct store *store, char *const *names, size_t count,
                    session_change *change)
{
    AUTO_SESSIONS struct session_table table = {0};
    int first_error = sessions_read(store, &table);
    if (first_error < 0)
        return first_error;
    for (size_t i = 0; i < count; i++) {
        const struct session_row *row;
        int r = sessions_find(store, &table, names[i], &row);
        if (r == 0)
            r = change(store, row);
        if (first_error == 0)
            first_error = r;
    }
    return first_error;
}
