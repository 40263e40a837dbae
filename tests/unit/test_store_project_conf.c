#include "tests/unit/test_store_fixture.h"

#include "fs/store/project_conf.h"

static int read_conf(struct fixture *fixture, const char *text, const char *section,
                     struct build_spec **ret_spec)
{
    assert_int_equal(chdir(fixture->path), 0);
    write_text(fixture, CONF_FILE, text);
    const struct project_conf_request request = {.section = section};
    return project_conf_read(&request, ret_spec);
}

static void test_a_section_fills_a_spec(void **state)
{
    AUTO_SPEC struct build_spec *spec = NULL;
    static const char text[] = "\xef\xbb\xbf; top\r\n[unit]\r\n  input = a b\r\n\tc = d\r\n\r\n"
                               "   # comment\r\n  [e]\r\ninput=f\r\nexclude =\r\n  *.md\r\n"
                               "env = A\nenv = B\nsalt =\nfile = x/y.db\nas = text\n"
                               "builder = sh -c\n   'x = [y] ; z'\n   {out}";
    assert_int_equal(read_conf(*state, text, NULL, &spec), 0);
    assert_string_equal(spec->name, "unit");
    assert_int_equal(spec->inputs.count, 4);
    assert_string_equal(spec->inputs.items[1], "c = d");
    assert_string_equal(spec->inputs.items[2], "[e]");
    assert_string_equal(spec->inputs.items[3], "f");
    assert_int_equal(spec->excludes.count, 1);
    assert_int_equal(spec->env.count, 2);
    assert_string_equal(spec->salt, "");
    assert_string_equal(spec->file, "x/y.db");
    assert_string_equal(spec->as, "text");
    assert_int_equal(spec->builder.count, 4);
    assert_string_equal(spec->builder.items[2], "x = [y] ; z");
    assert_string_equal(spec->root, spec->root_as_typed);
}

