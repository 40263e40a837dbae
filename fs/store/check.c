#include "fs/store/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/dir.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/foreign.h"
#include "fs/store/gc.h"
#include "fs/store/lock_names.h"
#include "fs/store/pin.h"
#include "fs/store/template.h"

struct check {
    const struct store *store;
    const struct check_options *options;
    struct check_result result;
    struct strlist keys;
    struct strlist damaged;
    struct strlist unreadable; /* or of a later mintfs: cannot be repaired here */
    struct strlist known;      /* keys in the catalog */
    struct strlist gone;       /* keys in the catalog that the store does not have */
};

static void check_fini(struct check *check)
{
    strlist_fini(&check->keys);
    strlist_fini(&check->damaged);
    strlist_fini(&check->unreadable);
    strlist_fini(&check->gone);
    strlist_fini(&check->known);
}

static void report_finding(struct check *check, const struct check_finding *finding)
{
    check->result.problems++;
    check->result.unrepaired += !finding->is_repaired;
    check->options->report(finding, check->options->context);
}

static void report(struct check *check, enum check_problem problem, const char *what,
                   const char *key, bool is_repaired)
{
    const struct check_finding finding = {
        .problem = problem, .what = what, .key = key, .is_repaired = is_repaired};
    report_finding(check, &finding);
}

/* ---- templates ---- */

static int check_sizes(const struct template *template, const char *path)
{
    for (size_t i = 0; i < template->manifest->entry_count; i++) {
        const struct manifest_entry *entry = &template->manifest->entries[i];
        struct stat status;
        AUTO_FD int fd = dir_open_beneath(template->files_fd, entry->path, O_PATH | O_NOFOLLOW);
        mode_t type = entry->type == ENTRY_FILE        ? S_IFREG
                      : entry->type == ENTRY_DIRECTORY ? S_IFDIR
                                                       : S_IFLNK;
        if (fd < 0 || fstat(fd, &status) < 0)
            return log_fail(EBADMSG, "%s/files/%s: %s: the template is damaged", path, entry->path,
                            fd < 0 ? strerror(-fd) : strerror(errno));
        if ((status.st_mode & S_IFMT) != type ||
            (type == S_IFREG && (uint64_t)status.st_size != entry->size_bytes))
            return log_fail(EBADMSG,
                            "%s/files/%s: its type or size differs from the manifest: the "
                            "template is damaged",
                            path, entry->path);
    }
    return 0;
}

/* Whether files/ is this user's own and cannot be read all the same. */
static bool own_files_are_denied(const struct store *store, const char *key)
{
    struct stat status;
    char path[SHA256_HEX_LENGTH + sizeof("/files")];
    (void)snprintf(path, sizeof(path), "%s/files", key);
    return fstatat(store->templates_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_uid == geteuid() &&
           faccessat(store->templates_fd, path, R_OK | X_OK, AT_EACCESS) < 0 && errno == EACCES;
}

/* -EBADMSG: damaged; -ENOENT: removed meanwhile. Other errors are logged too. */
static int check_template(struct check *check, const char *key)
{
    const struct store *store = check->store;
    AUTO_TEMPLATE struct template *template = NULL;
    AUTO_FREE char *path = template_path(store, key);
    if (!path)
        return -ENOMEM;
    int r = template_open_unverified(store, key, &template);
    if (r == -EACCES && own_files_are_denied(store, key))
        r = -EBADMSG;
    if (r == 0)
        r = check->options->contents ? template_verify(store, template, NULL)
                                     : check_sizes(template, path);
    if (r == 0 && check->options->contents)
        check->result.read_bytes += manifest_size_bytes(template->manifest);
    /* A template that was evicted while it was read is not damaged. */
    return r == -EBADMSG && !template_exists(store, key) ? -ENOENT : r;
}

static int add_key(const char *key, const char *same UNUSED, void *context)
{
    return strlist_add(context, key);
}

static uint64_t bytes_to_read(const struct check *check)
{
    uint64_t bytes = 0;
    int64_t oldest = 0;
    return catalog_totals(check->store->catalog, &bytes, &oldest) == 0 ? bytes : 0;
}

static int check_templates(struct check *check)
{
    bool contents = check->options->contents;
    int r = 0;
    progress_start(contents ? "verifying, bytes" : "verifying",
                   contents ? bytes_to_read(check) : check->keys.count);
    for (size_t i = 0; r == 0 && i < check->keys.count; i++) {
        const char *key = check->keys.items[i];
        r = check_template(check, key);
        if (!contents)
            progress_add(1);
        if (r == -EBADMSG)
            r = strlist_add(&check->damaged, key);
        else if (r == -ENOENT)
            r = 0;
        else if (r < 0 && r != -ENOMEM && r != -EINTR)
            r = strlist_add(&check->unreadable, key);
    }
    progress_stop();
    return r;
}

/* A damaged template is evicted, so that the next build makes it again, unless a session uses
 * it. */
static int repair_damaged(struct check *check)
{
    size_t count = check->damaged.count;
    bool repair = check->options->repair;
    AUTO_FREE enum gc_outcome *outcomes = calloc(count + 1, sizeof(*outcomes));
    int r = outcomes ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < check->unreadable.count; i++)
        report(check, CHECK_UNREADABLE, check->unreadable.items[i], check->unreadable.items[i],
               false);
    if (r == 0 && count && repair)
        r = gc_evict(check->store, check->options->uses, &check->damaged, outcomes);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *key = check->damaged.items[i];
        const struct check_finding finding = {
            .problem = CHECK_DAMAGED,
            .what = key,
            .key = key,
            .is_repaired = repair && (outcomes[i] == GC_EVICTED || outcomes[i] == GC_GONE),
            .outcome = outcomes[i],
        };
        report_finding(check, &finding);
    }
    return r;
}

