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

typedef bool knower(const char *name);

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

static bool knows_work(const char *name)
{
    char key[SHA256_HEX_LENGTH + 1];
    (void)snprintf(key, sizeof(key), "%s", name);
    return strlen(name) > SHA256_HEX_LENGTH && name[SHA256_HEX_LENGTH] == '.' && sha256_is_hex(key);
}

static bool knows_record(const char *name)
{
    return is_serial(name, strlen(name));
}

static bool knows_log(const char *name)
{
    size_t length = strlen(name);
    static const char *const tails[] = {".new", ".damaged"};
    for (size_t i = 0; i < ARRAY_LENGTH(tails); i++)
        if (length > strlen(tails[i]) && !strcmp(name + length - strlen(tails[i]), tails[i]))
            return is_serial(name, length - strlen(tails[i]));
    return is_serial(name, length);
}

static bool knows_copy(const char *name)
{
    return sha256_is_hex(name) || has_prefix(name, ".unfinished-") || has_prefix(name, ".lease-") ||
           !strcmp(name, COPY_OWNERS);
}

static const char scratch_marker[] = "mintfs-scratch";

static bool knows_scratch_file(const char *name)
{
    static const char *const names[] = {"blocks",     "owners",  "reserve", "roster",
                                        "roster.new", "serials", "lock",    scratch_marker};
    return is_one_of(name, names, ARRAY_LENGTH(names));
}

static bool knows_catalog_file(const char *name)
{
    static const char *const names[] = {"catalog.db", "catalog.db-journal", "catalog.db.new",
                                        "catalog.db.new-journal"};
    return is_one_of(name, names, ARRAY_LENGTH(names));
}

/* A file that dir_write_file() was killed over: .NAME.NUMBER.tmp */
static bool knows_unfinished(const char *name, knower *knows)
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
    return knows(inner);
}

/* ---- directories of them ---- */

struct clearing {
    knower *knows;
    const char *shown;
    size_t foreign;
};

static int say_foreign(struct clearing *clearing, const char *name)
{
    log_warning("%s/%s stays: mintfs did not put it there", clearing->shown, name);
    clearing->foreign++;
    return 0;
}

static int clear_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct clearing *clearing = context;
    if (!clearing->knows(name) && !knows_unfinished(name, clearing->knows))
        return say_foreign(clearing, name);
    int r = dir_remove_tree(dirfd, name);
    progress_add(1);
    return r < 0 ? log_errno(r, "cannot remove %s/%s", clearing->shown, name) : 0;
}

static int clear(int fd, const char *shown, knower *knows, size_t *foreign)
{
    struct clearing clearing = {.knows = knows, .shown = shown};
    int r = dir_each(fd, clear_entry, &clearing);
    *foreign += clearing.foreign;
    return r;
}

/* The directory NAME with what `empty` takes away of it; it stays if something else is in it. */
typedef int emptier(int fd, const char *shown, knower *knows, size_t *foreign);
static int take_apart(int dirfd, const char *parent, const char *name, emptier *empty,
                      knower *knows, size_t *foreign)
{
    size_t before = *foreign;
    AUTO_FREE char *shown = text_format("%s/%s", parent, name);
    if (!shown)
        return -ENOMEM;
    AUTO_FD int fd = dir_open_to_empty(dirfd, name);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return log_errno(fd, "cannot remove %s", shown);
    int r = empty(fd, shown, knows, foreign);
    if (r < 0 || *foreign > before)
        return r;
    r = io_unlinkat(dirfd, name, AT_REMOVEDIR);
    return r < 0 && r != -ENOENT ? log_errno(r, "cannot remove %s", shown) : 0;
}

/* What is in its logs has been reported before. */
static int clear_beside_logs(int dirfd, const char *name, unsigned char type, void *context)
{
    bool is_later = !strcmp(name, "logs") || !strcmp(name, scratch_marker);
    return is_later ? 0 : clear_entry(dirfd, name, type, context);
}

