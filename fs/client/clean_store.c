#include "fs/client/clean_store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/sha256.h"
#include "fs/base/text.h"
#include "fs/client/copy_lease.h"
#include "fs/store/lock_names.h"

/* Whether a name is one that mintfs gives. */
typedef bool name_test(const char *name);

/* ---- the names that mintfs gives ---- */

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_serial(const char *name, size_t length)
{
    enum { DIGITS = 16 };
    return length == DIGITS && strspn(name, "0123456789abcdef") >= DIGITS;
}

static bool is_work(const char *name)
{
    char key[SHA256_HEX_LENGTH + 1];
    (void)snprintf(key, sizeof(key), "%s", name);
    return strlen(name) > SHA256_HEX_LENGTH && name[SHA256_HEX_LENGTH] == '.' && sha256_is_hex(key);
}

static bool is_record(const char *name)
{
    return is_serial(name, strlen(name));
}

static bool is_log(const char *name)
{
    size_t length = strlen(name);
    static const char *const tails[] = {".new", ".damaged"};
    for (size_t i = 0; i < ARRAY_LENGTH(tails); i++)
        if (length > strlen(tails[i]) && !strcmp(name + length - strlen(tails[i]), tails[i]))
            return is_serial(name, length - strlen(tails[i]));
    return is_serial(name, length);
}

static bool is_copy(const char *name)
{
    return sha256_is_hex(name) || has_prefix(name, ".unfinished-") || has_prefix(name, ".lease-") ||
           !strcmp(name, COPY_OWNERS);
}

static const char scratch_marker[] = "mintfs-scratch";

static bool is_scratch_file(const char *name)
{
    static const char *const names[] = {"blocks",     "owners",  "reserve", "roster",
                                        "roster.new", "serials", "lock",    scratch_marker};
    return is_one_of(name, names, ARRAY_LENGTH(names));
}

static bool is_catalog_file(const char *name)
{
    static const char *const names[] = {"catalog.db", "catalog.db-journal", "catalog.db.new",
                                        "catalog.db.new-journal"};
    return is_one_of(name, names, ARRAY_LENGTH(names));
}

/* A file that dir_write_file() left when it was killed: .NAME.NUMBER.tmp */
static bool is_unfinished(const char *name, name_test *is_known)
{
    static const char tail[] = ".tmp";
    AUTO_FREE char *inner = name[0] == '.' ? strdup(name + 1) : NULL;
    char *end = inner ? strrchr(inner, '.') : NULL;
    if (!end || strcmp(end, tail) != 0)
        return false;
    *end = '\0';
    end = strrchr(inner, '.');
    if (!end || !end[1] || end[1 + strspn(end + 1, "0123456789")])
        return false;
    *end = '\0';
    return is_known(inner);
}

/* ---- emptying a directory ---- */

struct clearing {
    name_test *is_known;
    const char *path;
    size_t foreign;
};

static int log_foreign(struct clearing *clearing, const char *name)
{
    log_warning("%s/%s stays: mintfs did not put it there", clearing->path, name);
    clearing->foreign++;
    return 0;
}

static int clear_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct clearing *clearing = context;
    if (!clearing->is_known(name) && !is_unfinished(name, clearing->is_known))
        return log_foreign(clearing, name);
    int r = dir_remove_tree(dirfd, name);
    progress_add(1);
    return r < 0 ? log_errno(r, "cannot remove %s/%s", clearing->path, name) : 0;
}

static int clear(int fd, const char *path, name_test *is_known, size_t *foreign)
{
    struct clearing clearing = {.is_known = is_known, .path = path};
    int r = dir_each(fd, clear_entry, &clearing);
    *foreign += clearing.foreign;
    return r;
}

/* Removes the directory NAME after `empty` has emptied it. It stays if it has foreign entries. */
typedef int emptier(int fd, const char *path, name_test *is_known, size_t *foreign);
static int remove_emptied(int dirfd, const char *parent, const char *name, emptier *empty,
                          name_test *is_known, size_t *foreign)
{
    size_t before = *foreign;
    AUTO_FREE char *path = text_format("%s/%s", parent, name);
    if (!path)
        return -ENOMEM;
    AUTO_FD int fd = dir_open_to_empty(dirfd, name);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return log_errno(fd, "cannot remove %s", path);
    int r = empty(fd, path, is_known, foreign);
    if (r < 0 || *foreign > before)
        return r;
    r = io_unlinkat(dirfd, name, AT_REMOVEDIR);
    return r < 0 && r != -ENOENT ? log_errno(r, "cannot remove %s", path) : 0;
}