/* Whether a process builds the key, which may put a damaged template aside first. */
static bool is_being_built(const struct check *check, const char *key)
{
    char lock_name[KEY_LOCK_NAME_SIZE];
    char holder[64];
    lock_name_for_build(key, lock_name);
    return lock_holder(check->store->locks_fd, lock_name, holder, sizeof(holder)) == 1;
}

/* ---- the catalog ---- */

/* Looks again after the lock: a build that has just ended has published the template. */
static bool is_gone(const struct check *check, const char *key)
{
    return !template_exists(check->store, key) && !is_being_built(check, key) &&
           !template_exists(check->store, key);
}

static bool is_reported(const struct check *check, const char *key)
{
    return strlist_contains(&check->damaged, key) || strlist_contains(&check->unreadable, key);
}

/* Checks the columns that the manifest and the pin determine. */
static int check_columns(struct check *check, const struct catalog_row *row)
{
    const struct store *store = check->store;
    bool repair = check->options->repair;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (is_reported(check, row->key))
        return 0;
    /* Removed or damaged since it was checked: the next check reports it. */
    if (template_read_manifest(store, row->key, &manifest) < 0)
        return 0;
    if (row->size_bytes == manifest_size_bytes(manifest) && !strcmp(row->file, manifest->file) &&
        row->created_ns == manifest->created_ns && row->build_time_ns == manifest->build_time_ns &&
        row->pinned == pin_exists(store, row->key))
        return 0;
    report(check, CHECK_STALE, row->key, row->key, repair);
    return repair ? catalog_refresh(store->catalog, manifest) : 0;
}

static int check_row(const struct catalog_row *row, void *context)
{
    struct check *check = context;
    int r;
    if (is_gone(check, row->key)) {
        report(check, CHECK_GONE, row->key, row->key, check->options->repair);
        r = strlist_add(&check->gone, row->key);
    } else {
        r = check_columns(check, row);
    }
    return r < 0 ? r : strlist_add(&check->known, row->key);
}

static int check_name(const char *name, const char *key, void *context)
{
    struct check *check = context;
    bool repair = check->options->repair;
    if (strlist_contains(&check->gone, key) || !is_gone(check, key))
        return 0;
    report(check, CHECK_NAME, name, key, repair);
    return repair ? catalog_name(check->store->catalog, name, NULL) : 0;
}

static int add_row(const struct catalog_row *row, void *context)
{
    return strlist_add(context, row->key);
}

