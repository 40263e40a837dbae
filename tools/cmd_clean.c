/*
 * mintfs clean: takes everything away that mintfs made in this store and around it: the mount, the
 * sessions wherever they lie, the templates, the store itself. It lists that first, and asks.
 *
 * Databases kept from failed tests (fs/client/kept_databases.h) are listed apart.
 *
 * Below the store, which must have its marker, only names that mintfs gives are removed; what else
 * lies there stays, and is said. The same goes for a scratch elsewhere.
 */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/strlist.h"
#include "fs/base/units.h"
#include "fs/client/clean_store.h"
#include "fs/client/copies.h"
#include "fs/client/daemon_control.h"
#include "fs/client/kept_databases.h"
#include "fs/client/listing.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/serve.h"
#include "fs/overlay/scratch_registry.h"
#include "fs/store/catalog.h"
#include "fs/store/in_use.h"
#include "fs/store/settings.h"
#include "tools/command.h"
#include "tools/output.h"

struct cleaning {
    bool yes;
    bool dry_run;
    struct store *store;
    struct template_listing inventory;
    size_t foreign; /* what stays, since mintfs did not put it there */
};

static void cleaning_fini(struct cleaning *cleaning)
{
    template_listing_fini(&cleaning->inventory);
    store_close(cleaning->store);
}

/* ---- what there is ---- */

/* 1: a store, 0: nothing there; -EPERM, said: something else. A store is not made for this. */
static int find_store(char **ret_path)
{
    AUTO_FREE char *path = NULL;
    int r = store_path(&path);
    if (r < 0)
        return r;
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd == -ENOENT) {
        log_info("there is no store at %s: nothing to remove", path);
        return 0;
    }
    if (fd < 0)
        return log_errno(fd, "%s", path);
    if (!store_is_marked(fd))
        return log_fail(EPERM,
                        "%s is not a store of mintfs (no file \"mintfs-store\" in it): left alone",
                        path);
    *ret_path = steal_pointer(&path);
    return 1;
}

static int list_scratch(const char *path, void *context UNUSED)
{
    char size[UNITS_TEXT_SIZE];
    output_line("scratch at %s: %s", path,
                units_format_size(template_listing_disk_bytes(AT_FDCWD, path), size));
    return 0;
}

static int list_kept(const struct kept_databases *kept, void *context UNUSED)
{
    char size[UNITS_TEXT_SIZE];
    output_line("databases of failed tests kept in %s: %zu, %s", kept->path, kept->count,
                units_format_size(kept->bytes, size));
    return 0;
}

static int list(struct cleaning *cleaning)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    struct store *store = cleaning->store;
    char size[UNITS_TEXT_SIZE];
    char templates[UNITS_TEXT_SIZE];
    char sessions[UNITS_TEXT_SIZE];
    int r = template_listing_read(store, &cleaning->inventory);
    if (r == 0)
        r = serve_find(store, &found);
    if (r < 0)
        return r;
    if (r == 1)
        output_line("mount at %s (process %d)", found.mount_point, found.pid);
    output_line(
        "store at %s: %s, %s, %s", store->path,
        units_format_count(json_array_size(cleaning->inventory.templates), "template", templates),
        units_format_count(json_array_size(cleaning->inventory.sessions), "session", sessions),
        units_format_size(template_listing_disk_bytes(AT_FDCWD, store->path), size));
    for (size_t i = 0; i < json_array_size(cleaning->inventory.sessions); i++) {
        const json_t *row = json_array_get(cleaning->inventory.sessions, i);
        const char *path = json_string_value(json_object_get(row, "path"));
        output_line("session %s%s%s", json_string_value(json_object_get(row, "id")),
                    path ? " at " : " at rest", path ? path : "");
    }
    r = scratch_registry_each(store, list_scratch, NULL);
    return r == 0 ? kept_databases_each(store, list_kept, NULL) : r;
}

static bool is_confirmed(void)
{
    char answer[16] = "";
    (void)fflush(stdout);
    (void)fputs("Remove all of it? [y/N] ", stderr);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- removing ---- */

static int check_build(int locks_fd, const char *name, unsigned char type UNUSED,
                       void *context UNUSED)
{
    char holder[64] = "";
    if (strncmp(name, "build-", 6) != 0 || lock_holder(locks_fd, name, holder, sizeof(holder)) != 1)
        return 0;
    return log_fail(EBUSY, "template %.12s is being built%s%s: wait for it, or end it", name + 6,
                    holder[0] ? " by " : "", holder);
}

static int unmount(const struct store *store)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    int r = serve_find(store, &found);
    if (r == 0)
        r = serve_find_dead(store, &found.mount_point);
    return r <= 0 ? r : daemon_take_away(store, found.mount_point);
}

