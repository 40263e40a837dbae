/*
 * What the builder's SQLite accepts is published (invariant 7): our SQLite may be older, and has
 * none of the application's functions and collations. So only damaged pages are refused; anything
 * else is a warning:
 *
 *   the file is shorter than its header or a root states    refused
 *   a page, a cell, a pointer or the free list is damaged   refused
 *   a page that nothing refers to, or two things do         refused
 *   a root page of another type than its table or index     refused
 *   a journal or a WAL that cannot be applied whole         refused
 *   another process still has it open                       refused
 *
 *   SQL that our SQLite cannot parse                        warning
 *   a function, collation or module that it does not have   warning
 *   an index that disagrees with its table                  warning
 *   CHECK, NOT NULL, UNIQUE or STRICT violated              warning
 *   a format version in bytes 18 and 19 above 2             warning, opaque (seal_databases.c)
 *   an encrypted file                                       opaque
 *   a first page that is only in the journal or the WAL     recovered as any other
 *
 * sqlite_structure.c refuses, and does not use the schema; integrity_check, which uses it, warns.
 * No decision depends on the text of a message.
 */
#include "fs/store/seal_sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/printable.h"
#include "fs/base/text.h"
#include "fs/store/sqlite_error.h"
#include "fs/store/sqlite_header.h"
#include "fs/store/sqlite_path.h"
#include "fs/store/sqlite_recovery.h"
#include "fs/store/sqlite_structure.h"

enum { BUSY_TIMEOUT_MS = 3000, STEPS_PER_CHECK = 100000, WARNINGS_MAX = 10 };
struct check {
    sqlite3 *db;
    const char *path;
    const char *shown;
    struct strlist *warnings;
    char *damage;
    bool starts_in_wal;
    bool is_schema_partial; /* our SQLite has left objects out */
};

static bool has_magic(const unsigned char *header)
{
    return memcmp(header, SQLITE_MAGIC, sizeof(SQLITE_MAGIC)) == 0;
}

/* `size` bytes were read; the others are zero. */
static struct sqlite_header judge(const unsigned char header[SQLITE_FILE_HEADER_BYTES], size_t size)
{
    static const char zeros[SQLITE_ZEROS_SIZE];
    static const unsigned char fractions[3] = {64, 32, 32};
    struct sqlite_header result = {.kind = SQLITE_KIND_NONE};
    bool is_whole = size == SQLITE_FILE_HEADER_BYTES;
    if (!has_magic(header))
        return result;
    /* Bytes 72 to 91 are zero in every database; with reserved bytes on each page (20), where
     * ciphers keep their nonces, and something else here, the rest of the header is encrypted. */
    if (is_whole && header[SQLITE_RESERVED_OFFSET] != 0 &&
        memcmp(header + SQLITE_ZEROS_OFFSET, zeros, sizeof(zeros)) != 0)
        return result;
    unsigned writes = header[SQLITE_VERSIONS_OFFSET];
    unsigned reads = header[SQLITE_VERSIONS_OFFSET + 1];
    result.version = writes > reads ? writes : reads;
    result.is_wal = reads == SQLITE_VERSION_WAL;
    /* The fractions that follow are the same in every format; garbage is a damaged database. */
    bool is_unknown = result.version > SQLITE_VERSION_WAL && is_whole &&
                      !memcmp(header + SQLITE_FRACTIONS_OFFSET, fractions, sizeof(fractions));
    result.kind = is_unknown ? SQLITE_KIND_UNKNOWN : SQLITE_KIND_DATABASE;
    return result;
}

/*
 * SQLite may write the first page of a new database last. Until then the journal or the log beside
 * it shows that the file is a database, and whether it is encrypted.
 */
static int judge_recovered(int dirfd, const char *path, struct sqlite_header *ret_header)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES];
    enum sqlite_recovery result;
    int r = sqlite_recovery_predict(dirfd, path, &result, header);
    if (r < 0)
        return r;
    *ret_header =
        result == SQLITE_RECOVERY_EMPTIES  ? (struct sqlite_header){.kind = SQLITE_KIND_DATABASE}
        : result == SQLITE_RECOVERY_BEGINS ? judge(header, sizeof(header))
                                           : (struct sqlite_header){.kind = SQLITE_KIND_NONE};
    return 0;
}

