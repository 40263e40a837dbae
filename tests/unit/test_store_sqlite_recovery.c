#include "tests/unit/test_store_fixture.h"

#include <sqlite3.h>

#include "fs/store/sqlite_recovery.h"

/* Copies "live" and its side file, in the middle of a transaction, to "db". */
static void keep(const struct fixture *fixture, const char *const sql[], const char *suffix)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open("live", &db), SQLITE_OK);
    for (size_t i = 0; sql[i]; i++)
        assert_int_equal(sqlite3_exec(db, sql[i], NULL, NULL, NULL), SQLITE_OK);
    const char *suffixes[] = {"", suffix};
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
        char from[32];
        char to[32];
        AUTO_FREE char *bytes = NULL;
        size_t size = 0;
        (void)snprintf(from, sizeof(from), "live%s", suffixes[i]);
        (void)snprintf(to, sizeof(to), "db%s", suffixes[i]);
        /* Closing a descriptor of "live" releases SQLite's locks; no other process uses it. */
        assert_int_equal(dir_read_file(fixture->fd, from, 1 << 24, &bytes, &size), 0);
        write_bytes(fixture, to, bytes, size);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static bool applies(const struct fixture *fixture)
{
    AUTO_FREE char *damage = NULL;
    AUTO_FREE char *path = NULL;
    assert_true(asprintf(&path, "%s/db", fixture->path) > 0);
    assert_int_equal(sqlite_recovery_check(AT_FDCWD, path, &damage), 0);
    return damage == NULL;
}

static void keep_log(const struct fixture *fixture)
{
    static const char *const sql[] = {
        "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
        "CREATE TABLE t(a)", "INSERT INTO t VALUES(zeroblob(3000))",
        "INSERT INTO t VALUES(randomblob(3000))", NULL};
    keep(fixture, sql, "-wal");
}

static void keep_journal(const struct fixture *fixture)
{
    static const char *const sql[] = {
        "PRAGMA page_size=512; PRAGMA cache_size=4; CREATE TABLE t(a)",
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 200)"
        " INSERT INTO t SELECT randomblob(100) FROM c",
        "BEGIN; UPDATE t SET a = randomblob(101)", NULL};
    keep(fixture, sql, "-journal");
}

/* Flips each byte of the file in turn, or every `step`th; returns how many flips were found. */
static size_t count_found(const struct fixture *fixture, const char *name, size_t step,
                          size_t *ret_tried)
{
    AUTO_FREE char *bytes = NULL;
    size_t size = 0;
    size_t found = 0;
    *ret_tried = 0;
    assert_int_equal(dir_read_file(fixture->fd, name, 1 << 24, &bytes, &size), 0);
    AUTO_FD int fd = openat(fixture->fd, name, O_RDWR | O_CLOEXEC);
    for (size_t at = 0; at < size; at += step) {
        char flipped = (char)(bytes[at] ^ 0x40);
        assert_int_equal(io_pwrite(fd, &flipped, 1, (off_t)at), 0);
        found += !applies(fixture);
        assert_int_equal(io_pwrite(fd, bytes + at, 1, (off_t)at), 0);
        ++*ret_tried;
    }
    return found;
}

static void test_a_database_without_side_files_is_sound(void **state)
{
    const struct fixture *fixture = *state;
    assert_true(applies(fixture));
    write_bytes(fixture, "db-wal", "", 0);
    write_bytes(fixture, "db-journal", "", 0);
    assert_true(applies(fixture));
}

/* Except the salt of the last frame, which makes it a frame of an earlier log. */
static void test_damage_to_any_byte_of_a_log_is_found(void **state)
{
    const struct fixture *fixture = *state;
    size_t tried = 0;
    assert_int_equal(chdir(fixture->path), 0);
    keep_log(fixture);
    assert_true(applies(fixture));
    size_t found = count_found(fixture, "db-wal", 1, &tried);
    assert_true(tried > 5000);
    assert_int_equal(tried - found, 8);
}

/* A log that is cut off at any byte can be applied, up to its last whole commit. */
static void test_a_log_that_is_cut_off_ends_at_a_commit(void **state)
{
    const struct fixture *fixture = *state;
    struct stat status;
    assert_int_equal(chdir(fixture->path), 0);
    keep_log(fixture);
    assert_int_equal(fstatat(fixture->fd, "db-wal", &status, 0), 0);
    AUTO_FD int fd = openat(fixture->fd, "db-wal", O_RDWR | O_CLOEXEC);
    for (off_t size = status.st_size; size >= 0; size -= 101) {
        assert_int_equal(ftruncate(fd, size), 0);
        assert_true(applies(fixture));
    }
}

/* SQLite's checksum covers only every 200th byte of a page. */
static void test_a_damaged_or_truncated_journal_is_found(void **state)
{
    const struct fixture *fixture = *state;
    struct stat status;
    size_t tried = 0;
    assert_int_equal(chdir(fixture->path), 0);
    keep_journal(fixture);
    assert_true(applies(fixture));
    AUTO_FD int fd = openat(fixture->fd, "db-journal", O_RDWR | O_CLOEXEC);
    /* The magic bytes, the number of records, the seed; the sector size and the page size. */
    assert_true(count_found(fixture, "db-journal", 1, &tried) > 16);
    assert_int_equal(fstatat(fixture->fd, "db-journal", &status, 0), 0);
    assert_true(tried == (size_t)status.st_size);
    assert_int_equal(ftruncate(fd, 512 + 100), 0);
    assert_false(applies(fixture));
    write_text(fixture, "db-journal", "not a journal");
    assert_false(applies(fixture));
    write_bytes(fixture, "db-journal", "\0finished", 9);
    assert_true(applies(fixture));
}

static enum sqlite_recovery predict(const struct fixture *fixture)
{
    unsigned char header[SQLITE_FILE_HEADER_BYTES];
    enum sqlite_recovery result;
    assert_int_equal(sqlite_recovery_predict(fixture->fd, "db", &result, header), 0);
    if (result == SQLITE_RECOVERY_BEGINS)
        assert_memory_equal(header, "SQLite format 3", 16);
    return result;
}

static void test_recovery_of_the_first_page_is_predicted(void **state)
{
    static const char none[4] = {0};
    static const char *const change[] = {
        "PRAGMA cache_size=4", "BEGIN; CREATE TABLE u(a); UPDATE t SET a = randomblob(102)", NULL};
    const struct fixture *fixture = *state;
    assert_int_equal(chdir(fixture->path), 0);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_NONE);
    keep_log(fixture);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_BEGINS);
    /* Only the first page, of a transaction that is not committed. */
    assert_int_equal(truncate("db-wal", 32 + 24 + 512), 0);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_NONE);
    assert_int_equal(unlink("db-wal"), 0);
    assert_int_equal(unlink("live"), 0);
    keep_journal(fixture);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_NONE);
    keep(fixture, change, "-journal");
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_BEGINS);
    AUTO_FD int fd = openat(fixture->fd, "db-journal", O_RDWR | O_CLOEXEC);
    assert_int_equal(io_pwrite(fd, none, sizeof(none), 16), 0);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_EMPTIES);
    assert_int_equal(io_pwrite(fd, none, 1, 0), 0);
    assert_int_equal(predict(fixture), SQLITE_RECOVERY_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_database_without_side_files_is_sound),
        TEST(test_damage_to_any_byte_of_a_log_is_found),
        TEST(test_a_log_that_is_cut_off_ends_at_a_commit),
        TEST(test_a_damaged_or_truncated_journal_is_found),
        TEST(test_recovery_of_the_first_page_is_predicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
