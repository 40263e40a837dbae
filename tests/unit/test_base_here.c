#include "tests/unit/support.h"

#include "fs/base/here.h"
#include "fs/base/text.h"

/* Makes PLACE/dir/sub and the link PLACE/link to dir; PLACE becomes the current directory. */
static int here_setup(void **state)
{
    CHECK_EQ(place_setup(state), 0);
    const struct place *place = *state;
    CHECK_EQ(mkdirat(place->fd, "dir", 0755), 0);
    CHECK_EQ(mkdirat(place->fd, "dir/sub", 0755), 0);
    CHECK_EQ(symlinkat("dir", place->fd, "link"), 0);
    place_write(place, "file", "", 0);
    CHECK_EQ(fchdir(place->fd), 0);
    CHECK_EQ(setenv("PWD", place->path, 1), 0);
    return 0;
}

static int here_teardown(void **state)
{
    CHECK_EQ(chdir("/"), 0);
    return place_teardown(state);
}
#define TEST_HERE(function) cmocka_unit_test_setup_teardown(function, here_setup, here_teardown)

/* Checks $PWD, which must be PLACE/NAME, and here_path(), which must be the same. */
static void check_pwd(const struct place *place, const char *name)
{
    AUTO_FREE char *expected = text_format("%s/%s", place->path, name);
    AUTO_FREE char *path = here_path();
    CHECK(expected && path);
    assert_string_equal(getenv("PWD"), expected);
    assert_string_equal(path, expected);
}

/* Checks $PWD, which must be the kernel's path of PLACE/NAME, and the current directory. */
static void check_real_pwd(const struct place *place, const char *name)
{
    AUTO_FREE char *path = text_format("%s/%s", place->path, name);
    AUTO_FREE char *real = path ? realpath(path, NULL) : NULL;
    AUTO_FREE char *current = getcwd(NULL, 0);
    CHECK(real && current);
    assert_string_equal(current, real);
    assert_string_equal(getenv("PWD"), real);
}

static void test_a_link_is_the_same_directory_as_its_target(void **state UNUSED)
{
    CHECK(here_is_same("dir", "link"));
    CHECK(here_is_same("dir/sub/..", "dir"));
    CHECK(here_is_same(".", getenv("PWD")));
}

static void test_other_and_missing_directories_are_not_the_same(void **state UNUSED)
{
    CHECK(!here_is_same("dir", "dir/sub"));
    CHECK(!here_is_same("dir", "missing"));
    CHECK(!here_is_same("missing", "dir"));
    CHECK(!here_is_same("missing", "missing"));
}

static void test_the_path_is_pwd_with_its_links(void **state)
{
    const struct place *place = *state;
    AUTO_FREE char *shown = text_format("%s/link", place->path);
    CHECK(shown);
    CHECK_EQ(chdir("link"), 0);
    CHECK_EQ(setenv("PWD", shown, 1), 0);
    AUTO_FREE char *path = here_path();
    assert_string_equal(path, shown);
}

static void test_a_pwd_that_is_not_the_directory_is_ignored(void **state)
{
    const struct place *place = *state;
    static const char *const wrong[] = {"", ".", "link", "/", "/missing"};
    CHECK_EQ(chdir("dir"), 0);
    AUTO_FREE char *real = getcwd(NULL, 0);
    CHECK(real);
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        CHECK_EQ(setenv("PWD", wrong[i], 1), 0);
        AUTO_FREE char *path = here_path();
        assert_string_equal(path, real);
    }
    CHECK_EQ(setenv("PWD", place->path, 1), 0);
    AUTO_FREE char *stale = here_path();
    assert_string_equal(stale, real);
    CHECK_EQ(unsetenv("PWD"), 0);
    AUTO_FREE char *unset = here_path();
    assert_string_equal(unset, real);
}

static void test_a_directory_that_is_gone_has_no_path(void **state UNUSED)
{
    CHECK_EQ(chdir("dir/sub"), 0);
    CHECK_EQ(rmdir("../sub"), 0);
    errno = 0;
    CHECK(!here_path());
    CHECK_EQ(errno, ENOENT);
}

static void test_entering_keeps_links_in_pwd(void **state)
{
    CHECK_EQ(here_enter("link"), 0);
    check_pwd(*state, "link");
    CHECK(here_is_same(".", "../dir"));
    CHECK_EQ(here_enter("sub"), 0);
    check_pwd(*state, "link/sub");
}

static void test_entering_takes_absolute_paths(void **state)
{
    const struct place *place = *state;
    AUTO_FREE char *path = text_format("%s/link/sub", place->path);
    CHECK(path);
    CHECK_EQ(setenv("PWD", "/missing", 1), 0);
    CHECK_EQ(here_enter(path), 0);
    check_pwd(place, "link/sub");
    CHECK_EQ(here_enter("/"), 0);
    assert_string_equal(getenv("PWD"), "/");
}

static void test_entering_drops_trailing_slashes(void **state)
{
    CHECK_EQ(here_enter("link//"), 0);
    check_pwd(*state, "link");
}

static void test_a_path_with_dots_is_resolved(void **state)
{
    CHECK_EQ(here_enter("link/sub/.."), 0);
    check_real_pwd(*state, "dir");
    CHECK_EQ(here_enter("./sub"), 0);
    check_real_pwd(*state, "dir/sub");
    CHECK_EQ(here_enter(".."), 0);
    check_real_pwd(*state, "dir");
}

static void test_names_that_begin_with_dots_are_kept(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(symlinkat("dir", place->fd, ".hidden"), 0);
    CHECK_EQ(symlinkat("sub", place->fd, "dir/..."), 0);
    CHECK_EQ(here_enter(".hidden"), 0);
    check_pwd(place, ".hidden");
    CHECK_EQ(here_enter("..."), 0);
    check_pwd(place, ".hidden/...");
}

static void test_entering_corrects_a_wrong_pwd(void **state)
{
    CHECK_EQ(setenv("PWD", "/missing", 1), 0);
    CHECK_EQ(here_enter("dir"), 0);
    check_real_pwd(*state, "dir");
    CHECK_EQ(unsetenv("PWD"), 0);
    CHECK_EQ(here_enter("sub"), 0);
    check_real_pwd(*state, "dir/sub");
}

static void test_a_failure_changes_nothing(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(here_enter("missing"), -ENOENT);
    CHECK_EQ(here_enter("file"), -ENOTDIR);
    CHECK_EQ(here_enter(""), -ENOENT);
    assert_string_equal(getenv("PWD"), place->path);
    CHECK(here_is_same(".", place->path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_HERE(test_a_link_is_the_same_directory_as_its_target),
        TEST_HERE(test_other_and_missing_directories_are_not_the_same),
        TEST_HERE(test_the_path_is_pwd_with_its_links),
        TEST_HERE(test_a_pwd_that_is_not_the_directory_is_ignored),
        TEST_HERE(test_a_directory_that_is_gone_has_no_path),
        TEST_HERE(test_entering_keeps_links_in_pwd),
        TEST_HERE(test_entering_takes_absolute_paths),
        TEST_HERE(test_entering_drops_trailing_slashes),
        TEST_HERE(test_a_path_with_dots_is_resolved),
        TEST_HERE(test_names_that_begin_with_dots_are_kept),
        TEST_HERE(test_entering_corrects_a_wrong_pwd),
        TEST_HERE(test_a_failure_changes_nothing),
    };
    return cmocka_run_group_tests_name("base-here", tests, NULL, NULL);
}