static int read_header(int dirfd, const char *path, unsigned char header[SQLITE_FILE_HEADER_BYTES],
                       struct sqlite_header *ret_header)
{
    AUTO_FD int fd = dir_open_beneath(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd < 0 ? fd : io_pread(fd, header, SQLITE_FILE_HEADER_BYTES, 0);
    if (n < 0)
        return (int)n;
    *ret_header = judge(header, (size_t)n);
    return 0;
}

int seal_sqlite_detect_written(int dirfd, const char *path, struct sqlite_header *ret_header)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES] = {0};
    return read_header(dirfd, path, header, ret_header);
}

int seal_sqlite_detect(int dirfd, const char *path, struct sqlite_header *ret_header)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES] = {0};
    int r = read_header(dirfd, path, header, ret_header);
    return r == 0 && !has_magic(header) ? judge_recovered(dirfd, path, ret_header) : r;
}

static int check_for_signal(void *context UNUSED)
{
    return interrupt_pending() != 0;
}

/* Translates a code of SQLite into a negative errno: logged, or -EBADMSG with check->damage. */
static int translate(struct check *check, int code, const char *doing)
{
    const char *text = sqlite_error_text(check->db, code);
    if (sqlite_structure_is_damage(code)) {
        check->damage = text_format("%s: %s", doing, text);
        return check->damage ? -EBADMSG : -ENOMEM;
    }
    switch (code & 0xff) {
    case SQLITE_INTERRUPT:
        return -EINTR;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return log_fail(EBUSY,
                        "builder left %s while a process still uses it: the builder must "
                        "end every process that it starts",
                        check->shown);
    case SQLITE_FULL:
        return log_fail(ENOSPC, "sealing %s: %s: the disk of the store is full", check->shown,
                        doing);
    case SQLITE_NOMEM:
        return log_errno(ENOMEM, "sealing %s: %s", check->shown, doing);
    default:
        return log_fail(EIO, "sealing %s: %s: %s", check->shown, doing, text);
    }
}

static int open_database(struct check *check, int flags)
{
    int code =
        sqlite3_open_v2(check->path, &check->db,
                        flags | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE, sqlite_path_vfs());
    if (code == SQLITE_OK)
        code = sqlite3_extended_result_codes(check->db, 1);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(check->db, BUSY_TIMEOUT_MS);
    if (check->db)
        sqlite3_progress_handler(check->db, STEPS_PER_CHECK, check_for_signal, NULL);
    return code;
}

static int close_database(struct check *check)
{
    int code = sqlite3_close(check->db);
    check->db = NULL;
    return code == SQLITE_OK
               ? 0
               : log_fail(EIO, "sealing %s: closing: %s", check->shown, sqlite3_errstr(code));
}

/* ---- refusal ---- */

static int run(const struct check *check, const char *sql)
{
    return sqlite3_exec(check->db, sql, NULL, NULL, NULL);
}

/* Whether the file on disk is in WAL mode. Returns SQLite's code. */
static int read_mode(const struct check *check, bool *ret_is_wal)
{
    unsigned char version = 0;
    int code = sqlite_structure_read(check->db, &version, 1, SQLITE_VERSIONS_OFFSET + 1);
    *ret_is_wal = version == SQLITE_VERSION_WAL;
    return code;
}

/* 1: the log exists and is not empty; 0: it does not exist or is empty. */
static int has_log(const struct check *check)
{
    AUTO_FREE char *path = NULL;
    struct stat status;
    path = text_format("%s" SQLITE_WAL_SUFFIX, check->path);
    if (!path)
        return -ENOMEM;
    return lstat(path, &status) == 0 && status.st_size > 0;
}

