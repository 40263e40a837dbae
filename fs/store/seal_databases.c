#include "fs/store/seal_databases.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/base/text.h"
#include "fs/store/seal_postgres.h"
#include "fs/store/seal_sqlite.h"
#include "fs/store/sqlite_header.h"
#include "fs/store/sqlite_path.h"

/* The database itself, and what SQLite keeps beside it. */
static const char *const suffixes[] = {"", SQLITE_JOURNAL_SUFFIX, SQLITE_WAL_SUFFIX,
                                       SQLITE_SHM_SUFFIX};
enum { WAL = 2, SHM = 3, SUFFIX_COUNT = ARRAY_LENGTH(suffixes) };

struct pass {
    struct seal *seal;
    bool has_logs;          /* there is a journal or a write-ahead log in the tree */
    struct strlist damaged; /* "PATH: DAMAGE" of databases that may be fixtures */
    size_t good_count;
};

static void pass_fini(struct pass *pass)
{
    strlist_fini(&pass->damaged);
}

static char *with_suffix(const char *path, size_t suffix)
{
    return text_format("%s%s", path, suffixes[suffix]);
}

static int add_warning(struct seal *seal, const char *path, const char *text)
{
    char *line = text_format("%s: %s", path, text);
    if (!line)
        return -ENOMEM;
    printable_clean(line);
    log_warning("%s", line);
    return strlist_take(&seal->warnings, line);
}

/* The file type (S_IFMT) of `side`; 0: it does not exist. */
static mode_t side_type(struct seal *seal, const char *side)
{
    struct stat status;
    return fstatat(seal->files_fd, side, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_mode & S_IFMT
               : 0;
}

/* A database that has the name of a side file is kept, and so is a directory. */
static int remove_side_files(struct seal *seal, const char *path)
{
    for (size_t i = 1; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
        if (!side)
            return -ENOMEM;
        mode_t type = side_type(seal, side);
        if (type == 0 || type == S_IFDIR)
            continue;
        if (seal_sqlite_detect(seal->files_fd, side, &header) == 0 &&
            header.kind != SQLITE_KIND_NONE)
            continue;
        int r = io_unlinkat(seal->files_fd, side, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", side);
    }
    return 0;
}

/*
 * Sets *ret_damage if SQLite needs a side file that it cannot open. It needs the shared memory only
 * with a log.
 */
static int check_side_types(struct seal *seal, const char *path, const struct sqlite_header *header,
                            char **ret_damage)
{
    static const char *const uses[] = {"", "its journal", "its write-ahead log",
                                       "the index of its log"};
    bool has_log = header->is_wal;
    for (size_t i = 1; i < SUFFIX_COUNT && !*ret_damage; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        if (!side)
            return -ENOMEM;
        mode_t type = side_type(seal, side);
        has_log |= i == WAL && type != 0;
        if (type == 0 || type == S_IFREG || (i == SHM && !has_log))
            continue;
        *ret_damage = text_format("%s is a %s, where SQLite keeps %s", side,
                                  type == S_IFDIR ? "directory" : "symbolic link", uses[i]);
        if (!*ret_damage)
            return -ENOMEM;
    }
    return 0;
}

/* ---- a copy of the database, in case it is damaged ---- */

/* Names in the root of the tree; NULL: the database has no such file. */
struct copies {
    char *names[SUFFIX_COUNT];
};

static void copies_fini(struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++)
        free(copies->names[i]);
}

static int copy_one(struct seal *seal, const char *path, size_t suffix, struct copies *copies)
{
    AUTO_FREE char *from_path = with_suffix(path, suffix);
    if (!from_path)
        return -ENOMEM;
    if (side_type(seal, from_path) != S_IFREG)
        return 0;
    AUTO_FD int from = dir_open_beneath(seal->files_fd, from_path, O_RDONLY | O_NONBLOCK);
    if (from < 0)
        return from;
    AUTO_FD int to =
        dir_create_beside(seal->files_fd, "database", SEAL_MARK, 0600, &copies->names[suffix]);
    return to < 0 ? to : io_copy_file(from, to);
}

static int copy_set(struct seal *seal, const char *path, struct copies *copies)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < SUFFIX_COUNT; i++)
        r = copy_one(seal, path, i, copies);
    return r < 0 ? log_errno(r, "sealing %s", path) : 0;
}

/* Renames the copies to the original names, and removes side files that SQLite created. */
static int restore(struct seal *seal, const char *path, const struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        AUTO_FREE char *to = with_suffix(path, i);
        int r = 0;
        if (!to)
            return -ENOMEM;
        if (copies->names[i])
            r = io_renameat(seal->files_fd, copies->names[i], seal->files_fd, to);
        else if (side_type(seal, to) == S_IFREG)
            r = io_unlinkat(seal->files_fd, to, 0);
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing %s", to);
    }
    return 0;
}

static int remove_copies(struct seal *seal, const struct copies *copies)
{
    for (size_t i = 0; i < SUFFIX_COUNT; i++) {
        int r = copies->names[i] ? io_unlinkat(seal->files_fd, copies->names[i], 0) : 0;
        if (r < 0 && r != -ENOENT)
            return log_errno(r, "sealing: %s", copies->names[i]);
    }
    return 0;
}

/* SQLite does not change a database that is in rollback mode and has no side files. */
static bool will_change(struct seal *seal, const char *path, const struct sqlite_header *header)
{
    bool changes = header->is_wal;
    for (size_t i = 1; i < SUFFIX_COUNT && !changes; i++) {
        AUTO_FREE char *side = with_suffix(path, i);
        changes = !side || side_type(seal, side) != 0;
    }
    return changes;
}

/* ---- each database ---- */

static int log_damage(const char *line)
{
    return log_fail(EBADMSG, "builder left a broken database: %s", line);
}