/* Foreign entries in logs/ have been reported before. */
static int clear_beside_logs(int dirfd, const char *name, unsigned char type, void *context)
{
    bool is_later = !strcmp(name, "logs") || !strcmp(name, scratch_marker);
    return is_later ? 0 : clear_entry(dirfd, name, type, context);
}

/*
 * Removes the marker last: without it, a scratch that was left by a killed clean could never be
 * mounted again.
 */
static int clear_scratch(int fd, const char *path, name_test *is_known, size_t *foreign)
{
    struct clearing clearing = {.is_known = is_known, .path = path};
    size_t before = *foreign;
    int r = remove_emptied(fd, path, "logs", clear, is_log, foreign);
    if (r == 0)
        r = dir_each(fd, clear_beside_logs, &clearing);
    *foreign += clearing.foreign;
    return r < 0 || *foreign > before ? r : clear_entry(fd, scratch_marker, DT_REG, &clearing);
}

int clean_scratch(int fd, const char *path, size_t *foreign)
{
    return clear_scratch(fd, path, is_scratch_file, foreign);
}

/* ---- the store ---- */

static const struct {
    const char *name;
    emptier *empty;
    name_test *is_known;
} parts[] = {
    {"sessions", clear_scratch, is_scratch_file},
    {"copies", clear, is_copy},
    {"kept", clear, is_record},
    {"scratches", clear, is_record},
    {"pins", clear, sha256_is_hex},
    {"building", clear, is_work},
    {"templates", clear, sha256_is_hex},
    {"locks", clear, lock_name_is_known},
};

static bool is_part(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        if (!strcmp(name, parts[i].name))
            return true;
    return false;
}

/* The parts, which report their own foreign entries, are removed later. */
static int clear_rest(int dirfd, const char *name, unsigned char type, void *context)
{
    return is_part(name) ? 0 : clear_entry(dirfd, name, type, context);
}

/* A template that cannot be renamed is removed where it is. */
static int set_aside(int templates_fd, const char *name, unsigned char type UNUSED, void *context)
{
    const int *building_fd = context;
    uint32_t random;
    char aside[SHA256_HEX_LENGTH + sizeof(".01234567")];
    if (!sha256_is_hex(name) || getrandom(&random, sizeof(random), 0) < 0)
        return 0;
    (void)snprintf(aside, sizeof(aside), "%s.%08x", name, random);
    int r = io_renameat_new(templates_fd, name, *building_fd, aside);
    return r == -ENOMEM ? r : 0;
}

/* As in eviction: even if clean is killed, each template is complete or does not exist. */
static int set_templates_aside(int fd)
{
    AUTO_FD int templates_fd = io_openat(fd, "templates", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    AUTO_FD int building_fd = io_openat(fd, "building", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return templates_fd < 0 || building_fd < 0 ? 0
                                               : dir_each(templates_fd, set_aside, &building_fd);
}

/* Removes the catalog first: it can be rebuilt from the templates that are left. */
static int clear_v1(int fd, const char *path, name_test *is_known, size_t *foreign)
{
    struct clearing clearing = {.is_known = is_known, .path = path};
    int r = dir_each(fd, clear_rest, &clearing);
    if (r == 0)
        r = set_templates_aside(fd);
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(parts); i++)
        r = remove_emptied(fd, path, parts[i].name, parts[i].empty, parts[i].is_known, foreign);
    *foreign += clearing.foreign;
    return r;
}

static const char *const markers[] = {"CACHEDIR.TAG", "mintfs-store"};

static int find_foreign(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                        void *context)
{
    bool is_ours = is_one_of(name, markers, ARRAY_LENGTH(markers)) || !strcmp(name, "v1");
    return is_ours ? 0 : log_foreign(context, name);
}

static int remove_markers(int fd, const char *path)
{
    for (size_t i = 0; i < ARRAY_LENGTH(markers); i++) {
        int r = io_unlinkat(fd, markers[i], 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "%s/%s", path, markers[i]);
    }
    /* If it is not empty, a process that waited for this clean has begun a new store. */
    if (rmdir(path) < 0 && errno != ENOTEMPTY && errno != EEXIST)
        log_warning("%s stays: %s", path, strerror(errno));
    return 0;
}

int clean_store(const struct store *store, size_t *foreign)
{
    struct clearing top = {.path = store->path};
    size_t before = *foreign;
    AUTO_FD int fd = io_openat(AT_FDCWD, store->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return log_errno(fd, "%s", store->path);
    int r = remove_emptied(fd, store->path, "v1", clear_v1, is_catalog_file, foreign);
    if (r == 0)
        r = dir_each(fd, find_foreign, &top);
    *foreign += top.foreign;
    return r < 0 || *foreign > before ? r : remove_markers(fd, store->path);
}