/* Success is judged by the files, since SQLite's codes may be about the schema. */
static int leave_wal(struct check *check)
{
    bool is_wal = false;
    /* Reading the schema plays back a hot journal, or reads the log. */
    int code = run(check, "SELECT count(*) FROM main.sqlite_schema");
    if (code != SQLITE_OK)
        return translate(check, code, "opening");
    /* The mode may be on a first page that is only in the log. If something prevents this
     * checkpoint, the switch below reports it. */
    (void)run(check, "PRAGMA main.wal_checkpoint");
    code = read_mode(check, &check->starts_in_wal);
    if (code != SQLITE_OK)
        return translate(check, code, "opening");
    int switched = run(check, "PRAGMA main.journal_mode=DELETE");
    code = read_mode(check, &is_wal);
    int log = has_log(check);
    if (log < 0)
        return log;
    if (code == SQLITE_OK && (is_wal || log))
        code = switched == SQLITE_OK ? SQLITE_BUSY : switched;
    return code == SQLITE_OK ? 0 : translate(check, code, "leaving WAL mode");
}

/* SQLite deletes the log of an empty file without reading it, unless the file has a page of
 * zeros. */
static int keep_log_of_empty(const struct check *check)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES];
    enum sqlite_recovery result = SQLITE_RECOVERY_NONE;
    struct stat status;
    AUTO_FD int fd = io_openat(AT_FDCWD, check->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size > 0)
        return 0;
    int r = sqlite_recovery_predict(AT_FDCWD, check->path, &result, header);
    return r == 0 && result == SQLITE_RECOVERY_BEGINS ? io_ftruncate(fd, SQLITE_PAGE_SIZE_MIN) : r;
}

static int check_structure(struct check *check)
{
    int r = sqlite_recovery_check(AT_FDCWD, check->path, &check->damage);
    if (r == 0 && !check->damage)
        r = keep_log_of_empty(check);
    if (r < 0)
        return log_errno(r, "sealing %s", check->shown);
    if (check->damage)
        return -EBADMSG;
    int code = open_database(check, SQLITE_OPEN_READWRITE);
    if (code == SQLITE_OK)
        code = sqlite_structure_allow(check->db);
    r = code == SQLITE_OK ? leave_wal(check) : translate(check, code, "opening");
    if (r == 0) {
        code = sqlite_structure_check(check->db, &check->damage);
        if (code != SQLITE_OK)
            r = translate(check, code, "quick_check");
        else if (check->damage)
            r = -EBADMSG;
    }
    int closed = close_database(check);
    return r == 0 ? closed : r;
}

/* ---- the warnings ---- */

static int warn(const struct check *check, const char *about, const char *text)
{
    char *line = text_format("%s: %s%.400s", check->shown, about, text);
    if (!line)
        return -ENOMEM;
    /* The text of a damaged schema may not be UTF-8, and the manifest is JSON. */
    printable_clean(line);
    if (strlist_contains(check->warnings, line)) {
        free(line);
        return 0;
    }
    log_warning("%s", line);
    return strlist_take(check->warnings, line);
}

/* The schema is the builder's own and may use any feature of SQLite. Nothing is written, but on a
 * connection that is opened read-only SQLite does not check CHECK constraints. */
static int prepare_reader(struct check *check)
{
    static const struct {
        int option;
        int value;
    } options[] = {
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1}, {SQLITE_DBCONFIG_DQS_DDL, 1},
        {SQLITE_DBCONFIG_DQS_DML, 1},        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    };
    int code = open_database(check, SQLITE_OPEN_READWRITE);
    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LENGTH(options); i++)
        code = sqlite3_db_config(check->db, options[i].option, options[i].value, NULL);
    return code;
}

/* Objects that our SQLite cannot parse are left out, with a warning about the first. */
static int read_schema(struct check *check)
{
    int r;
    int code = run(check, "SELECT count(*) FROM main.sqlite_schema");
    if (sqlite_structure_is_damage(code)) {
        AUTO_FREE char *about =
            text_format("SQLite %s cannot read all of the schema: ", sqlite3_libversion());
        r = about ? warn(check, about, sqlite_error_text(check->db, code)) : -ENOMEM;
        if (r < 0)
            return r;
        check->is_schema_partial = true;
        code = sqlite_structure_allow(check->db);
        if (code == SQLITE_OK)
            code = run(check, "SELECT count(*) FROM main.sqlite_schema");
    }
    if (code == SQLITE_OK)
        code = run(check, "PRAGMA query_only=ON; PRAGMA temp_store=MEMORY");
    return code == SQLITE_OK ? 0 : translate(check, code, "reading the schema");
}

