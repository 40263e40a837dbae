/*
 * What SQLite 3.40 answers to integrity_check, found by experiment, and what is made of it:
 *
 *   missing collation in an index        SQLITE_ERROR_MISSING_COLLSEQ      warning, then pass two
 *   missing function in an index, CHECK  SQLITE_ERROR, unknown function    warning, then pass two
 *   missing module of a virtual table    ok (its shadow tables are checked)
 *   newer SQL in a view or trigger       SQLITE_CORRUPT "malformed database schema (v) - near ..."
 *                                        warning; opened with writable_schema, which skips it
 *   CHECK, NOT NULL or STRICT violated   a row of text                     warning
 *   index and table disagree             a row of text                     corrupt
 *   damaged pages                        "*** in database main ***", SQLITE_CORRUPT   corrupt
 *   damaged header                       SQLITE_NOTADB                     corrupt
 *
 * Pass two checks each table by itself, as far as it can be, then the page structure of the whole
 * with quick_check, where a stand-in takes the place of collations: what depends on their order is
 * no evidence then and is ignored.
 */
#include "fs/store/seal_sqlite.h"

#include <sqlite3.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/interrupt.h"

enum { BUSY_TIMEOUT_MS = 3000, HEADER_BYTES = 100, STEPS_PER_LOOK = 100000 };

struct check {
    sqlite3 *db;
    const char *shown;
    struct strlist *warnings;
    bool structure_only; /* pass two: what depends on the order of a collation is no evidence */
};

int seal_sqlite_detect(int fd)
{
    static const char magic[16] = "SQLite format 3";
    static const char zeros[20];
    unsigned char header[HEADER_BYTES] = {0};
    ssize_t n = io_pread(fd, header, sizeof(header), 0);
    if (n < 0)
        return (int)n;
    if ((size_t)n < sizeof(magic) || memcmp(header, magic, sizeof(magic)) != 0)
        return 0;
    /* Bytes 72 to 91 are zero in every database; with reserved bytes on each page (20), where
     * ciphers keep their nonces, and something else here, the rest of the header is encrypted. */
    bool has_reserved = header[20] != 0;
    return !(n == HEADER_BYTES && has_reserved && memcmp(header + 72, zeros, sizeof(zeros)) != 0);
}

static int look_for_signal(void *context UNUSED)
{
    return interrupt_pending() != 0;
}

/* Stands in for a collation of the application's. */
static int compare_bytes(void *context UNUSED, int a_size, const void *a, int b_size, const void *b)
{
    int order = memcmp(a, b, (size_t)(a_size < b_size ? a_size : b_size));
    return order ? order : a_size - b_size;
}

static void add_stand_in(void *context UNUSED, sqlite3 *db, int encoding UNUSED, const char *name)
{
    (void)sqlite3_create_collation(db, name, SQLITE_UTF8, NULL, compare_bytes);
}

/* Says what SQLite answered, as the errno that fits. */
static int log_answer(const struct check *check, int code, const char *doing)
{
    const char *text = check->db ? sqlite3_errmsg(check->db) : sqlite3_errstr(code);
    switch (code & 0xff) {
    case SQLITE_INTERRUPT:
        return -EINTR;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return log_fail(EBUSY,
                        "builder left %s while a process still uses it: the builder must "
                        "end all that it starts",
                        check->shown);
    case SQLITE_FULL:
        return log_fail(ENOSPC, "sealing %s: %s: the disk of the store is full", check->shown,
                        doing);
    case SQLITE_NOMEM:
        return log_errno(ENOMEM, "sealing %s: %s", check->shown, doing);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
        return log_fail(EBADMSG, "builder left a broken database: %s: %s: %s", check->shown, doing,
                        text);
    default:
        return log_fail(EIO, "sealing %s: %s: %s", check->shown, doing, text);
    }
}

static int warn(const struct check *check, const char *text)
{
    char *line = NULL;
    if (asprintf(&line, "%s: %s", check->shown, text) < 0)
        return -ENOMEM;
    if (strlist_contains(check->warnings, line)) {
        free(line);
        return 0;
    }
    log_warning("%s", line);
    return strlist_take(check->warnings, line);
}

/* Whether a row of integrity_check is about content that the application alone can judge. */
static bool is_opinion(const struct check *check, const char *row)
{
    static const char *const of_order[] = {"not in PRIMARY KEY order", " missing from index ",
                                           "wrong # of entries in index", "non-unique entry"};
    if (!strncmp(row, "CHECK constraint failed", 23) || strstr(row, " value in ") ||
        !strncmp(row, "unable to validate", 18))
        return true;
    for (size_t i = 0; check->structure_only && i < ARRAY_LENGTH(of_order); i++)
        if (strstr(row, of_order[i]))
            return true;
    return false;
}

/*
 * Runs one check and judges its rows. SQLITE_ERROR, the application's part missing, is the answer
 * 1, unsaid; corruption is said and -EBADMSG.
 */
static int run_check(struct check *check, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL);
    int r = 0;
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
            break;
        const char *row = (const char *)sqlite3_column_text(statement, 0);
        if (!row || !strcmp(row, "ok"))
            continue;
        if (!is_opinion(check, row))
            r = log_fail(EBADMSG, "builder left a broken database: %s: %.400s", check->shown, row);
        else if (!check->structure_only)
            r = warn(check, row);
        if (r < 0)
            break;
    }
    if (r == 0 && code != SQLITE_DONE)
        r = (code & 0xff) == SQLITE_ERROR ? 1 : log_answer(check, code, "integrity_check");
    (void)sqlite3_finalize(statement);
    return r;
}