static int remove_copies(const struct cleaning *cleaning)
{
    const json_t *rows = cleaning->inventory.sessions;
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (strcmp(json_string_value(json_object_get(row, "state")), "copy") != 0)
            continue;
        r = copies_remove(cleaning->store, json_string_value(json_object_get(row, "key")),
                          json_string_value(json_object_get(row, "id")));
        r = r == -ENOENT ? 0 : r;
    }
    return r;
}

static int remove_scratch(const char *path, size_t *foreign)
{
    char holder[64];
    struct stat status;
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return log_errno(fd, "%s", path);
    if (fstatat(fd, "mintfs-scratch", &status, AT_SYMLINK_NOFOLLOW) < 0) {
        log_warning("%s is no scratch of mintfs any more: left alone", path);
        return 0;
    }
    if (lock_holder(fd, "lock", holder, sizeof(holder)) == 1)
        return log_fail(EBUSY, "%s is in use by another mintfs mount, process %s", path, holder);
    size_t before = *foreign;
    int r = clean_scratch(fd, path, foreign);
    if (r == 0 && *foreign == before && rmdir(path) < 0)
        log_warning("%s stays: %s", path, strerror(errno));
    return r;
}

static int add_path(const char *path, void *paths)
{
    return strlist_add(paths, path);
}

/* A mount that ends without sessions strikes its scratch off the store's list, but leaves the
 * directory: `listed` has those that were on it before. */
static int remove_scratches(struct cleaning *cleaning, struct strlist *listed)
{
    int r = scratch_registry_each(cleaning->store, add_path, listed);
    for (size_t i = 0; r == 0 && i < listed->count; i++)
        r = remove_scratch(listed->items[i], &cleaning->foreign);
    return r;
}

/* A directory that only mintfs can have made, when it is empty. */
static void remove_mount_point(void)
{
    struct setting_value value;
    AUTO_FREE char *path = NULL;
    bool in_tmp;
    if (settings_get(SETTING_MOUNT, &value) == 0 && !value.text &&
        mountpoint_default_path(&path, &in_tmp) == 0 && rmdir(path) < 0 && errno != ENOENT)
        log_info("%s stays: %s", path, strerror(errno));
}

static int remove_all(struct cleaning *cleaning)
{
    struct store *store = cleaning->store;
    AUTO_STRLIST struct strlist scratches = STRLIST_INIT;
    int r = dir_each(store->locks_fd, check_build, NULL);
    if (r == 0)
        r = scratch_registry_each(store, add_path, &scratches);
    if (r == 0)
        r = unmount(store);
    /* From here on nobody else has it open: no build, no mount, no session that is being made. */
    if (r == 0)
        r = in_use_claim(store->fd, store->path);
    if (r == -ESTALE) {
        log_info("another process has removed the store %s meanwhile", store->path);
        return 0;
    }
    /* What there is now, and not when it was listed. */
    template_listing_fini(&cleaning->inventory);
    if (r == 0)
        r = template_listing_read(store, &cleaning->inventory);
    progress_start("removing", 0);
    if (r == 0)
        r = remove_copies(cleaning);
    if (r == 0)
        r = remove_scratches(cleaning, &scratches);
    if (r == 0)
        r = kept_databases_remove(store);
    catalog_close(store->catalog);
    if (r == 0)
        r = clean_store(store, &cleaning->foreign);
    progress_stop();
    if (r == 0)
        remove_mount_point();
    return r;
}

static int clean(struct cleaning *cleaning)
{
    AUTO_FREE char *path = NULL;
    int r = find_store(&path);
    if (r <= 0)
        return r;
    r = store_open(&cleaning->store);
    if (r == 0)
        r = list(cleaning);
    if (r < 0 || cleaning->dry_run)
        return r;
    if (!cleaning->yes && !isatty(STDIN_FILENO))
        return log_fail(EINVAL, "clean asks before it removes anything: run it in a terminal, or "
                                "say --yes");
    if (!cleaning->yes && !is_confirmed()) {
        log_info("nothing was removed");
        return -ECANCELED;
    }
    (void)fflush(stdout);
    r = remove_all(cleaning);
    if (r < 0)
        return r;
    if (cleaning->foreign)
        return log_fail(ENOTEMPTY, "removed all but what mintfs did not put there");
    log_info("removed");
    return 0;
}

int cmd_clean(int argc, char **argv)
{
    static const struct option options[] = {{"yes", no_argument, NULL, 'y'},
                                            {"dry-run", no_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    CLEANUP(cleaning_fini) struct cleaning cleaning = {.yes = false};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "ydh", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        if (option == '?')
            return command_bad_option(argv[0], "", argv);
        *(option == 'y' ? &cleaning.yes : &cleaning.dry_run) = true;
    }
    if (optind < argc)
        return command_usage(argv[0], "takes no operand: %s; mintfs evict removes one template",
                             argv[optind]);
    int r = clean(&cleaning);
    return r < 0 ? command_status(r) : command_flush();
}
