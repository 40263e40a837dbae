#include "fs/overlay/scratch_recover.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/vector.h"
#include "fs/overlay/changelog_replay.h"
#include "fs/overlay/compact.h"
#include "fs/overlay/roster.h"
#include "fs/overlay/session.h"
#include "fs/overlay/session_internal.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_replay.h"
#include "fs/overlay/session_use.h"
#include "fs/store/names.h"

struct lower_search {
    struct scratch *scratch;
    int error;
};

/* Whether the template may still exist, although it cannot be read. */
static bool has_name(const struct store *store, const char *key)
{
    struct stat status;
    return fstatat(store->templates_fd, key, &status, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static int find_lower_for_recovery(const char *key, struct lower **ret_lower, void *context)
{
    struct lower_search *search = context;
    struct lower *lower;
    search->error = lower_cache_get(&search->scratch->lowers, key, &lower);
    if (search->error == -ENOENT && has_name(search->scratch->store, key))
        search->error = -EBADMSG;
    if (search->error < 0)
        return search->error;
    search->error = lower_verify(lower, NULL);
    if (search->error < 0)
        lower_unref(lower);
    else
        *ret_lower = lower;
    return search->error;
}

/* Removes a log whose session cannot exist any more, and logs why. */
static int drop_log(struct scratch *scratch, const char *name, const char *reason)
{
    struct log_summary summary;
    AUTO_FD int fd = changelog_open_to_read(scratch->logs_fd, name);
    if (fd >= 0 && changelog_summarize(fd, &summary) == 0 &&
        session_id_is_valid(summary.header.id) && sha256_is_hex(summary.header.key))
        log_info("discarded the session %s of template %" PRI_KEY " (%s/logs/%s): %s",
                 summary.header.id, summary.header.key, scratch->path, name, reason);
    else
        log_info("discarded the session of %s/logs/%s: %s", scratch->path, name, reason);
    return io_unlinkat(scratch->logs_fd, name, 0);
}

/*
 * Keeps the log so that a person can find out what happened, but not the blocks: only a whole log
 * shows which blocks belong to its session, so they would never be freed.
 */
static int put_log_aside(struct scratch *scratch, const char *name)
{
    AUTO_FREE char *aside = text_format("%s.damaged", name);
    if (!aside)
        return -ENOMEM;
    log_warning(
        "%s/logs/%s is damaged, or an older copy of itself: its session is lost; the log is "
        "kept as %s, but not the bytes of its files",
        scratch->path, name, aside);
    return io_renameat(scratch->logs_fd, name, scratch->logs_fd, aside);
}

/* Two logs of an older version name the same block: it is not known to which of them it belongs. */
static int put_rival_aside(struct scratch *scratch, uint64_t owner)
{
    struct listed_session *listed;
    struct listed_session *next;
    HASH_ITER (hh, scratch->table.sessions, listed, next) {
        if (listed->session->owner != owner || !listed->session->rewrite_log)
            continue;
        char name[LOG_NAME_LENGTH + 1];
        changelog_fill_name(name, listed->session->serial);
        int r = put_log_aside(scratch, name);
        if (r == 0)
            session_table_discard(&scratch->table, listed);
        return r;
    }
    return 0;
}

static struct recovery recovery_of(struct scratch *scratch, const char *name)
{
    return (struct recovery){
        .list = &scratch->all,
        .dirfd = scratch->logs_fd,
        .name = name,
        .blocks = scratch->blocks,
        .limit_blocks = scratch->session_limit_blocks,
        .boot_id = scratch->boot_id,
        .find_lower = find_lower_for_recovery,
    };
}

static bool has_replaced(const struct session *session, const struct session *other)
{
    return session->replaced == other->serial || session->replaced == REPLACED_ANY;
}

/* Gives the session an ID like its own that no other session of the template has. */
static int take_another_id(struct scratch *scratch, struct session *session)
{
    enum { SUFFIX_MAX = 16 };
    char id[SESSION_ID_MAX + 1];
    for (unsigned i = 2; i < UINT16_MAX; i++) {
        (void)snprintf(id, sizeof(id), "%.*s.%u", SESSION_ID_MAX - SUFFIX_MAX, session->id, i);
        if (session_table_find(&scratch->table, session_key(session), id))
            continue;
        log_warning("two logs in %s/logs have a session %s: the one of %016llx is now %s",
                    scratch->path, session->id, (unsigned long long)session->serial, id);
        memcpy(session->id, id, sizeof(id));
        session->rewrite_log = true;
        return 0;
    }
    return -EEXIST;
}

/*
 * If two sessions have the same ID, the daemon was killed during a rename, and the session that
 * replaced the other stays. If neither replaced the other, an old log was restored or copied, and
 * both stay. Returns 1 if this session was discarded.
 */
static int settle_id(struct scratch *scratch, struct session *session)
{
    struct listed_session *other =
        session_table_find(&scratch->table, session_key(session), session_id(session));
    if (!other)
        return 0;
    if (has_replaced(session, other->session)) {
        int r = session_retire(other->session);
        session_table_discard(&scratch->table, other);
        if (r < 0)
            log_warning("cannot remove the log of a replaced session in %s/logs", scratch->path);
        return 0;
    }
    if (!has_replaced(other->session, session))
        return take_another_id(scratch, session);
    int r = session_retire(session);
    if (r == 0) {
        session_discard(session);
        session_unpin(session);
    }
    return r < 0 ? r : 1;
}

/*
 * Errors that are permanent for this template. I/O errors and a lack of memory may be temporary, or
 * concern all templates.
 */
static bool is_unreadable(int error)
{
    switch (error) {
    case -EBADMSG:
    case -EPROTONOSUPPORT:
    case -EACCES:
    case -EPERM:
    case -ENOTDIR:
    case -ELOOP:
        return true;
    default:
        return false;
    }
}

/* The log stays as it is, and the next mount tries again. */
static int log_unrecovered(const struct scratch *scratch, const char *name, int error)
{
    switch (error) {
    case -EACCES:
    case -EPERM:
        return log_fail(error,
                        "cannot recover the session of %s/logs/%s: %s; make the file yours with: "
                        "sudo chown %u:%u '%s/logs/%s'; chmod 600 '%s/logs/%s'",
                        scratch->path, name, strerror(-error), geteuid(), getegid(), scratch->path,
                        name, scratch->path, name);
    case -EIO:
        return log_fail(error,
                        "cannot recover the session of %s/logs/%s: %s; to mount without it: mv "
                        "'%s/logs/%s' '%s/logs/%s.damaged'",
                        scratch->path, name, strerror(-error), scratch->path, name, scratch->path,
                        name);
    default:
        return log_fail(error,
                        "cannot recover the session of %s/logs/%s: %s; it is kept, and the next "
                        "mintfs mount tries again",
                        scratch->path, name, strerror(-error));
    }
}

/* Returns 1 if its template cannot be read: the log stays as it is. */
static int recover_one(struct scratch *scratch, const char *name)
{
    struct lower_search search = {.scratch = scratch};
    struct recovery recovery = recovery_of(scratch, name);
    recovery.context = &search;
    struct session *session;
    int r = session_recover(&recovery, &session);
    if (is_unreadable(search.error)) {
        log_warning("the session of %s/logs/%s is kept, but not shown: its template cannot be read",
                    scratch->path, name);
        return 1;
    }
    switch (r) {
    case 0:
        break;
    case 1:
        log_warning("%s/logs/%s: the last change is damaged, and undone", scratch->path, name);
        break;
    case -ESTALE:
        return drop_log(scratch, name, "the machine has been rebooted since");
    case -ENOENT:
        return drop_log(scratch, name, "its template is gone");
    case -EXDEV:
        return drop_log(scratch, name, "its template has been rebuilt since, with other content");
    case -EBADMSG:
        r = put_log_aside(scratch, name);
        return r == 0 && recovery.rival ? put_rival_aside(scratch, recovery.rival) : r;
    case -EPROTONOSUPPORT:
        return log_fail(EPROTONOSUPPORT,
                        "%s/logs/%s was written by a later mintfs; use that one, or remove the "
                        "file, and with it that session",
                        scratch->path, name);
    default:
        return search.error < 0
                   ? log_fail(r,
                              "cannot recover the session of %s/logs/%s: cannot read "
                              "its template: %s; it is kept, and the next mintfs mount "
                              "tries again",
                              scratch->path, name, strerror(-r))
                   : log_unrecovered(scratch, name, r);
    }
    serials_skip(&scratch->serials, session->serial);
    r = settle_id(scratch, session);
    if (r > 0)
        return 0;
    if (r == 0)
        r = session_table_add(&scratch->table, session);
    if (r < 0)
        session_unpin(session);
    return r;
}

struct log_name {
    char text[LOG_NAME_LENGTH + 1];
};
struct log_list {
    VECTOR(struct log_name) names;
};

/*
 * Removes a log that a killed daemon had not finished writing, and lists the others for recovery.
 */
static int collect_log(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct log_list *list = context;
    size_t length = strlen(name);
    if (length > 4 && !strcmp(name + length - 4, ".new"))
        return io_unlinkat(dirfd, name, 0);
    if (!changelog_name_is_valid(name))
        return 0;
    struct log_name found;
    memcpy(found.text, name, sizeof(found.text));
    return vector_push(&list->names, found);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int report_cut_log(const struct roster_line *line, void *context)
{
    struct scratch *scratch = context;
    const struct listed_session *listed = session_table_find(&scratch->table, line->key, line->id);
    if (listed && listed->session->serial == line->serial &&
        changelog_size(listed->session->log) < line->log_size_bytes)
        log_warning("%s/logs/%016llx is shorter than when the last mount ended: the session %s has "
                    "lost its last changes; mintfs session reset %s begins again",
                    scratch->path, (unsigned long long)line->serial, line->id, line->id);
    return 0;
}

/* After a kill there is no roster, so the logs' lengths are not known. */
static int report_cut_logs(struct scratch *scratch)
{
    int answer;
    int r = roster_each(scratch->dirfd, -1, scratch->boot_id, report_cut_log, scratch, &answer);
    return r == -ENOENT || r >= 0 ? 0 : log_errno(r, "cannot read %s/roster", scratch->path);
}

/* Rewrites the logs of older versions, and those of sessions with a new ID. */
static void rewrite_logs(struct scratch *scratch)
{
    for (struct listed_session *listed = scratch->table.sessions; listed;
         listed = listed->hh.next) {
        struct session *session = listed->session;
        if (session->rewrite_log && session_rewrite_log(session) < 0)
            log_warning("cannot rewrite %s/logs/%016llx; the next mount tries again", scratch->path,
                        (unsigned long long)session->serial);
        session->rewrite_log = false;
    }
}

int scratch_recover_all(struct scratch *scratch)
{
    struct log_list list = {0};
    int r = dir_each(scratch->logs_fd, collect_log, &list);
    if (r < 0)
        log_errno(r, "cannot look into %s/logs", scratch->path);
    /* By serial, which is also their order in the table. */
    if (list.names.count)
        qsort(list.names.items, list.names.count, sizeof(struct log_name), compare_names);
    size_t kept = 0;
    for (size_t i = 0; r == 0 && i < list.names.count; i++) {
        r = recover_one(scratch, list.names.items[i].text);
        if (r <= 0)
            continue;
        list.names.items[kept++] = list.names.items[i];
        scratch->has_kept_logs = true;
        r = 0;
    }
    /* After all other sessions have claimed their blocks. */
    for (size_t i = 0; r == 0 && i < kept; i++) {
        struct recovery recovery = recovery_of(scratch, list.names.items[i].text);
        r = session_keep_blocks(&recovery);
        if (r < 0)
            log_errno(r, "cannot read %s/logs/%s", scratch->path, list.names.items[i].text);
    }
    vector_fini(&list.names);
    if (r == 0)
        r = report_cut_logs(scratch);
    if (r == 0)
        rewrite_logs(scratch);
    return r;
}
