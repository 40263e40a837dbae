#include "tests/unit/support.h"

#include "fs/base/text.h"
#include "fs/store/build_spec.h"

static int spec_teardown(void **state)
{
    CHECK_EQ(chdir("/"), 0);
    return place_teardown(state);
}
#define TEST_SPEC(function) cmocka_unit_test_setup_teardown(function, place_setup, spec_teardown)

/* A spec that build_spec_check() accepts. */
static struct build_spec *valid_spec(void)
{
    struct build_spec *spec = build_spec_new();
    CHECK(spec);
    CHECK_EQ(strlist_add(&spec->builder, "make-db"), 0);
    return spec;
}

static void set(char **field, const char *text)
{
    free(*field);
    *field = strdup(text);
    CHECK(*field);
}

/* Checks that the spec is refused with one message, which begins as given. */
static void check_refused(const struct build_spec *spec, const char *message)
{
    stderr_capture();
    int r = build_spec_check(spec);
    AUTO_FREE char *logged = stderr_captured();
    AUTO_FREE char *expected = text_format("mintfs: %s", message);
    CHECK(expected);
    support_context("logged: %s", logged);
    CHECK_EQ(r, -EINVAL);
    CHECK(!strncmp(logged, expected, strlen(expected)));
    CHECK(strchr(logged, '\n') == logged + strlen(logged) - 1);
    support_context("%s", "");
}

static void test_a_new_spec_is_empty(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec && !spec->root && !spec->root_as_typed && !spec->base && !spec->directory);
    CHECK(!spec->salt && !spec->file && !spec->as && !spec->name);
    CHECK(!spec->inputs.count && !spec->excludes.count && !spec->env.count && !spec->builder.count);
}

static void test_the_file_is_app_db_unless_the_spec_names_another(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    assert_string_equal(build_spec_file(spec), "app.db");
    set(&spec->file, "data/shop.db");
    assert_string_equal(build_spec_file(spec), "data/shop.db");
}

static void test_a_builder_alone_is_enough(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    CHECK_EQ(build_spec_check(spec), 0);
    set(&spec->name, "shop");
    set(&spec->file, "data/shop.db");
    CHECK_EQ(strlist_add(&spec->env, "LANG"), 0);
    CHECK_EQ(build_spec_check(spec), 0);
}

static void test_without_a_builder_a_spec_is_refused(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec);
    check_refused(spec, "no builder: ");
    CHECK_EQ(strlist_add(&spec->builder, ""), 0);
    check_refused(spec, "no builder: ");
}

static void test_arguments_of_the_builder_may_be_empty(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    CHECK_EQ(strlist_add(&spec->builder, ""), 0);
    CHECK_EQ(build_spec_check(spec), 0);
}

static void test_a_name_that_is_not_valid_is_refused(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    set(&spec->name, "a/b");
    check_refused(spec, "\"a/b\" cannot be a name: ");
    set(&spec->name, "dead");
    check_refused(spec, "\"dead\" cannot be a name: ");
    set(&spec->name, "");
    check_refused(spec, "\"\" cannot be a name: ");
}

static void test_a_file_outside_the_template_is_refused(void **state UNUSED)
{
    static const char *const files[] = {"/app.db", "../app.db", "a/../app.db", ".",
                                        "",        "data/",     "a//b",        "./app.db"};
    AUTO_SPEC struct build_spec *spec = valid_spec();
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        set(&spec->file, files[i]);
        AUTO_FREE char *message = text_format("--file %s: ", files[i]);
        CHECK(message);
        check_refused(spec, message);
    }
}

static void test_a_variable_with_a_value_is_refused(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    CHECK_EQ(strlist_add(&spec->env, "LANG"), 0);
    CHECK_EQ(strlist_add(&spec->env, "LANG=C"), 0);
    check_refused(spec, "--env \"LANG=C\": ");
}

static void test_a_variable_without_a_name_is_refused(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = valid_spec();
    CHECK_EQ(strlist_add(&spec->env, ""), 0);
    check_refused(spec, "--env \"\": ");
}

/* The kernel's path of PLACE/NAME. */
static char *real_path(const struct place *place, const char *name)
{
    AUTO_FREE char *path = text_format("%s/%s", place->path, name);
    char *real = path ? realpath(path, NULL) : NULL;
    CHECK(real);
    return real;
}

