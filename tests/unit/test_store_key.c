/*
 * Golden vectors of the key format, made by another implementation of the comment at the top of
 * key.c. A change of one of them would lose every user's cache: the format would need a new first
 * line, and a new vector.
 */
#include "tests/unit/test_store_fixture.h"

#include "fs/store/key.h"

static struct build_spec *make_spec(struct fixture *fixture)
{
    struct build_spec *spec = build_spec_new();
    assert_non_null(spec);
    assert_int_equal(chdir(fixture->path), 0);
    if (mkdirat(fixture->fd, "migrations", 0755) == 0) {
        write_text(fixture, "migrations/1.sql", "create table t(a);\n");
        write_text(fixture, "migrations/2.sql", "");
        write_text(fixture, "migrations/\xff", "x");
        write_text(fixture, "models.py", "pass\n");
    }
    assert_int_equal(build_spec_set_root(spec, NULL), 0);
    return spec;
}

static void add_builder(struct build_spec *spec, const char *argument)
{
    assert_int_equal(strlist_add(&spec->builder, argument), 0);
}

static void expect_key(const struct build_spec *spec, const char *hex)
{
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    assert_int_equal(key_compute(spec, &key), 0);
    assert_string_equal(key.hex, hex);
}

static void test_the_plainest_key(void **state)
{
    AUTO_SPEC struct build_spec *spec = make_spec(*state);
    add_builder(spec, "/usr/bin/true");
    expect_key(spec, "40a1b9d432e23aa0ab0b70f8dc181a8fca8a00af8a949c1ed43cd54deef7247c");
}

static void test_a_key_with_every_field(void **state)
{
    struct fixture *fixture = *state;
    AUTO_SPEC struct build_spec *spec = make_spec(fixture);
    char text[200];
    add_builder(spec, ".nox/unit/bin/python3");
    (void)snprintf(text, sizeof(text), "%s/./create.py", fixture->path);
    add_builder(spec, text);
    (void)snprintf(text, sizeof(text), "--config=%s/etc/a.ini", fixture->path);
    add_builder(spec, text);
    add_builder(spec, "{out}");
    add_builder(spec, "");
    spec->salt = strdup("pepper");
    spec->file = strdup("data/shop.db");
    assert_int_equal(setenv("MINTFS_T_A", "1\n2", 1), 0);
    assert_int_equal(setenv("MINTFS_T_B", "", 1), 0);
    assert_int_equal(unsetenv("MINTFS_T_C"), 0);
    static const char *const names[] = {"MINTFS_T_C", "MINTFS_T_A", "MINTFS_T_B", "MINTFS_T_A"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_int_equal(strlist_add(&spec->env, names[i]), 0);
    assert_int_equal(strlist_add(&spec->inputs, "models.py"), 0);
    assert_int_equal(strlist_add(&spec->inputs, "./migrations"), 0);
    assert_int_equal(strlist_add(&spec->inputs, "**/*.sql"), 0);
    expect_key(spec, "8c460c0c25733195fcb66313273c53a26707cc16bb4350337a0b880998a9f321");
}

static void test_as_replaces_the_arguments(void **state)
{
    AUTO_SPEC struct build_spec *spec = make_spec(*state);
    add_builder(spec, "anything");
    spec->salt = strdup("");
    spec->as = strdup("make the shop");
    assert_int_equal(strlist_add(&spec->inputs, "models.py"), 0);
    expect_key(spec, "fe3fa5fd133e0696c094a4c4955de11c7593e3bb2fbadfc05349ddc75c57a224");
}

static void test_the_directory_counts_with_relative_arguments(void **state)
{
    AUTO_SPEC struct build_spec *spec = make_spec(*state);
    add_builder(spec, "sh");
    assert_int_equal(chdir("migrations"), 0);
    expect_key(spec, "6e87f9e02fdc8df3f8757e83773840763fc766597e3bef21a4181110b2a27406");
}

static void test_a_linked_directory_counts_with_its_target(void **state)
{
    struct fixture *fixture = *state;
    AUTO_SPEC struct build_spec *spec = make_spec(fixture);
    assert_int_equal(symlinkat("migrations", fixture->fd, "linked"), 0);
    add_builder(spec, "true");
    assert_int_equal(strlist_add(&spec->inputs, "linked"), 0);
    expect_key(spec, "4ca00e02cd99d7418ae0073de85022155ea8c09532857a94784f97cd66625114");
}

static void test_directories_are_limited_in_depth(void **state)
{
    struct fixture *fixture = *state;
    AUTO_SPEC struct build_spec *spec = make_spec(fixture);
    add_builder(spec, "true");
    assert_int_equal(strlist_add(&spec->inputs, "d"), 0);
    int at = dup(fixture->fd);
    for (int i = 0; i < 300; i++) {
        int next = dir_ensure(at, "d", 0755);
        assert_true(next >= 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    assert_int_equal(key_compute(spec, &key), -ELOOP);
}

/* Each call that reads inputs fails in turn, alone and with all later ones. */
static void test_a_failing_call_gives_an_error_and_no_other_key(void **state)
{
    AUTO_SPEC struct build_spec *spec = make_spec(*state);
    add_builder(spec, "true");
    assert_int_equal(strlist_add(&spec->inputs, "migrations"), 0);
    AUTO_KEY struct key whole = {.arguments = STRLIST_INIT};
    assert_int_equal(key_compute(spec, &whole), 0);
    for (int sticky = 0; sticky < 2; sticky++) {
        for (unsigned long nth = 1;; nth++) {
            AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
            io_fault_arm(nth, EIO, sticky);
            int r = key_compute(spec, &key);
            bool was_hit = io_fault_count() >= nth;
            io_fault_arm(0, 0, IO_FAULT_ONCE);
            if (r == 0)
                assert_string_equal(key.hex, whole.hex);
            else
                assert_int_equal(r, -EIO);
            if (!was_hit)
                break;
            assert_true(r < 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_plainest_key),
        TEST(test_a_key_with_every_field),
        TEST(test_as_replaces_the_arguments),
        TEST(test_the_directory_counts_with_relative_arguments),
        TEST(test_a_linked_directory_counts_with_its_target),
        TEST(test_directories_are_limited_in_depth),
        TEST(test_a_failing_call_gives_an_error_and_no_other_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
