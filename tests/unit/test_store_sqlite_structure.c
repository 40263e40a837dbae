#include "tests/unit/test_store_fixture.h"

#include "fs/store/sqlite_error.h"
#include "fs/store/sqlite_structure.h"

enum { PAGE = 1024, FLIPS = 1000 };

static const char schema[] =
    "PRAGMA page_size=1024; PRAGMA auto_vacuum=%d; PRAGMA synchronous=OFF; BEGIN;"
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT, c BLOB); CREATE INDEX i ON t(b);"
    "CREATE TABLE w(a TEXT PRIMARY KEY, b) WITHOUT ROWID; CREATE TABLE host(a UNIQUE);"
    "CREATE TABLE n0(a); CREATE INDEX n1 ON n0(a); CREATE VIEW v AS SELECT * FROM t;"
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 150)"
    " INSERT INTO t SELECT n, 'row number ' || n, zeroblob(n %% 5 * 400) FROM c;"
    "INSERT INTO w SELECT b, a FROM t; INSERT INTO host SELECT a FROM t; COMMIT;"
    "DELETE FROM t WHERE a BETWEEN 20 AND 60";

static sqlite3 *open_database(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                     SQLITE_OK);
    return db;
}

static void run(const char *path, const char *sql)
{
    sqlite3 *db = open_database(path);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make(const char *path, int vacuum)
{
    AUTO_FREE char *sql = NULL;
    assert_true(asprintf(&sql, schema, vacuum) > 0);
    (void)unlink(path);
    run(path, sql);
}

/* Returns SQLite's code; *ret_damage is that of sqlite_structure_check(). */
static int check(const char *path, char **ret_damage)
{
    sqlite3 *db = open_database(path);
    *ret_damage = NULL;
    assert_int_equal(sqlite_structure_allow(db), SQLITE_OK);
    int code = sqlite_structure_check(db, ret_damage);
    assert_true(sqlite3_get_autocommit(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return code;
}

static bool is_whole(const char *path)
{
    AUTO_FREE char *damage = NULL;
    assert_int_equal(check(path, &damage), SQLITE_OK);
    return damage == NULL;
}

static void read_all(const struct fixture *fixture, char **ret_bytes, size_t *ret_size)
{
    assert_int_equal(dir_read_file(fixture->fd, "db", 1 << 24, ret_bytes, ret_size), 0);
}

static void test_checking_a_sound_database_does_not_change_it(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(chdir(fixture->path), 0);
    for (int vacuum = 0; vacuum <= 2; vacuum++) {
        AUTO_FREE char *before = NULL;
        AUTO_FREE char *after = NULL;
        size_t before_size = 0;
        size_t after_size = 0;
        make("db", vacuum);
        read_all(fixture, &before, &before_size);
        assert_true(is_whole("db"));
        read_all(fixture, &after, &after_size);
        assert_int_equal(before_size, after_size);
        assert_memory_equal(before, after, before_size);
        assert_int_equal(faccessat(fixture->fd, "db-journal", F_OK, 0), -1);
    }
}

static void test_checking_a_damaged_database_does_not_change_it(void **state)
{
    const struct fixture *fixture = *state;
    AUTO_FREE char *before = NULL;
    AUTO_FREE char *after = NULL;
    size_t before_size = 0;
    size_t after_size = 0;
    assert_int_equal(chdir(fixture->path), 0);
    make("db", 0);
    run("db", "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET rootpage ="
              " (SELECT rootpage FROM sqlite_schema WHERE name = 'n0') WHERE name = 't'");
    read_all(fixture, &before, &before_size);
    assert_false(is_whole("db"));
    read_all(fixture, &after, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
}

/* A user's table with the name of one of ours must not be skipped. */
static void test_every_root_is_checked(void **state)
{
    static const char *const names[] = {"t", "i", "w", "host", "sqlite_autoindex_host_1", "n1"};
    const struct fixture *fixture = *state;
    assert_int_equal(chdir(fixture->path), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        sqlite3_stmt *statement = NULL;
        make("db", 0);
        sqlite3 *db = open_database("db");
        assert_int_equal(sqlite3_prepare_v2(db,
                                            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
                                            -1, &statement, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_bind_text(statement, 1, names[i], -1, SQLITE_STATIC), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        off_t at = ((off_t)sqlite3_column_int64(statement, 0) - 1) * PAGE;
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        AUTO_FD int fd = openat(fixture->fd, "db", O_RDWR | O_CLOEXEC);
        /* More cells than the page has room for. */
        assert_int_equal(io_pwrite(fd, "\x7f\xff", 2, at + 3), 0);
        assert_false(is_whole("db"));
    }
}

static void test_random_damage_never_crashes(void **state)
{
    const struct fixture *fixture = *state;
    const char *given = getenv("MINTFS_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    size_t found = 0;
    print_message("MINTFS_TEST_SEED=%u\n", seed);
    assert_int_equal(chdir(fixture->path), 0);
    for (int vacuum = 0; vacuum <= 1; vacuum++) {
        AUTO_FREE char *sound = NULL;
        size_t size = 0;
        make("db", vacuum);
        read_all(fixture, &sound, &size);
        for (int i = 0; i < FLIPS; i++) {
            AUTO_FREE char *bytes = malloc(size);
            AUTO_FREE char *damage = NULL;
            assert_non_null(bytes);
            memcpy(bytes, sound, size);
            for (int flips = i % 3 == 0 ? 12 : 1; flips > 0; flips--) {
                /* Half of them in the headers of pages. */
                size_t at = (size_t)rand_r(&seed) % size;
                if (rand_r(&seed) % 2)
                    at = at / PAGE * PAGE + at % 64;
                bytes[at] ^= (char)(1 << rand_r(&seed) % 8);
            }
            write_bytes(fixture, "db", bytes, size);
            int code = check("db", &damage);
            /* Read-only: a write version above 2, which is opaque elsewhere. */
            assert_true(code == SQLITE_OK || code == SQLITE_READONLY);
            found += damage != NULL;
        }
    }
    assert_true(found > FLIPS / 2);
}

static void test_an_empty_file_reads_as_zeros_and_is_sound(void **state)
{
    static const unsigned char zeros[16];
    const struct fixture *fixture = *state;
    unsigned char bytes[sizeof(zeros)] = {1};
    assert_int_equal(chdir(fixture->path), 0);
    write_bytes(fixture, "db", "", 0);
    sqlite3 *db = open_database("db");
    assert_int_equal(sqlite_structure_read(db, bytes, sizeof(bytes), 0), SQLITE_OK);
    assert_memory_equal(bytes, zeros, sizeof(zeros));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_true(is_whole("db"));
    struct stat status;
    assert_int_equal(fstatat(fixture->fd, "db", &status, 0), 0);
    assert_int_equal(status.st_size, 0);
}

static void test_the_text_of_an_error_is_that_of_its_code(void **state)
{
    const struct fixture *fixture = *state;
    assert_int_equal(chdir(fixture->path), 0);
    sqlite3 *db = open_database("db");
    assert_string_equal(sqlite_error_text(db, SQLITE_READONLY),
                        "attempt to write a readonly database");
    assert_string_equal(sqlite_error_text(NULL, SQLITE_FULL), "database or disk is full");
    int code = sqlite3_exec(db, "SELECT * FROM missing", NULL, NULL, NULL);
    assert_string_equal(sqlite_error_text(db, code), "no such table: missing");
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_checking_a_sound_database_does_not_change_it),
        TEST(test_checking_a_damaged_database_does_not_change_it),
        TEST(test_every_root_is_checked),
        TEST(test_random_damage_never_crashes),
        TEST(test_an_empty_file_reads_as_zeros_and_is_sound),
        TEST(test_the_text_of_an_error_is_that_of_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