static int check_table(struct check *check, const char *table)
{
    char *sql = sqlite3_mprintf("PRAGMA integrity_check(%Q)", table);
    if (!sql)
        return -ENOMEM;
    int r = run_check(check, sql);
    sqlite3_free(sql);
    return r;
}

static int check_each_table(struct check *check)
{
    AUTO_STRLIST struct strlist tables = STRLIST_INIT;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(
        check->db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0", -1,
        &statement, NULL);
    int r = 0;
    while (r == 0 && code != SQLITE_DONE) {
        code = code == SQLITE_OK || code == SQLITE_ROW ? sqlite3_step(statement) : code;
        const char *name =
            code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (code != SQLITE_ROW && code != SQLITE_DONE)
            r = log_answer(check, code, "reading the schema");
        else if (name)
            r = strlist_add(&tables, name);
    }
    (void)sqlite3_finalize(statement);
    for (size_t i = 0; r >= 0 && i < tables.count; i++)
        r = check_table(check, tables.items[i]);
    return r < 0 ? r : 0;
}

static int check_integrity(struct check *check)
{
    int r = run_check(check, "PRAGMA integrity_check");
    if (r != 1)
        return r;
    AUTO_FREE char *text = NULL;
    if (asprintf(&text, "integrity_check could not judge all of it: %s",
                 sqlite3_errmsg(check->db)) < 0) {
        text = NULL;
        return -ENOMEM;
    }
    r = warn(check, text);
    if (r == 0)
        r = check_each_table(check);
    if (r < 0)
        return r;
    check->structure_only = true;
    (void)sqlite3_collation_needed(check->db, NULL, add_stand_in);
    (void)sqlite3_exec(check->db, "PRAGMA ignore_check_constraints=ON", NULL, NULL, NULL);
    r = run_check(check, "PRAGMA quick_check");
    return r < 0 ? r : 0;
}

/* The first column of a statement's first row, as "" where there is none. */
static int ask(const struct check *check, const char *sql, char *ret_text, size_t size)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(statement);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    (void)snprintf(ret_text, size, "%s", text ? text : "");
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK
                                                     : sqlite3_extended_errcode(check->db);
}

/*
 * Reads the schema, and with that plays a hot journal or a log back. SQL that a newer SQLite wrote
 * into a view or a trigger looks like corruption to this one: its objects are skipped then.
 */
static int read_schema(struct check *check)
{
    char answer[64];
    int code = ask(check, "SELECT count(*) FROM sqlite_schema", answer, sizeof(answer));
    const char *text = sqlite3_errmsg(check->db);
    if ((code & 0xff) == SQLITE_CORRUPT && !strncmp(text, "malformed database schema", 25) &&
        strstr(text, " - near \"")) {
        int r = warn(check, text);
        if (r < 0)
            return r;
        (void)sqlite3_exec(check->db, "PRAGMA writable_schema=ON", NULL, NULL, NULL);
        code = ask(check, "SELECT count(*) FROM sqlite_schema", answer, sizeof(answer));
    }
    /* Only now: these read the schema, too. */
    if (code == SQLITE_OK)
        code = sqlite3_exec(check->db, "PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON", NULL,
                            NULL, NULL);
    return code == SQLITE_OK ? 0 : log_answer(check, code, "opening");
}

static int switch_to_rollback(const struct check *check, bool *ret_starts_in_wal)
{
    char mode[16];
    int code = ask(check, "PRAGMA journal_mode", mode, sizeof(mode));
    if (code != SQLITE_OK)
        return log_answer(check, code, "journal_mode");
    bool starts_in_wal = !strcmp(mode, "wal");
    code = ask(check, "PRAGMA journal_mode=DELETE", mode, sizeof(mode));
    if (code != SQLITE_OK)
        return log_answer(check, code, "leaving WAL mode");
    /* Without an error, but still in WAL: another connection is open. */
    if (strcmp(mode, "delete") != 0)
        return log_answer(check, SQLITE_BUSY, "leaving WAL mode");
    *ret_starts_in_wal = starts_in_wal;
    return 0;
}

static int prepare_connection(sqlite3 *db)
{
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA,
                              SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION};
    int code = sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    for (size_t i = 0; code == SQLITE_OK && i < ARRAY_LENGTH(off); i++)
        code = sqlite3_db_config(db, off[i], 0, NULL);
    sqlite3_progress_handler(db, STEPS_PER_LOOK, look_for_signal, NULL);
    return code;
}

int seal_sqlite(const char *path, const char *shown, struct strlist *warnings,
                bool *ret_starts_in_wal)
{
    struct check check = {.shown = shown, .warnings = warnings};
    int code = sqlite3_open_v2(path, &check.db,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW |
                                   SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                               NULL);
    if (code == SQLITE_OK)
        code = prepare_connection(check.db);
    int r = code == SQLITE_OK ? 0 : log_answer(&check, code, "opening");
    if (r == 0)
        r = read_schema(&check);
    if (r == 0)
        r = switch_to_rollback(&check, ret_starts_in_wal);
    if (r == 0)
        r = check_integrity(&check);
    code = sqlite3_close(check.db);
    if (r == 0 && code != SQLITE_OK)
        r = log_fail(EIO, "sealing %s: closing: %s", shown, sqlite3_errstr(code));
    return r == -ENOMEM ? log_errno(r, "sealing %s", shown) : r;
}