/* The marker is removed last: without it, what a killed clean leaves could never be mounted again.
 */
static int clear_scratch(int fd, const char *shown, knower *knows, size_t *foreign)
{
    struct clearing clearing = {.knows = knows, .shown = shown};
    size_t before = *foreign;
    int r = take_apart(fd, shown, "logs", clear, knows_log, foreign);
    if (r == 0)
        r = dir_each(fd, clear_beside_logs, &clearing);
    *foreign += clearing.foreign;
    return r < 0 || *foreign > before ? r : clear_entry(fd, scratch_marker, DT_REG, &clearing);
}

int clean_scratch(int fd, const char *path, size_t *foreign)
{
    return clear_scratch(fd, path, knows_scratch_file, foreign);
}

/* ---- the store ---- */

static const struct {
    const char *name;
    emptier *empty;
    knower *knows;
} parts[] = {
    {"sessions", clear_scratch, knows_scratch_file},
    {"copies", clear, knows_copy},
    {"kept", clear, knows_record},
    {"scratches", clear, knows_record},
    {"pins", clear, sha256_is_hex},
    {"building", clear, knows_work},
    {"templates", clear, sha256_is_hex},
    {"locks", clear, lock_name_is_known},
};

static bool knows_part(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
        if (!strcmp(name, parts[i].name))
            return true;
    return false;
}

/* What is in a part is reported with it. */
static int clear_rest(int dirfd, const char *name, unsigned char type, void *context)
{
    return knows_part(name) ? 0 : clear_entry(dirfd, name, type, context);
}

/* What cannot be renamed is removed where it is. */
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

/* As in eviction: a template is there whole or not at all, also when clean is killed. */
static int set_templates_aside(int fd)
{
    AUTO_FD int templates_fd = io_openat(fd, "templates", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    AUTO_FD int building_fd = io_openat(fd, "building", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return templates_fd < 0 || building_fd < 0 ? 0
                                               : dir_each(templates_fd, set_aside, &building_fd);
}

/* The catalog is removed first: it can be rebuilt from the templates that are left. */
static int clear_v1(int fd, const char *shown, knower *knows, size_t *foreign)
{
    struct clearing clearing = {.knows = knows, .shown = shown};
    int r = dir_each(fd, clear_rest, &clearing);
    if (r == 0)
        r = set_templates_aside(fd);
    for (size_t i = 0; r == 0 && i < ARRAY_LENGTH(parts); i++)
        r = take_apart(fd, shown, parts[i].name, parts[i].empty, parts[i].knows, foreign);
    *foreign += clearing.foreign;
    return r;
}

static const char *const markers[] = {"CACHEDIR.TAG", "mintfs-store"};

static int find_foreign(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                        void *context)
{
    bool is_ours = is_one_of(name, markers, ARRAY_LENGTH(markers)) || !strcmp(name, "v1");
    return is_ours ? 0 : say_foreign(context, name);
}

static int remove_markers(int fd, const char *path)
{
    for (size_t i = 0; i < ARRAY_LENGTH(markers); i++) {
        int r = io_unlinkat(fd, markers[i], 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "%s/%s", path, markers[i]);
    }
    /* Not empty: a process that waits for the end of this has begun a new store. */
    if (rmdir(path) < 0 && errno != ENOTEMPTY && errno != EEXIST)
        log_warning("%s stays: %s", path, strerror(errno));
    return 0;
}

int clean_store(const struct store *store, size_t *foreign)
{
    struct clearing top = {.shown = store->path};
    size_t before = *foreign;
    AUTO_FD int fd = io_openat(AT_FDCWD, store->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return log_errno(fd, "%s", store->path);
    int r = take_apart(fd, store->path, "v1", clear_v1, knows_catalog_file, foreign);
    if (r == 0)
        r = dir_each(fd, find_foreign, &top);
    *foreign += top.foreign;
    return r < 0 || *foreign > before ? r : remove_markers(fd, store->path);
}
