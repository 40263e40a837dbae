#include "tests/unit/support.h"

#include "fs/base/text.h"
#include "fs/store/input_filter.h"

static void test_what_tools_leave_among_sources_is_omitted(void **state UNUSED)
{
    static const char *const names[] = {"__pycache__", "a.pyc",      ".a.pyc",  ".git",
                                        ".a.swp",      ".a.sql.swo", ".a.swa",  "a.sql~",
                                        ".a~",         ".#a.sql",    "#a.sql#", "4913"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        support_context("%s", names[i]);
        CHECK(input_filter_omits_name(names[i]));
    }
    support_context("%s", "");
}

static void test_names_that_look_similar_are_inputs(void **state UNUSED)
{
    static const char *const names[] = {"a.py",   "pyc",     "a.pyc.sql", "pycache", ".gitignore",
                                        "git",    "a.swp",   ".a.swq",    ".swp",    "~a",
                                        "a~.sql", "#a",      "a#",        "49130",   "04913",
                                        ".a.sql", "__init__"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        support_context("%s", names[i]);
        CHECK(!input_filter_omits_name(names[i]));
    }
    support_context("%s", "");
}

/* Whether a spec with this base and this exclude excludes the path. */
static bool excludes(const char *base, const char *pattern, const char *path)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec);
    spec->base = base ? strdup(base) : NULL;
    CHECK_EQ(strlist_add(&spec->excludes, "another.txt"), 0);
    CHECK_EQ(strlist_add(&spec->excludes, pattern), 0);
    struct input_filter filter;
    CHECK_EQ(input_filter_init(&filter, spec), 0);
    bool answer = input_filter_excludes(&filter, path);
    input_filter_fini(&filter);
    return answer;
}

static void test_an_exclude_without_a_slash_matches_names_at_any_depth(void **state UNUSED)
{
    CHECK(excludes(NULL, "*.md", "a.md"));
    CHECK(excludes(NULL, "*.md", "docs/deep/a.md"));
    CHECK(excludes("sub", "*.md", "a.md"));
    CHECK(!excludes(NULL, "*.md", "a.sql"));
    CHECK(!excludes(NULL, "docs", "docs/a.md"));
    CHECK(!excludes(NULL, "*.md", "a.md/b"));
}

static void test_an_exclude_with_a_slash_matches_the_whole_path(void **state UNUSED)
{
    CHECK(excludes(NULL, "docs/*.md", "docs/a.md"));
    CHECK(!excludes(NULL, "docs/*.md", "more/docs/a.md"));
    CHECK(!excludes(NULL, "docs/*.md", "docs/deep/a.md"));
    CHECK(excludes(NULL, "docs/**", "docs/deep/a.md"));
    CHECK(excludes(NULL, "./a.md", "a.md"));
    CHECK(!excludes(NULL, "./a.md", "docs/a.md"));
}

static void test_an_exclude_with_a_slash_is_relative_to_the_base(void **state UNUSED)
{
    CHECK(excludes("sub", "docs/a.md", "sub/docs/a.md"));
    CHECK(!excludes("sub", "docs/a.md", "docs/a.md"));
    CHECK(excludes("sub/deep", "../docs/a.md", "sub/docs/a.md"));
}

static void test_a_leading_slash_makes_an_exclude_relative_to_the_root(void **state UNUSED)
{
    CHECK(excludes("sub", "/docs/a.md", "docs/a.md"));
    CHECK(!excludes("sub", "/docs/a.md", "sub/docs/a.md"));
    CHECK(excludes(NULL, "/a.md", "a.md"));
    CHECK(!excludes(NULL, "/a.md", "docs/a.md"));
}

static void test_two_leading_stars_match_from_the_root_on(void **state UNUSED)
{
    CHECK(excludes("sub", "**/docs/a.md", "other/docs/a.md"));
    CHECK(excludes("sub", "**/docs/a.md", "docs/a.md"));
}

static void test_wildcards_in_the_name_of_the_base_are_literal(void **state UNUSED)
{
    CHECK(excludes("s*b", "docs/a", "s*b/docs/a"));
    CHECK(!excludes("s*b", "docs/a", "sub/docs/a"));
    CHECK(excludes("s?b", "docs/a", "s?b/docs/a"));
    CHECK(!excludes("s?b", "docs/a", "sub/docs/a"));
    CHECK(excludes("s[u]b", "docs/a", "s[u]b/docs/a"));
    CHECK(!excludes("s[u]b", "docs/a", "sub/docs/a"));
    CHECK(excludes("s\\ub", "docs/a", "s\\ub/docs/a"));
    CHECK(!excludes("s\\ub", "docs/a", "sub/docs/a"));
}