/* A builder publishes its template before it enters it in the catalog. */
static int find_unknown(const struct check *check, struct strlist *ret_unknown)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < check->keys.count; i++) {
        const char *key = check->keys.items[i];
        if (!strlist_contains(&check->known, key) && !is_reported(check, key) &&
            template_exists(check->store, key) && !is_being_built(check, key))
            r = strlist_add(ret_unknown, key);
    }
    return r;
}

/* The catalog is read again before a template is reported: its builder may have entered it
 * since. */
static int check_unknown(struct check *check)
{
    AUTO_STRLIST struct strlist unknown = STRLIST_INIT;
    AUTO_STRLIST struct strlist known_now = STRLIST_INIT;
    int r = find_unknown(check, &unknown);
    if (r == 0 && unknown.count)
        r = catalog_each(check->store->catalog, add_row, &known_now);
    for (size_t i = 0; r == 0 && i < unknown.count; i++)
        if (!strlist_contains(&known_now, unknown.items[i]))
            report(check, CHECK_UNKNOWN, unknown.items[i], unknown.items[i],
                   check->options->repair);
    return r;
}

static int check_catalog(struct check *check)
{
    struct catalog *catalog = check->store->catalog;
    /* Eviction removes templates from the directory first and then from the catalog. */
    AUTO_LOCK struct lock evicting = LOCK_INIT;
    AUTO_LOCK struct lock pinning = LOCK_INIT;
    int r = gc_lock(check->store, &evicting);
    if (r == 0)
        r = pin_lock(check->store, &pinning);
    if (r == 0)
        r = catalog_each(catalog, check_row, check);
    if (r == 0)
        r = catalog_each_name(catalog, check_name, check);
    if (r == 0)
        r = check_unknown(check);
    lock_release(&pinning);
    return r == 0 && check->options->repair ? catalog_reconcile(catalog) : r;
}

/* ---- building/, and other users' templates ---- */

static int check_leftover(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct check *check = context;
    struct stat status;
    char key[SHA256_HEX_LENGTH + 1];
    (void)snprintf(key, sizeof(key), "%s", name);
    if (sha256_is_hex(key) && is_being_built(check, key))
        return 0;
    /* A build that has ended since the directory was read has published or removed its work. */
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    bool is_work = sha256_is_hex(key) && name[SHA256_HEX_LENGTH] == '.';
    report(check, CHECK_LEFTOVER, name, NULL, check->options->repair && is_work);
    return 0;
}

static int check_leftovers(struct check *check)
{
    /* Eviction moves templates to building/ before it removes them. */
    AUTO_LOCK struct lock evicting = LOCK_INIT;
    int r = gc_lock(check->store, &evicting);
    if (r < 0)
        return r;
    r = dir_each(check->store->building_fd, check_leftover, check);
    if (r < 0)
        return store_log_error(check->store->path, r, "v1/building");
    if (check->options->repair)
        build_leftovers_sweep(check->store, NULL);
    return 0;
}

static int check_foreign(struct check *check)
{
    struct foreign foreign;
    int r = foreign_find(check->store, "", &foreign);
    if (r < 0 || !foreign.count)
        return r;
    (void)foreign_log(check->store, &foreign);
    report(check, CHECK_FOREIGN, foreign.key, foreign.key, false);
    return 0;
}

int check_store(const struct store *store, const struct check_options *options,
                struct check_result *ret_result)
{
    CLEANUP(check_fini) struct check check = {.store = store, .options = options};
    bool whole = !options->keys;
    int r = 0;
    for (size_t i = 0; r == 0 && !whole && i < options->keys->count; i++)
        r = strlist_add(&check.keys, options->keys->items[i]);
    if (whole)
        r = template_each_key(store, add_key, &check.keys);
    check.result.templates = check.keys.count;
    if (r == 0)
        r = check_templates(&check);
    if (r == 0 && whole)
        r = check_catalog(&check);
    if (r == 0)
        r = repair_damaged(&check);
    if (r == 0 && whole)
        r = check_leftovers(&check);
    if (r == 0 && whole)
        r = check_foreign(&check);
    if (r == 0)
        *ret_result = check.result;
    return r;
}
