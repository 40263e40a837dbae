#include "tests/unit/support.h"

#include <limits.h>

#include "fs/base/text.h"
#include "fs/store/rootpath.h"

static void test_normalising_needs_the_text_alone(void **state UNUSED)
{
    static const char *const cases[][2] = {
        {"/a//b/./c/", "/a/b/c"}, {"/a/../b", "/b"}, {"/../a", "/a"}, {"/", "/"},
        {"a/./b", "a/b"},         {"a/..", "."},     {"..", ".."},    {"../a", "../a"},
        {"a/../../b", "../b"},    {"./", "."},       {"", "."},       {"a/b/../../../..", "../.."},
        {"/a/b/../../../c", "/c"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s", cases[i][0]);
        rootpath_normalise(path);
        assert_string_equal(path, cases[i][1]);
    }
}

static void test_below_needs_whole_parts(void **state UNUSED)
{
    assert_string_equal(rootpath_below("/a", "/a/b"), "b");
    assert_string_equal(rootpath_below("/a", "/a"), ".");
    CHECK(!rootpath_below("/a", "/ab"));
    CHECK(!rootpath_below("/a/b", "/a"));
    assert_string_equal(rootpath_below("/", "/ab"), "ab");
    assert_string_equal(rootpath_below("/", "/"), ".");
}

/* The relative path of PLACE/NAME for a root whose real path is PLACE/real, typed as PLACE/link. */
static void check_relative(const struct place *place, const char *name, const char *expected)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    AUTO_FREE char *link = text_format("%s/link", place->path);
    AUTO_FREE char *path = text_format("%s/%s", place->path, name);
    AUTO_FREE char *relative = NULL;
    CHECK(spec && link && path);
    CHECK_EQ(build_spec_set_root(spec, link), 0);
    CHECK_EQ(rootpath_relative(spec, path, &relative), 0);
    support_context("%s is %s", name, relative ? relative : "outside");
    CHECK(expected ? relative && !strcmp(relative, expected) : !relative);
    support_context("%s", "");
}

static void make_root(const struct place *place)
{
    CHECK_EQ(mkdirat(place->fd, "real", 0755), 0);
    CHECK_EQ(mkdirat(place->fd, "real/sub", 0755), 0);
    CHECK_EQ(mkdirat(place->fd, "real-not", 0755), 0);
    CHECK_EQ(symlinkat("real", place->fd, "link"), 0);
    CHECK_EQ(symlinkat("real/sub", place->fd, "into"), 0);
    CHECK_EQ(symlinkat("../real-not", place->fd, "real/out"), 0);
}

static void test_both_spellings_of_the_root_count(void **state)
{
    make_root(*state);
    check_relative(*state, "real/a/b", "a/b");
    check_relative(*state, "link/a/../b", "b");
    check_relative(*state, "link", ".");
    check_relative(*state, "real/", ".");
}

static void test_outside_the_root_there_is_no_relative_path(void **state)
{
    make_root(*state);
    check_relative(*state, "other", NULL);
    check_relative(*state, "real-not", NULL);
    check_relative(*state, "link/../other", NULL);
    check_relative(*state, "..", NULL);
}

static void test_a_link_into_the_root_is_resolved(void **state)
{
    make_root(*state);
    check_relative(*state, "into/not/yet/made", "sub/not/yet/made");
    check_relative(*state, "into", "sub");
}

static void test_a_link_out_of_the_root_counts_by_its_text(void **state)
{
    make_root(*state);
    check_relative(*state, "real/out/x", "out/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_normalising_needs_the_text_alone),
        TEST(test_below_needs_whole_parts),
        TEST(test_both_spellings_of_the_root_count),
        TEST(test_outside_the_root_there_is_no_relative_path),
        TEST(test_a_link_into_the_root_is_resolved),
        TEST(test_a_link_out_of_the_root_counts_by_its_text),
    };
    return cmocka_run_group_tests_name("store-rootpath", tests, NULL, NULL);
}