static void test_an_excluded_directory_excludes_what_is_below_it(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec);
    CHECK_EQ(strlist_add(&spec->excludes, "cache"), 0);
    CHECK_EQ(strlist_add(&spec->excludes, "docs/old"), 0);
    struct input_filter filter;
    CHECK_EQ(input_filter_init(&filter, spec), 0);
    CHECK(input_filter_excludes_above(&filter, "a/cache/b/c"));
    CHECK(input_filter_excludes_above(&filter, "cache/b"));
    CHECK(input_filter_excludes_above(&filter, "a/cache"));
    CHECK(input_filter_excludes_above(&filter, "docs/old/b"));
    CHECK(!input_filter_excludes_above(&filter, "a/caches/b"));
    CHECK(!input_filter_excludes_above(&filter, "docs/b"));
    CHECK(!input_filter_excludes_above(&filter, "a"));
    CHECK(!input_filter_excludes(&filter, "cache/b"));
    input_filter_fini(&filter);
}

static void test_without_excludes_nothing_is_excluded(void **state UNUSED)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    CHECK(spec);
    struct input_filter filter;
    CHECK_EQ(input_filter_init(&filter, spec), 0);
    CHECK(!input_filter_excludes(&filter, "a"));
    CHECK(!input_filter_excludes_above(&filter, "a/b"));
    input_filter_fini(&filter);
}

static void test_an_exclude_that_is_not_valid_is_named(void **state UNUSED)
{
    static const struct {
        const char *base;
        const char *pattern;
    } cases[] = {{NULL, "[a"}, {NULL, "../a"}, {"sub", "../../a"}, {NULL, ""}, {NULL, "a//b"}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        AUTO_SPEC struct build_spec *spec = build_spec_new();
        CHECK(spec);
        spec->base = cases[i].base ? strdup(cases[i].base) : NULL;
        CHECK_EQ(strlist_add(&spec->excludes, "*.md"), 0);
        CHECK_EQ(strlist_add(&spec->excludes, cases[i].pattern), 0);
        struct input_filter filter;
        stderr_capture();
        int r = input_filter_init(&filter, spec);
        AUTO_FREE char *logged = stderr_captured();
        input_filter_fini(&filter);
        AUTO_FREE char *expected =
            text_format("mintfs: --exclude %s: this pattern is not valid, or leads outside the "
                        "root\n",
                        cases[i].pattern);
        assert_string_equal(logged, expected);
        CHECK_EQ(r, -EINVAL);
    }
}

/* Whether the filter takes the directory for the store. */
static bool takes_for_store(const struct place *place, const char *name)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    struct input_filter filter;
    struct stat status;
    CHECK(spec);
    CHECK_EQ(fstatat(place->fd, name, &status, 0), 0);
    CHECK_EQ(input_filter_init(&filter, spec), 0);
    bool answer = input_filter_is_store(&filter, &status);
    input_filter_fini(&filter);
    return answer;
}

static void name_store(const struct place *place, const char *name)
{
    AUTO_FREE char *store = text_format("%s/%s", place->path, name);
    CHECK(store);
    CHECK_EQ(setenv("MINTFS_STORE", store, 1), 0);
}

static void test_the_store_is_known_by_any_of_its_paths(void **state)
{
    const struct place *place = *state;
    static const char *const names[] = {"store", "link"};
    CHECK_EQ(mkdirat(place->fd, "store", 0700), 0);
    CHECK_EQ(mkdirat(place->fd, "other", 0700), 0);
    CHECK_EQ(symlinkat("store", place->fd, "link"), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        name_store(place, names[i]);
        CHECK(takes_for_store(place, "store"));
        CHECK(takes_for_store(place, "link"));
        CHECK(!takes_for_store(place, "other"));
    }
}

static void test_a_store_that_is_not_there_omits_nothing(void **state)
{
    const struct place *place = *state;
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    struct input_filter filter;
    CHECK(spec);
    name_store(place, "store");
    CHECK(!takes_for_store(place, "."));
    CHECK_EQ(input_filter_init(&filter, spec), 0);
    CHECK(!input_filter_is_store(&filter, &(struct stat){.st_ino = 0}));
    input_filter_fini(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_tools_leave_among_sources_is_omitted),
        TEST(test_names_that_look_similar_are_inputs),
        TEST(test_an_exclude_without_a_slash_matches_names_at_any_depth),
        TEST(test_an_exclude_with_a_slash_matches_the_whole_path),
        TEST(test_an_exclude_with_a_slash_is_relative_to_the_base),
        TEST(test_a_leading_slash_makes_an_exclude_relative_to_the_root),
        TEST(test_two_leading_stars_match_from_the_root_on),
        TEST(test_wildcards_in_the_name_of_the_base_are_literal),
        TEST(test_an_excluded_directory_excludes_what_is_below_it),
        TEST(test_without_excludes_nothing_is_excluded),
        TEST(test_an_exclude_that_is_not_valid_is_named),
        TEST(test_the_store_is_known_by_any_of_its_paths),
        TEST(test_a_store_that_is_not_there_omits_nothing),
    };
    return cmocka_run_group_tests_name("store-input-filter", tests, NULL, NULL);
}
