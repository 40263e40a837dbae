/*
 * Opens a scratch: checks and locks its directory, then recovers the sessions that an earlier
 * daemon left (scratch_recover.c). Closes it.
 */
#include <fcntl.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/overlay/roster.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/scratch_internal.h"
#include "fs/overlay/scratch_recover.h"
#include "fs/overlay/scratch_registry.h"
#include "fs/overlay/session_log.h"
#include "fs/overlay/session_use.h"

static const char marker_name[] = "mintfs-scratch";
static const char unfinished_marker[] = ".mintfs-scratch."; /* see dir_write_file() */
static const char marker_text[] = "mintfs scratch 1\n";

/* The daemon must not wait for a slow disk when it ends: the next one trims the rest. */
enum { TRIM_AT_END_NS = 1000 * 1000 * 1000 };

/* DIR/mintfs-UID, so that a shared place such as /dev/shm can be named. */
static int open_named_place(struct scratch *scratch, const char *place)
{
    AUTO_FREE char *real = realpath(place, NULL);
    if (!real)
        return log_errno(errno, "cannot use %s for scratch", place);
    scratch->path = text_format("%s/mintfs-%u", real, (unsigned)geteuid());
    if (!scratch->path)
        return -ENOMEM;
    AUTO_FD int parent = io_openat(AT_FDCWD, real, O_RDONLY | O_DIRECTORY, 0);
    if (parent < 0)
        return log_errno(parent, "cannot use %s for scratch", place);
    scratch->dirfd = dir_ensure(parent, strrchr(scratch->path, '/') + 1, 0700);
    if (scratch->dirfd < 0)
        return log_errno(scratch->dirfd, "cannot make %s for scratch", scratch->path);
    return 0;
}