/* inih would cut both silently. */
static void test_long_lines_and_names_are_not_cut(void **state)
{
    AUTO_SPEC struct build_spec *spec = NULL;
    char name[65];
    char word[3000];
    memset(name, 's', 64);
    name[64] = '\0';
    memset(word, 'w', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    AUTO_FREE char *text = NULL;
    assert_true(asprintf(&text, "[%s]\nbuilder = a %s\n", name, word) > 0);
    assert_int_equal(read_conf(*state, text, name, &spec), 0);
    assert_string_equal(spec->name, name);
    assert_string_equal(spec->builder.items[1], word);
}

static void test_faults_are_errors(void **state)
{
    static const struct {
        const char *text;
        const char *section;
        int error;
    } cases[] = {
        {"", NULL, -EINVAL},
        {"[a]\nbuilder = x\n[b]\nbuilder = y\n", NULL, -EINVAL},
        {"[a]\nbuilder = x\n", "b", -ENOENT},
        {"[a]\ninput = x\n", "a", -EINVAL},
        {"[a]\nbuilder = 'x\n", "a", -EINVAL},
        {"[a]\nbuilder = x\nfoo = 1\n", "a", -EINVAL},
        {"[a]\nbuilder = x\n[b]\nfoo = 1\n", "a", -EINVAL},
        {"[a]\nbuilder = x\n[a]\n", "a", -EINVAL},
        {"[a]]\n", NULL, -EINVAL},
        {"[]\n", NULL, -EINVAL},
        {"[a\n", NULL, -EINVAL},
        {"[beef]\nbuilder = x\n", NULL, -EINVAL},
        {"  x\n", NULL, -EINVAL},
        {"= x\n", NULL, -EINVAL},
        {"[a]\n= x\n", NULL, -EINVAL},
        {"[a]\nfile = a\n b\n", NULL, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        AUTO_SPEC struct build_spec *spec = NULL;
        assert_int_equal(read_conf(*state, cases[i].text, cases[i].section, &spec), cases[i].error);
    }
}

static void test_a_missing_file_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    AUTO_SPEC struct build_spec *spec = NULL;
    assert_int_equal(chdir(fixture->path), 0);
    const struct project_conf_request any = {.section = NULL};
    const struct project_conf_request one = {.section = "a"};
    assert_int_equal(project_conf_read(&any, &spec), -ENOENT);
    assert_int_equal(project_conf_read(&one, &spec), -ENOENT);
    assert_int_equal(project_conf_look("a", &spec), 0);
    assert_int_equal(mkdirat(fixture->fd, CONF_FILE, 0755), 0);
    assert_true(project_conf_read(&any, &spec) < 0);
    assert_true(project_conf_look("a", &spec) < 0);
}

/* Changes to `below` in the fixture's directory and reads the file in force there. */
static int read_below(struct fixture *fixture, const char *text, const char *below,
                      const char *root, struct build_spec **ret_spec)
{
    const struct project_conf_request request = {.section = "a", .root = root};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", fixture->path, below);
    write_text(fixture, CONF_FILE, text);
    assert_int_equal(chdir(path), 0);
    int r = project_conf_read(&request, ret_spec);
    assert_int_equal(chdir(fixture->path), 0);
    return r;
}

static void make_tree(struct fixture *fixture)
{
    assert_int_equal(mkdirat(fixture->fd, "x", 0755), 0);
    assert_int_equal(mkdirat(fixture->fd, "x/y", 0755), 0);
}

static void test_paths_are_relative_to_the_file(void **state)
{
    struct fixture *fixture = *state;
    make_tree(fixture);
    AUTO_SPEC struct build_spec *here = NULL;
    AUTO_SPEC struct build_spec *below = NULL;
    static const char text[] = "[a]\nbuilder = x\ninput = i\n";
    assert_int_equal(read_below(fixture, text, ".", NULL, &here), 0);
    assert_null(here->directory);
    assert_int_equal(read_below(fixture, text, "x/y", NULL, &below), 0);
    assert_string_equal(below->directory, fixture->path);
    assert_string_equal(below->root, here->root);
    assert_null(below->base);
}

static void test_a_root_may_be_above_the_file(void **state)
{
    struct fixture *fixture = *state;
    make_tree(fixture);
    static const char *const texts[] = {
        "[a]\nbuilder = x\nroot = ..\n", "root= ..\n[a]\nbuilder = x\n",
        "root = /nowhere\n[a]\nroot = /tmp\nbuilder = x\n[b]\nroot = /nowhere\nbuilder = x\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        AUTO_SPEC struct build_spec *here = NULL;
        AUTO_SPEC struct build_spec *below = NULL;
        assert_int_equal(read_below(fixture, texts[i], ".", NULL, &here), 0);
        assert_string_equal(here->root, "/tmp");
        assert_string_equal(here->base, fixture->path + strlen("/tmp/"));
        assert_int_equal(read_below(fixture, texts[i], "x/y", NULL, &below), 0);
        assert_string_equal(below->root, "/tmp");
        assert_string_equal(below->base, here->base);
    }
}

static void test_a_root_on_the_command_line_replaces_the_file_s(void **state)
{
    struct fixture *fixture = *state;
    make_tree(fixture);
    static const char text[] = "[a]\nbuilder = x\nroot = ..\n";
    static const struct {
        const char *below;
        const char *root;
        int error;
    } cases[] = {{".", "/", 0},         {"x/y", "../..", 0}, {".", ".", 0},
                 {"x/y", ".", -EINVAL}, {".", "x", -EINVAL}, {".", "nowhere", -ENOENT}};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        AUTO_SPEC struct build_spec *spec = NULL;
        assert_int_equal(read_below(fixture, text, cases[i].below, cases[i].root, &spec),
                         cases[i].error);
    }
}

/* .git is a directory, or a file in a worktree. */
static void test_the_search_ends_at_the_repository(void **state)
{
    struct fixture *fixture = *state;
    make_tree(fixture);
    static const char text[] = "[a]\nbuilder = x\n";
    AUTO_SPEC struct build_spec *spec = NULL;
    assert_int_equal(read_below(fixture, text, "x/y", NULL, &spec), 0);
    write_text(fixture, "x/.git", "gitdir: elsewhere\n");
    AUTO_SPEC struct build_spec *none = NULL;
    assert_int_equal(read_below(fixture, text, "x/y", NULL, &none), -ENOENT);
    assert_int_equal(read_below(fixture, text, "x", NULL, &none), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_section_fills_a_spec),
        TEST(test_long_lines_and_names_are_not_cut),
        TEST(test_faults_are_errors),
        TEST(test_a_missing_file_is_an_error),
        TEST(test_paths_are_relative_to_the_file),
        TEST(test_a_root_may_be_above_the_file),
        TEST(test_a_root_on_the_command_line_replaces_the_file_s),
        TEST(test_the_search_ends_at_the_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