/* Damage to the main database is an error at once; the others are judged at the end. */
static int add_damage(struct pass *pass, const char *path, const char *damage)
{
    char *line = text_format("%s: %s", path, damage);
    if (!line)
        return -ENOMEM;
    if (strcmp(path, pass->seal->file) != 0)
        return strlist_take(&pass->damaged, line);
    int r = log_damage(line);
    free(line);
    return r;
}

/* Rolling back a transaction that began with an empty file leaves an empty file. */
static int note_result(struct pass *pass, struct manifest_entry *entry)
{
    struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
    int r = seal_sqlite_detect(pass->seal->files_fd, entry->path, &header);
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    entry->is_sqlite = header.kind == SQLITE_KIND_DATABASE;
    pass->good_count += entry->is_sqlite;
    /* build.c warns about the main database. */
    if (entry->is_sqlite || !strcmp(entry->path, pass->seal->file))
        return 0;
    return add_warning(pass->seal, entry->path,
                       "it is empty: its first transaction was not committed, and is rolled back");
}

static int seal_database(struct pass *pass, struct manifest_entry *entry,
                         const struct sqlite_header *header)
{
    struct seal *seal = pass->seal;
    AUTO_SQLITE_PATH struct sqlite_path path = SQLITE_PATH_INIT;
    AUTO_FREE char *damage = NULL;
    CLEANUP(copies_fini) struct copies copies = {.names = {NULL}};
    int r = check_side_types(seal, entry->path, header, &damage);
    if (r < 0 || damage)
        return r < 0 ? r : add_damage(pass, entry->path, damage);
    r = sqlite_path_find(seal->files_fd, seal->path, entry->path, &path);
    if (r == -ENAMETOOLONG)
        return add_warning(seal, entry->path,
                           "its path is too long for SQLite: published as it is, unchecked");
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    bool has_copies =
        strcmp(entry->path, seal->file) != 0 && will_change(seal, entry->path, header);
    r = has_copies ? copy_set(seal, entry->path, &copies) : 0;
    if (r == 0)
        r = seal_sqlite(path.text, entry->path, &seal->warnings, &entry->starts_in_wal, &damage);
    if (r == -EBADMSG) {
        r = add_damage(pass, entry->path, damage);
        return r == 0 && has_copies ? restore(seal, entry->path, &copies) : r;
    }
    if (r == 0)
        r = remove_side_files(seal, entry->path);
    if (r == 0)
        r = remove_copies(seal, &copies);
    return r == 0 ? note_result(pass, entry) : r;
}

static int warn_of_version(struct seal *seal, const char *path, unsigned version)
{
    AUTO_FREE char *text = text_format("its format version is %u, which SQLite does not know: "
                                       "published as it is, unchecked",
                                       version);
    return text ? add_warning(seal, path, text) : -ENOMEM;
}

static int seal_file(struct pass *pass, struct manifest_entry *entry)
{
    struct seal *seal = pass->seal;
    struct sqlite_header header = {.kind = SQLITE_KIND_NONE};
    int r = pass->has_logs ? seal_sqlite_detect(seal->files_fd, entry->path, &header)
                           : seal_sqlite_detect_written(seal->files_fd, entry->path, &header);
    if (r == -ENOENT)
        return 0; /* a side file that has been removed */
    if (r < 0)
        return log_errno(r, "sealing %s", entry->path);
    switch (header.kind) {
    case SQLITE_KIND_DATABASE:
        return seal_database(pass, entry, &header);
    case SQLITE_KIND_UNKNOWN:
        return warn_of_version(seal, entry->path, header.version);
    default:
        return seal_postgres(seal->files_fd, entry->path, &seal->warnings);
    }
}

/* A damaged database is taken for a fixture, unless there is no other database. */
static int judge_damaged(const struct pass *pass)
{
    struct seal *seal = pass->seal;
    bool has_file = pass->good_count > 0;
    for (size_t i = 0; i < seal->entries.count && !has_file; i++)
        has_file = seal->entries.items[i].type == ENTRY_FILE &&
                   !strcmp(seal->entries.items[i].path, seal->file);
    if (pass->damaged.count > 0 && !has_file)
        return log_damage(pass->damaged.items[0]);
    int r = 0;
    for (size_t i = 0; r == 0 && i < pass->damaged.count; i++) {
        char *line =
            text_format("a broken database is published as it is: %s", pass->damaged.items[i]);
        if (!line)
            return -ENOMEM;
        printable_clean(line);
        log_warning("%s", line);
        r = strlist_take(&seal->warnings, line);
    }
    return r;
}

/* Every entry is examined for a log only if the tree has any. */
static bool has_logs(const struct seal *seal)
{
    static const char *const logs[] = {SQLITE_JOURNAL_SUFFIX, SQLITE_WAL_SUFFIX};
    for (size_t i = 0; i < seal->entries.count; i++)
        for (size_t j = 0; j < ARRAY_LENGTH(logs); j++) {
            const char *path = seal->entries.items[i].path;
            size_t length = strlen(path);
            size_t tail = strlen(logs[j]);
            if (length >= tail && !strcmp(path + length - tail, logs[j]))
                return true;
        }
    return false;
}

int seal_databases(struct seal *seal)
{
    CLEANUP(pass_fini)
    struct pass pass = {.seal = seal, .has_logs = has_logs(seal), .damaged = STRLIST_INIT};
    int r = 0;
    for (size_t i = 0; r == 0 && i < seal->entries.count; i++)
        if (seal->entries.items[i].type == ENTRY_FILE)
            r = interrupt_pending() ? -EINTR : seal_file(&pass, &seal->entries.items[i]);
    return r == 0 ? judge_damaged(&pass) : r;
}