/* Lists only the tables that this connection could load. */
static int list_tables(struct check *check, struct strlist *tables)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(check->db,
                                  "SELECT name FROM main.sqlite_schema AS s WHERE type = 'table'"
                                  " AND rootpage > 0 AND EXISTS (SELECT 1 FROM"
                                  " pragma_table_xinfo(s.name, 'main'))",
                                  -1, &statement, NULL);
    int r = 0;
    while (r == 0 && code == SQLITE_OK) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        r = name ? strlist_add(tables, name) : 0;
    }
    (void)sqlite3_finalize(statement);
    return r == 0 && code != SQLITE_DONE ? translate(check, code, "reading the schema") : r;
}

/* Adds the rows of integrity_check as warnings, up to *left of them. 1: it stopped at something
 * that our SQLite cannot check, which its error message names. */
static int add_findings(struct check *check, const char *sql, int *left)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL);
    int r = 0;
    while (r == 0 && code == SQLITE_OK && *left > 0) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        code = SQLITE_OK;
        const char *row = (const char *)sqlite3_column_text(statement, 0);
        if (!row || !strcmp(row, "ok"))
            continue;
        r = warn(check, "integrity_check: ", row);
        --*left;
    }
    /* The builder's SQLite may be compiled with a higher limit than SQLITE_TOOBIG reports. */
    if (r == 0 && (sqlite_structure_is_damage(code) || (code & 0xff) == SQLITE_TOOBIG))
        r = 1;
    else if (r == 0 && code != SQLITE_OK && code != SQLITE_DONE)
        r = translate(check, code, "integrity_check");
    (void)sqlite3_finalize(statement);
    return r;
}

static int check_table(struct check *check, const char *table, int *left)
{
    char *sql = sqlite3_mprintf("PRAGMA main.integrity_check(%Q)", table);
    int r = sql ? add_findings(check, sql, left) : -ENOMEM;
    sqlite3_free(sql);
    if (r <= 0)
        return r;
    AUTO_FREE char *about = text_format("integrity_check could not check table %.100s: ", table);
    --*left;
    return about ? warn(check, about, sqlite3_errmsg(check->db)) : -ENOMEM;
}

/* A table that cannot be checked then does not hide the others. */
static int check_each_table(struct check *check, int *left)
{
    AUTO_STRLIST struct strlist tables = STRLIST_INIT;
    int r = list_tables(check, &tables);
    for (size_t i = 0; r == 0 && *left > 0 && i < tables.count; i++)
        r = check_table(check, tables.items[i], left);
    return r;
}

/*
 * Only a signal and a lack of memory or disk space are errors here. All tables are checked at once
 * if possible, since SQLite reads the whole schema for each table that it checks alone.
 */
static int check_content(struct check *check)
{
    int left = WARNINGS_MAX;
    int code = prepare_reader(check);
    int r = code == SQLITE_OK ? read_schema(check) : translate(check, code, "opening");
    if (r == 0)
        r = check->is_schema_partial ? 1
                                     : add_findings(check, "PRAGMA main.integrity_check", &left);
    if (r == 1)
        r = check_each_table(check, &left);
    if (r == 0 && left == 0)
        r = warn(check, "", "further findings of integrity_check are left out");
    if (r == -EBADMSG)
        r = warn(check, "integrity_check could not begin: ", check->damage);
    int closed = close_database(check);
    return r == 0 ? closed : r;
}

int seal_sqlite(const char *path, const char *shown, struct strlist *warnings,
                bool *ret_starts_in_wal, char **ret_damage)
{
    struct check check = {.path = path, .shown = shown, .warnings = warnings};
    int r = check_structure(&check);
    if (r == 0)
        r = check_content(&check);
    if (r == 0)
        *ret_starts_in_wal = check.starts_in_wal;
    if (r == -EBADMSG)
        *ret_damage = steal_pointer(&check.damage);
    free(check.damage);
    return r == -ENOMEM ? log_errno(r, "sealing %s", shown) : r;
}
