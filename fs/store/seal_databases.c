#include "fs/store/seal_databases.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/store/interrupt.h"
#include "fs/store/seal_postgres.h"
#include "fs/store/seal_sqlite.h"

/* The database itself, and what SQLite keeps beside it. */
static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
enum { SUFFIX_COUNT = ARRAY_LENGTH(suffixes), NAME_SIZE = 32 };

struct pass {
    const struct seal_found *found;
    struct strlist damaged; /* "PATH: DAMAGE" of databases that may be fixtures */
    size_t good_count;
};

static void pass_fini(struct pass *pass)
{
    strlist_fini(&pass->damaged);
}

static char *with_suffix(const char *path, size_t suffix)
{
    char *text;
    return asprintf(&text, "%s%s", path, suffixes[suffix]) < 0 ? NULL : text;
}

static int add_warning(const struct seal_found *found, const char *path, const char *text)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", path, text) < 0)
        return -ENOMEM;
    printable_clean(line);
    log_warning("%s", line);
    return strlist_take(found->warnings, line);
}

/* SQLite is done with them. A database of its own that has such a name stays. */
static int remove_side_files(const struct seal_found *found, const char *path)
{
    for (size_t i = 1; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
        if (!side)
            return -ENOMEM;
        if (seal_sqlite_detect(found->files_fd, side, &header) == 0 &&
            header.kind != SQLITE_KIND_NONE)
            continue;
        int r = io_unlinkat(found->files_fd, side, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", side);
    }
    return 0;
}

/* ---- a database as it was ---- */

static void name_copy(char name[NAME_SIZE], size_t suffix)
{
    (void)snprintf(name, NAME_SIZE, ".mintfs-seal-%zu.tmp", suffix);
}

static int copy_one(const struct seal_found *found, const char *path, size_t suffix)
{
    AUTO_FREE char *from_path = with_suffix(path, suffix);
    char name[NAME_SIZE];
    name_copy(name, suffix);
    if (!from_path)
        return -ENOMEM;
    AUTO_FD int from = dir_open_beneath(found->files_fd, from_path, O_RDONLY | O_NONBLOCK);
    if (from == -ENOENT)
        return 0;
    if (from < 0)
        return from;
    AUTO_FD int to = io_openat(found->files_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    return to < 0 ? to : io_copy_file(from, to);
}

static int copy_set(const struct seal_found *found, const char *path)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < SUFFIX_COUNT; i++)
        r = copy_one(found, path, i);
    return r < 0 ? log_errno(r, "sealing %s", path) : 0;
}

/* Puts the copies back, and removes what SQLite made. */
static int put_back(const struct seal_found *found, const char *path)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *to = with_suffix(path, i);
        char name[NAME_SIZE];
        name_copy(name, i);
        if (!to)
            return -ENOMEM;
        int r = io_renameat(found->files_fd, name, found->files_fd, to);
        if (r == -ENOENT)
            r = io_unlinkat(found->files_fd, to, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", to);
    }
    return 0;
}

static int drop_copies(const struct seal_found *found)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        char name[NAME_SIZE];
        name_copy(name, i);
        int r = io_unlinkat(found->files_fd, name, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing: %s", name);
    }
    return 0;
}

/* SQLite leaves the bytes of a database alone that is in rollback mode and has no side files. */
static bool will_change(const struct seal_found *found, const char *path,
                        const struct sqlite_header *header)
{
    bool changes = header->is_wal;
    for (size_t i = 1; i < SUFFIX_COUNT && !changes; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        struct stat status;
        changes = !side || fstatat(found->files_fd, side, &status, AT_SYMLINK_NOFOLLOW) == 0;
    }
    return changes;
}

/* ---- one after the other ---- */

static int log_damage(const char *line)
{
    return log_fail(EBADMSG, "builder left a broken database: %s", line);
}

/* The one that people mean is refused at once; of the others it is told in the end. */
static int take_damage(struct pass *pass, const char *path, const char *damage)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", path, damage) < 0)
        return -ENOMEM;
    if (strcmp(path, pass->found->file) != 0)
        return strlist_take(&pass->damaged, line);
    int r = log_damage(line);
    free(line);
    return r;
}