static int open_store_place(struct scratch *scratch)
{
    scratch->path = text_format("%s/v1/sessions", scratch->store->path);
    if (!scratch->path)
        return -ENOMEM;
    scratch->dirfd = io_openat(scratch->store->sessions_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    return scratch->dirfd < 0 ? log_errno(scratch->dirfd, "cannot open %s", scratch->path) : 0;
}

/* Removes the unfinished marker of a killed daemon; 1 for any other file. */
static int sweep_marker(int dirfd, const char *name, unsigned char type UNUSED,
                        void *context UNUSED)
{
    if (strncmp(name, unfinished_marker, strlen(unfinished_marker)) != 0)
        return 1;
    return io_unlinkat(dirfd, name, 0);
}

static int check_place(const struct scratch *scratch)
{
    struct stat status;
    if (fstat(scratch->dirfd, &status) < 0)
        return log_errno(errno, "cannot look at %s", scratch->path);
    if (status.st_uid != geteuid() || (status.st_mode & 022))
        return log_fail(EPERM,
                        "%s is not yours alone: remove it, or chmod 700 it, "
                        "or name another place with --scratch",
                        scratch->path);
    AUTO_FREE char *text = NULL;
    int r = dir_read_file(scratch->dirfd, marker_name, sizeof(marker_text) * 2, &text, NULL);
    if (r == -ENOENT && dir_each(scratch->dirfd, sweep_marker, NULL) == 0)
        r = dir_write_file(scratch->dirfd, marker_name, marker_text, strlen(marker_text), 0600);
    else if (r == -ENOENT)
        return log_fail(EPERM, "%s is not empty and no scratch of mintfs; name another place",
                        scratch->path);
    else if (r == 0 && strcmp(text, marker_text) != 0)
        return log_fail(EPROTONOSUPPORT,
                        "%s was made by a later mintfs; use that one, or name another place",
                        scratch->path);
    return r < 0 ? log_errno(r, "cannot use %s for scratch", scratch->path) : 0;
}

static int take_lock(struct scratch *scratch)
{
    int r = lock_take(&scratch->lock, scratch->dirfd, "lock", LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == -EWOULDBLOCK) {
        char holder[64] = "";
        if (lock_holder(scratch->dirfd, "lock", holder, sizeof(holder)) < 0)
            holder[0] = '\0';
        return log_fail(EWOULDBLOCK, "%s is in use by another mintfs mount%s%s", scratch->path,
                        holder[0] ? ", process " : "", holder);
    }
    char pid[16];
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if (r == 0)
        r = lock_describe(&scratch->lock, pid);
    return r < 0 ? log_errno(r, "cannot lock %s", scratch->path) : 0;
}

static int open_owners(const struct scratch *scratch, struct owners **ret_owners)
{
    AUTO_FD int fd = io_openat(scratch->dirfd, "owners", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0)
        return log_errno(fd, "cannot make %s/owners", scratch->path);
    int r = owners_open(fd, ret_owners);
    if (r == 0)
        (void)steal_fd(&fd);
    if (r == -EPROTONOSUPPORT)
        return log_fail(EPROTONOSUPPORT,
                        "%s/owners was written by a later mintfs; use that one, or name another "
                        "place",
                        scratch->path);
    return r < 0 ? log_errno(r, "cannot read %s/owners", scratch->path) : 0;
}

static int open_blocks(struct scratch *scratch)
{
    AUTO_FD int fd = io_openat(scratch->dirfd, "blocks", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (fd < 0)
        return log_errno(fd, "cannot make %s/blocks", scratch->path);
    struct owners *owners = NULL;
    int r = open_owners(scratch, &owners);
    if (r < 0)
        return r;
    r = blocks_new(fd, owners, &scratch->blocks);
    if (r == 0)
        (void)steal_fd(&fd);
    else
        owners_free(owners);
    return r;
}

static int open_parts(struct scratch *scratch)
{
    scratch->logs_fd = dir_ensure(scratch->dirfd, "logs", 0700);
    if (scratch->logs_fd < 0)
        return log_errno(scratch->logs_fd, "cannot make %s/logs", scratch->path);
    /* On a full disk there is no reserve until space becomes free. */
    scratch->all.reserve_fd =
        io_openat(scratch->dirfd, "reserve", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (scratch->all.reserve_fd < 0)
        return log_errno(scratch->all.reserve_fd, "cannot make %s/reserve", scratch->path);
    scratch->all.reserve_spent = true;
    session_list_refill_reserve(&scratch->all);
    int r = serials_open(scratch->dirfd, &scratch->serials);
    if (r < 0)
        return log_errno(r, "cannot read %s/serials", scratch->path);
    return open_blocks(scratch);
}

static int open_scratch(struct scratch *scratch, const struct scratch_options *options)
{
    int r = boot_read_id(scratch->boot_id);
    if (r == 0)
        r = options->place ? open_named_place(scratch, options->place) : open_store_place(scratch);
    if (r == 0)
        r = check_place(scratch);
    if (r == 0)
        r = take_lock(scratch);
    /* Recorded before the first session is created: gc reads the logs to find templates in use. */
    if (r == 0 && options->place) {
        scratch->is_recorded = true;
        r = scratch_registry_add(scratch->store, scratch->path);
    }
    if (r == 0)
        r = open_parts(scratch);
    if (r == 0)
        r = scratch_recover_all(scratch);
    if (r == 0)
        r = roster_remove(scratch->dirfd);
    if (r == 0)
        r = scratch_worker_start(&scratch->worker, scratch->blocks, &scratch->all,
                                 &scratch->lowers);
    return r;
}

int scratch_open(const struct store *store, const struct scratch_options *options,
                 struct scratch **ret_scratch)
{
    struct scratch *scratch = calloc(1, sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    scratch->store = store;
    scratch->dirfd = scratch->logs_fd = scratch->serials.fd = -1;
    scratch->lock = (struct lock)LOCK_INIT;
    scratch->session_limit_blocks =
        (options->session_limit_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
    pthread_mutex_init(&scratch->mutex, NULL);
    session_table_init(&scratch->table);
    lower_cache_init(&scratch->lowers, store);
    pthread_mutex_init(&scratch->all.mutex, NULL);
    LIST_INIT(&scratch->all.sessions);
    scratch->all.reserve_fd = -1;
    scratch->all.name_lost = options->name_lost;
    scratch->all.name_lost_context = options->context;
    scratch->all.limit_blocks = (options->limit_bytes + BLOCK_SIZE_BYTES - 1) / BLOCK_SIZE_BYTES;
    int r = open_scratch(scratch, options);
    if (r < 0) {
        scratch_close(scratch);
        return r;
    }
    scratch_worker_wake(&scratch->worker);
    *ret_scratch = scratch;
    return 0;
}

/* Writes none if it would be incomplete: commands then read the logs. */
static int write_roster(const struct scratch *scratch)
{
    if (scratch->has_kept_logs || !scratch->table.sessions)
        return 0;
    struct roster roster;
    int r = roster_begin(scratch->boot_id, scratch->logs_fd, &roster);
    if (r < 0)
        return r;
    for (const struct listed_session *listed = scratch->table.sessions; listed;
         listed = listed->hh.next)
        roster_add(&roster, &(struct roster_line){
                                .key = session_key(listed->session),
                                .id = session_id(listed->session),
                                .serial = listed->session->serial,
                                .log_size_bytes = changelog_size(listed->session->log),
                            });
    return roster_finish(&roster, scratch->dirfd);
}

void scratch_close(struct scratch *scratch)
{
    if (!scratch)
        return;
    scratch_worker_stop(&scratch->worker);
    /* Under our lock, so that no other daemon starts to use it meanwhile. */
    if (scratch->is_recorded && !scratch->table.sessions &&
        scratch_registry_remove(scratch->store, scratch->path) < 0)
        log_warning("cannot remove the record of %s from the store", scratch->path);
    /* Without a roster, as on a full disk, commands read the logs. */
    if (scratch->worker.runs)
        (void)!write_roster(scratch);
    session_table_fini(&scratch->table);
    while (!LIST_EMPTY(&scratch->all.sessions))
        session_free(LIST_FIRST(&scratch->all.sessions));
    lower_cache_fini(&scratch->lowers);
    /* Not if recovery did not finish: a block that no session has claimed may then be in use. */
    if (scratch->worker.runs && blocks_wants_trim(scratch->blocks))
        blocks_trim(scratch->blocks, TRIM_AT_END_NS, NULL);
    blocks_free(scratch->blocks);
    if (scratch->logs_fd >= 0)
        (void)close(scratch->logs_fd);
    if (scratch->all.reserve_fd >= 0)
        (void)close(scratch->all.reserve_fd);
    serials_close(&scratch->serials);
    lock_release(&scratch->lock);
    if (scratch->dirfd >= 0)
        (void)close(scratch->dirfd);
    pthread_mutex_destroy(&scratch->mutex);
    pthread_mutex_destroy(&scratch->all.mutex);
    free(scratch->path);
    free(scratch);
}
