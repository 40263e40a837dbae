#include "fs/store/seal_databases.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/store/seal_postgres.h"
#include "fs/store/seal_sqlite.h"
#include "fs/store/sqlite_header.h"
#include "fs/store/sqlite_path.h"

/* The database itself, and what SQLite keeps beside it. */
static const char *const suffixes[] = {"", SQLITE_JOURNAL_SUFFIX, SQLITE_WAL_SUFFIX,
                                       SQLITE_SHM_SUFFIX};
enum { WAL = 2, SHM = 3, SUFFIX_COUNT = ARRAY_LENGTH(suffixes) };

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

/* The file type of what has that name, as of st_mode; 0: nothing. */
static mode_t side_type(const struct seal_found *found, const char *side)
{
    struct stat status;
    return fstatat(found->files_fd, side, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_mode & S_IFMT
               : 0;
}

/* SQLite is done with them. A database of its own that has such a name stays, and so does a
 * directory. */
static int remove_side_files(const struct seal_found *found, const char *path)
{
    for (size_t i = 1; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
        if (!side)
            return -ENOMEM;
        mode_t type = side_type(found, side);
        if (type == 0 || type == S_IFDIR)
            continue;
        if (seal_sqlite_detect(found->files_fd, side, &header) == 0 &&
            header.kind != SQLITE_KIND_NONE)
            continue;
        int r = io_unlinkat(found->files_fd, side, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", side);
    }
    return 0;
}

/*
 * Names the side file that SQLite needs and cannot open, in *ret_damage. The shared memory is only
 * needed with a log.
 */
static int check_side_types(const struct seal_found *found, const char *path,
                            const struct sqlite_header *header, char **ret_damage)
{
    static const char *const uses[] = {"", "its journal", "its write-ahead log",
                                       "the index of its log"};
    bool has_log = header->is_wal;
    for (size_t i = 1; i < SUFFIX_COUNT && !*ret_damage; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        if (!side)
            return -ENOMEM;
        mode_t type = side_type(found, side);
        has_log |= i == WAL && type != 0;
        if (type == 0 || type == S_IFREG || (i == SHM && !has_log))
            continue;
        if (asprintf(ret_damage, "%s is a %s, where SQLite keeps %s", side,
                     type == S_IFDIR ? "directory" : "symbolic link", uses[i]) < 0) {
            *ret_damage = NULL;
            return -ENOMEM;
        }
    }
    return 0;
}

/* ---- a database as it was ---- */

/* In the tree's root; NULL: there was no such file. */
struct copies {
    char *names[SUFFIX_COUNT];
};

static void copies_fini(struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++)
        free(copies->names[i]);
}

static int copy_one(const struct seal_found *found, const char *path, size_t suffix,
                    struct copies *copies)
{
    AUTO_FREE char *from_path = with_suffix(path, suffix);
    if (!from_path)
        return -ENOMEM;
    if (side_type(found, from_path) != S_IFREG)
        return 0;
    AUTO_FD int from = dir_open_beneath(found->files_fd, from_path, O_RDONLY | O_NONBLOCK);
    if (from < 0)
        return from;
    AUTO_FD int to =
        dir_create_beside(found->files_fd, "database", SEAL_MARK, 0600, &copies->names[suffix]);
    return to < 0 ? to : io_copy_file(from, to);
}

static int copy_set(const struct seal_found *found, const char *path, struct copies *copies)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < SUFFIX_COUNT; i++)
        r = copy_one(found, path, i, copies);
    return r < 0 ? log_errno(r, "sealing %s", path) : 0;
}

/* Puts the copies back, and removes what SQLite made. */
static int put_back(const struct seal_found *found, const char *path, const struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *to = with_suffix(path, i);
        int r = 0;
        if (!to)
            return -ENOMEM;
        if (copies->names[i])
            r = io_renameat(found->files_fd, copies->names[i], found->files_fd, to);
        else if (side_type(found, to) == S_IFREG)
            r = io_unlinkat(found->files_fd, to, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", to);
    }
    return 0;
}

static int drop_copies(const struct seal_found *found, const struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        int r = copies->names[i] ? io_unlinkat(found->files_fd, copies->names[i], 0) : 0;
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing: %s", copies->names[i]);
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
        changes = !side || side_type(found, side) != 0;
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
    AUTO_SQLITE_PATH struct sqlite_path path = SQLITE_PATH_INIT;
    AUTO_FREE char *damage = NULL;
    CLEANUP(copies_fini) struct copies copies = {.names = {NULL}};
    int r = check_side_types(found, entry->path, header, &damage);
    if (r < 0 || damage)
        return r < 0 ? r : take_damage(pass, entry->path, damage);
    r = sqlite_path_find(found->files_fd, found->path, entry->path, &path);
    if (r == -ENAMETOOLONG)
        return add_warning(found, entry->path,
                           "its path is too long for SQLite: published as it is, unchecked");
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    bool has_copies =
        strcmp(entry->path, found->file) != 0 && will_change(found, entry->path, header);
    r = has_copies ? copy_set(found, entry->path, &copies) : 0;
    if (r == 0)
        r = seal_sqlite(path.text, entry->path, found->warnings, &entry->starts_in_wal, &damage);
    if (r == -EBADMSG) {
        r = take_damage(pass, entry->path, damage);
        return r == 0 && has_copies ? put_back(found, entry->path, &copies) : r;
    }
    if (r == 0)
        r = remove_side_files(found, entry->path);
    if (r == 0)
        r = drop_copies(found, &copies);
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