/* A transaction that began with an empty file and was never committed leaves an empty file. */
static int note_result(struct pass *pass, struct manifest_entry *entry)
{
    struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
    int r = seal_sqlite_detect(pass->found->files_fd, entry->path, &header);
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    entry->is_sqlite = header.kind == SQLITE_KIND_DATABASE;
    pass->good_count += entry->is_sqlite;
    /* build.c has a warning about the file that people mean. */
    if (entry->is_sqlite || !strcmp(entry->path, pass->found->file))
        return 0;
    return add_warning(pass->found, entry->path,
                       "it is empty: its first transaction was not committed, and is rolled back");
}

static int seal_database(struct pass *pass, struct manifest_entry *entry,
                         const struct sqlite_header *header)
{
    const struct seal_found *found = pass->found;
    AUTO_FREE char *path = NULL;
    AUTO_FREE char *damage = NULL;
    bool has_copies =
        strcmp(entry->path, found->file) != 0 && will_change(found, entry->path, header);
    if (asprintf(&path, "%s/%s", found->path, entry->path) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    int r = has_copies ? copy_set(found, entry->path) : 0;
    if (r == 0)
        r = seal_sqlite(path, entry->path, found->warnings, &entry->starts_in_wal, &damage);
    if (r == -EBADMSG) {
        r = take_damage(pass, entry->path, damage);
        return r == 0 && has_copies ? put_back(found, entry->path) : r;
    }
    if (r < 0)
        return r;
    r = remove_side_files(found, entry->path);
    if (r == 0 && has_copies)
        r = drop_copies(found);
    return r == 0 ? note_result(pass, entry) : r;
}

static int warn_of_version(const struct seal_found *found, const char *path, unsigned version)
{
    AUTO_FREE char *text = NULL;
    if (asprintf(&text,
                 "its format version is %u, which SQLite does not know: published as it is, "
                 "unchecked",
                 version) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    return add_warning(found, path, text);
}

static int seal_file(struct pass *pass, struct manifest_entry *entry)
{
    const struct seal_found *found = pass->found;
    struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
    int r = seal_sqlite_detect(found->files_fd, entry->path, &header);
    if (r == -ENOENT)
        return 0; /* a side file that is gone by now */
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    switch (header.kind) {
    case SQLITE_KIND_DATABASE:
        return seal_database(pass, entry, &header);
    case SQLITE_KIND_OF_OTHERS:
        return warn_of_version(found, entry->path, header.version);
    default:
        return seal_postgres(found->files_fd, entry->path, found->warnings);
    }
}

/* Beside the database that people mean a damaged one is a fixture; alone, it is that database. */
static int judge_damaged(const struct pass *pass)
{
    const struct seal_found *found = pass->found;
    bool has_file = pass->good_count > 0;
    for (size_t i = 0; i < found->count && !has_file; i++)
        has_file =
            found->entries[i].type == ENTRY_FILE && !strcmp(found->entries[i].path, found->file);
    if (pass->damaged.count > 0 && !has_file)
        return log_damage(pass->damaged.items[0]);
    int r = 0;
    for (size_t i = 0; r == 0 && i < pass->damaged.count; i++) {
        char *line = NULL;
        if (asprintf(&line, "a broken database is published as it is: %s", pass->damaged.items[i]) <
            0)
            return -ENOMEM;
        printable_clean(line);
        log_warning("%s", line);
        r = strlist_take(found->warnings, line);
    }
    return r;
}

int seal_databases(const struct seal_found *found)
{
    CLEANUP(pass_fini) struct pass pass = {.found = found, .damaged = STRLIST_INIT};
    int r = 0;
    for (size_t i = 0; r == 0 && i < found->count; i++)
        if (found->entries[i].type == ENTRY_FILE)
            r = interrupt_pending() ? -EINTR : seal_file(&pass, &found->entries[i]);
    return r == 0 ? judge_damaged(&pass) : r;
}