static void make_root(const struct place *place)
{
    CHECK_EQ(mkdirat(place->fd, "real", 0755), 0);
    CHECK_EQ(mkdirat(place->fd, "real/sub", 0755), 0);
    CHECK_EQ(symlinkat("real", place->fd, "link"), 0);
    CHECK_EQ(fchdir(place->fd), 0);
    CHECK_EQ(setenv("PWD", place->path, 1), 0);
}

static void test_an_absolute_root_is_kept_as_typed_and_resolved(void **state)
{
    const struct place *place = *state;
    make_root(place);
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    AUTO_FREE char *real = real_path(place, "real");
    AUTO_FREE char *link = text_format("%s/link", place->path);
    AUTO_FREE char *slashes = text_format("%s/link//", place->path);
    CHECK(spec && link && slashes);
    CHECK_EQ(build_spec_set_root(spec, link), 0);
    assert_string_equal(spec->root, real);
    assert_string_equal(spec->root_as_typed, link);
    CHECK_EQ(build_spec_set_root(spec, slashes), 0);
    assert_string_equal(spec->root, real);
    assert_string_equal(spec->root_as_typed, link);
    CHECK_EQ(build_spec_set_root(spec, "/"), 0);
    assert_string_equal(spec->root, "/");
    assert_string_equal(spec->root_as_typed, "/");
}

static void test_a_relative_root_is_relative_to_the_current_directory(void **state)
{
    const struct place *place = *state;
    make_root(place);
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    AUTO_FREE char *real = real_path(place, "real/sub");
    CHECK(spec);
    CHECK_EQ(build_spec_set_root(spec, "link/sub"), 0);
    assert_string_equal(spec->root, real);
    assert_string_equal(spec->root_as_typed, real);
}

static void test_the_current_directory_as_root_is_typed_as_in_pwd(void **state)
{
    const struct place *place = *state;
    make_root(place);
    AUTO_FREE char *real = real_path(place, "real");
    AUTO_FREE char *link = text_format("%s/link", place->path);
    CHECK(link);
    CHECK_EQ(chdir("link"), 0);
    CHECK_EQ(setenv("PWD", link, 1), 0);
    static const char *const paths[] = {NULL, "."};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        AUTO_SPEC struct build_spec *spec = build_spec_new();
        CHECK(spec);
        CHECK_EQ(build_spec_set_root(spec, paths[i]), 0);
        assert_string_equal(spec->root, real);
        assert_string_equal(spec->root_as_typed, link);
    }
}

static void check_no_root(const char *path, int error, const char *message)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec);
    stderr_capture();
    int r = build_spec_set_root(spec, path);
    AUTO_FREE char *logged = stderr_captured();
    CHECK_EQ(r, error);
    assert_string_equal(logged, message);
}

static void test_a_root_that_is_no_directory_is_an_error(void **state)
{
    make_root(*state);
    place_write(*state, "file", "x", 1);
    check_no_root("missing", -ENOENT, "mintfs: root missing: No such file or directory\n");
    check_no_root("", -ENOENT, "mintfs: root : No such file or directory\n");
    check_no_root("file", -ENOTDIR, "mintfs: root file: Not a directory\n");
}

static void test_a_current_directory_that_is_gone_is_an_error(void **state)
{
    make_root(*state);
    CHECK_EQ(chdir("real/sub"), 0);
    CHECK_EQ(rmdir("../sub"), 0);
    check_no_root(NULL, -ENOENT, "mintfs: root .: No such file or directory\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_SPEC(test_a_new_spec_is_empty),
        TEST_SPEC(test_the_file_is_app_db_unless_the_spec_names_another),
        TEST_SPEC(test_a_builder_alone_is_enough),
        TEST_SPEC(test_without_a_builder_a_spec_is_refused),
        TEST_SPEC(test_arguments_of_the_builder_may_be_empty),
        TEST_SPEC(test_a_name_that_is_not_valid_is_refused),
        TEST_SPEC(test_a_file_outside_the_template_is_refused),
        TEST_SPEC(test_a_variable_with_a_value_is_refused),
        TEST_SPEC(test_a_variable_without_a_name_is_refused),
        TEST_SPEC(test_an_absolute_root_is_kept_as_typed_and_resolved),
        TEST_SPEC(test_a_relative_root_is_relative_to_the_current_directory),
        TEST_SPEC(test_the_current_directory_as_root_is_typed_as_in_pwd),
        TEST_SPEC(test_a_root_that_is_no_directory_is_an_error),
        TEST_SPEC(test_a_current_directory_that_is_gone_is_an_error),
    };
    return cmocka_run_group_tests_name("store-build-spec", tests, NULL, NULL);
}
