/*
 * A store, in one process: names, resolving, listing, and publishing with every Nth call failing.
 */
#include "tests/unit/test_store_fixture.h"

#include <pthread.h>
#include <sqlite3.h>

#include "fs/store/build.h"
#include "fs/store/catalog.h"
#include "fs/store/export_file.h"
#include "fs/store/key.h"
#include "fs/store/names.h"
#include "fs/store/seal.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"

static struct store *open_store(const struct fixture *fixture)
{
    char path[100];
    struct store *store = NULL;
    (void)snprintf(path, sizeof(path), "%s/store", fixture->path);
    assert_int_equal(setenv("MINTFS_STORE", path, 1), 0);
    assert_int_equal(store_open(&store), 0);
    return store;
}

/* A builder that writes a database without using SQLite. */
static struct build_spec *make_spec(const struct fixture *fixture, const char *salt)
{
    struct build_spec *spec = build_spec_new();
    sqlite3 *db = NULL;
    assert_non_null(spec);
    assert_int_equal(chdir(fixture->path), 0);
    if (faccessat(fixture->fd, "made.db", F_OK, 0) < 0) {
        assert_int_equal(sqlite3_open("made.db", &db), SQLITE_OK);
        assert_int_equal(
            sqlite3_exec(db, "PRAGMA journal_mode=WAL; CREATE TABLE t(a)", NULL, NULL, NULL),
            SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
    }
    assert_int_equal(build_spec_set_root(spec, NULL), 0);
    static const char *const builder[] = {
        "sh", "-c", "cp made.db $MINTFS_OUT; mkdir $MINTFS_DIR/d; echo x > $MINTFS_DIR/d/x"};
    for (size_t i = 0; i < ARRAY_LENGTH(builder); i++)
        assert_int_equal(strlist_add(&spec->builder, builder[i]), 0);
    assert_int_equal(strlist_add(&spec->inputs, "made.db"), 0);
    spec->salt = strdup(salt);
    spec->name = strdup("unit");
    return spec;
}

static int count(const char *text UNUSED, const char *key UNUSED, void *context)
{
    ++*(int *)context;
    return 0;
}

static int count_keys(const struct store *store)
{
    int number = 0;
    assert_int_equal(template_each_key(store, count, &number), 0);
    return number;
}

static void build(struct store *store, const struct fixture *fixture, const char *salt,
                  char ret_key[SHA256_HEX_LENGTH + 1])
{
    AUTO_SPEC struct build_spec *spec = make_spec(fixture, salt);
    struct build_result result;
    assert_int_equal(build_template(store, spec, &result), 0);
    memcpy(ret_key, result.key, sizeof(result.key));
}

static void test_which_names_are_valid(void **state UNUSED)
{
    static const char *const good[] = {"a", "unit", "Unit_Test-1.0", "abc", "12", "abcg", "1.5.9"};
    static const char *const bad[] = {"",     ".a",       "..",   "a/b",      "a b",
                                      "abcd", "DEADBEEF", "1234", "\xc3\xbc", "a\n"};
    char longest[66];
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        assert_true(name_is_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_false(name_is_valid(bad[i]));
    memset(longest, 'x', 65);
    longest[65] = '\0';
    assert_false(name_is_valid(longest));
    longest[64] = '\0';
    assert_true(name_is_valid(longest));
}

static void test_keys_names_and_prefixes_resolve(void **state)
{
    struct fixture *fixture = *state;
    AUTO_STORE struct store *store = open_store(fixture);
    char key[SHA256_HEX_LENGTH + 1];
    char other[SHA256_HEX_LENGTH + 1];
    char found[SHA256_HEX_LENGTH + 1];
    assert_int_equal(template_resolve(store, "unit", found), -ENOENT);
    build(store, fixture, "1", key);
    build(store, fixture, "2", other);
    assert_int_equal(template_resolve(store, "unit", found), 0);
    assert_string_equal(found, other);
    assert_int_equal(template_resolve(store, key, found), 0);
    assert_string_equal(found, key);
    char prefix[64];
    memcpy(prefix, key, 63);
    prefix[63] = '\0';
    assert_int_equal(template_resolve(store, prefix, found), 0);
    prefix[12] = '\0';
    assert_int_equal(template_resolve(store, prefix, found), 0);
    assert_string_equal(found, key);
    prefix[0] = prefix[0] == 'f' ? '0' : 'f';
    assert_int_equal(template_resolve(store, prefix, found), -ENOENT);
    char wrong[300];
    memset(wrong, 'a', 256);
    wrong[256] = '\0';
    assert_int_equal(template_resolve(store, wrong, found), -EINVAL);
    assert_int_equal(template_resolve(store, "..", found), -EINVAL);
    assert_int_equal(template_resolve(store, "", found), -EINVAL);
    assert_int_equal(template_resolve(store, "a/b", found), -EINVAL);
    assert_int_equal(template_resolve(store, "nobody", found), -ENOENT);
    assert_false(template_exists(store, ".."));
    assert_true(template_exists(store, key));
    int names = 0;
    assert_int_equal(template_each_name(store, count, &names), 0);
    assert_int_equal(names, 1);
    assert_int_equal(count_keys(store), 2);
    assert_int_equal(template_put_aside(store, other), 0);
    assert_int_equal(template_key_of_name(store, "unit", found), -ENOENT);
    assert_int_equal(count_keys(store), 1);
}

static void test_a_template_opens_only_under_its_own_key(void **state)
{
    struct fixture *fixture = *state;
    AUTO_STORE struct store *store = open_store(fixture);
    AUTO_TEMPLATE struct template *template = NULL;
    char key[SHA256_HEX_LENGTH + 1];
    build(store, fixture, "1", key);
    assert_int_equal(template_open(store, key, &template), 0);
    AUTO_FD int fd = template_open_file(template, "d/x");
    assert_true(fd >= 0);
    AUTO_FD int none = template_open_file(template, "../manifest.json");
    assert_true(none < 0);
    assert_true(manifest_find(template->manifest, "app.db")->starts_in_wal);
    AUTO_TEMPLATE struct template *missing = NULL;
    key[0] = key[0] == '0' ? '1' : '0';
    assert_int_equal(template_open(store, key, &missing), -ENOENT);
}

/* As the daemon does: looks names up while the catalog's file is removed. */
struct lookups {
    struct store *store;
    const char *key;
    bool stop;
    int wrong;
};

static void *look_up(void *context)
{
    struct lookups *lookups = context;
    while (!__atomic_load_n(&lookups->stop, __ATOMIC_ACQUIRE)) {
        char key[SHA256_HEX_LENGTH + 1];
        int r = template_key_of_name(lookups->store, "unit", key);
        if (r != 0 || strcmp(key, lookups->key) != 0)
            __atomic_fetch_add(&lookups->wrong, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void test_names_are_found_while_the_catalog_is_removed(void **state)
{
    struct fixture *fixture = *state;
    AUTO_STORE struct store *store = open_store(fixture);
    AUTO_STORE struct store *other = open_store(fixture);
    char key[SHA256_HEX_LENGTH + 1];
    build(store, fixture, "1", key);
    struct lookups lookups = {.store = store, .key = key};
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up, &lookups), 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(unlinkat(store->v1_fd, "catalog.db", 0), 0);
        assert_int_equal(catalog_hit(other->catalog, key, NULL), 0);
        AUTO_TEMPLATE struct template *template = NULL;
        assert_int_equal(template_open(other, key, &template), 0);
        assert_int_equal(catalog_hit(other->catalog, key, NULL), 1);
    }
    __atomic_store_n(&lookups.stop, true, __ATOMIC_RELEASE);
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(lookups.wrong, 0);
}

/* After each failure the next build succeeds. */
static void test_a_failing_call_leaves_a_whole_template_or_none(void **state)
{
    struct fixture *fixture = *state;
    AUTO_STORE struct store *store = open_store(fixture);
    for (int sticky = 0; sticky < 2; sticky++) {
        for (unsigned long nth = 1;; nth++) {
            char salt[40];
            (void)snprintf(salt, sizeof(salt), "%d.%lu", sticky, nth);
            AUTO_SPEC struct build_spec *spec = make_spec(fixture, salt);
            struct build_result result = {.key = ""};
            io_fault_arm(nth, ENOSPC, sticky);
            int r = build_template(store, spec, &result);
            bool was_hit = io_fault_count() >= nth;
            io_fault_arm(0, 0, IO_FAULT_ONCE);
            if (!was_hit) {
                assert_int_equal(r, 0);
                break;
            }
            AUTO_TEMPLATE struct template *template = NULL;
            if (r == 0)
                assert_int_equal(template_open(store, result.key, &template), 0);
            AUTO_TEMPLATE struct template *again = NULL;
            assert_int_equal(build_template(store, spec, &result), 0);
            assert_int_equal(template_open(store, result.key, &again), 0);
            assert_int_equal(again->manifest->entry_count, 3);
        }
    }
    assert_int_equal(dir_is_empty(store->building_fd), 1);
    assert_int_equal(dir_is_empty(store->locks_fd), 1);
}

static void test_a_failing_call_leaves_the_old_file_or_the_new_one(void **state)
{
    struct fixture *fixture = *state;
    AUTO_STORE struct store *store = open_store(fixture);
    AUTO_TEMPLATE struct template *template = NULL;
    char key[SHA256_HEX_LENGTH + 1];
    build(store, fixture, "1", key);
    assert_int_equal(template_open(store, key, &template), 0);
    assert_int_equal(mkdirat(fixture->fd, "to", 0755), 0);
    for (unsigned long nth = 1;; nth++) {
        AUTO_FREE char *text = NULL;
        size_t size = 0;
        write_text(fixture, "to/placed.db", "the old file");
        io_fault_arm(nth, EIO, IO_FAULT_ONCE);
        int r = export_file(template, "to/placed.db");
        bool was_hit = io_fault_count() >= nth;
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        assert_int_equal(dir_read_file(fixture->fd, "to/placed.db", 1 << 20, &text, &size), 0);
        assert_true(!strcmp(text, "the old file") || size == 8192);
        assert_true(r < 0 || size == 8192);
        int entries = 0;
        DIR *stream = opendir("to");
        while (readdir(stream))
            entries++;
        (void)closedir(stream);
        assert_int_equal(entries, 3);
        if (!was_hit)
            break;
    }
}

static void test_seal_refuses_an_empty_tree(void **state)
{
    struct fixture *fixture = *state;
    AUTO_MANIFEST struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert_int_equal(seal_tree(fixture->fd, fixture->path, "app.db", manifest), -ENODATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_which_names_are_valid),
        TEST(test_keys_names_and_prefixes_resolve),
        TEST(test_a_template_opens_only_under_its_own_key),
        TEST(test_names_are_found_while_the_catalog_is_removed),
        TEST(test_a_failing_call_leaves_a_whole_template_or_none),
        TEST(test_a_failing_call_leaves_the_old_file_or_the_new_one),
        TEST(test_seal_refuses_an_empty_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
