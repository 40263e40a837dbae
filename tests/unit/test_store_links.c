#include "tests/unit/test_store_fixture.h"

#include "fs/store/links.h"

enum { ROOM = 16 };

struct tree {
    struct manifest manifest;
    struct manifest_entry entries[ROOM];
};

/* A manifest owns its texts, but these are never freed. */
static char *borrowed(const char *text)
{
    char *same;
    memcpy(&same, &text, sizeof(same));
    return same;
}

static void add(struct tree *tree, const char *path, enum entry_type type, const char *target)
{
    assert_true(tree->manifest.entry_count < ROOM);
    tree->manifest.entries = tree->entries;
    tree->entries[tree->manifest.entry_count++] =
        (struct manifest_entry){.path = borrowed(path), .type = type, .target = borrowed(target)};
}

/* a/, a/b/, a/b/file, here -> ., up -> a/b/.. */
static struct tree some_tree(void)
{
    struct tree tree = {.manifest = {.entry_count = 0}};
    add(&tree, "a", ENTRY_DIRECTORY, NULL);
    add(&tree, "a/b", ENTRY_DIRECTORY, NULL);
    add(&tree, "a/b/file", ENTRY_FILE, NULL);
    add(&tree, "here", ENTRY_SYMLINK, ".");
    add(&tree, "up", ENTRY_SYMLINK, "a/b/..");
    return tree;
}

static void test_links_that_stay_inside(void **state UNUSED)
{
    static const char *const targets[] = {
        "a/b/file",   "here/a", "here/here/up/b/file", "up/b/../../a", "nowhere", "nowhere/../..",
        "a/b/file/x", "zz",     "./././a//b/",         "here/",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
        struct tree tree = some_tree();
        add(&tree, "zz", ENTRY_SYMLINK, targets[i]);
        const struct manifest_entry *out = links_find_escape(&tree.manifest);
        if (out)
            print_error("%s\n", targets[i]);
        /* The kernel stops at the missing part. */
        assert_null(out);
    }
}

static void test_links_that_lead_out_through_other_links(void **state UNUSED)
{
    static const char *const targets[] = {
        "here/..", "here/../x", "up/../..", "here/up/../here/../x", "/etc/passwd",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
        struct tree tree = some_tree();
        add(&tree, "zz", ENTRY_SYMLINK, targets[i]);
        const struct manifest_entry *out = links_find_escape(&tree.manifest);
        if (!out)
            print_error("%s\n", targets[i]);
        assert_string_equal(out ? out->path : "none", "zz");
    }
}

static void test_a_path_names_the_entry_after_all_links(void **state UNUSED)
{
    static const struct {
        const char *path;
        const char *entry; /* NULL: none */
    } cases[] = {
        {"a/b/file", "a/b/file"},
        {"zz", "a/b/file"},
        {"here/up/b/file", "a/b/file"},
        {"up", "a"},
        {"up/..", NULL},
        {"here", NULL},
        {"none", NULL},
        {"a/b/..", "a"},
        {"a/b/file/", "a/b/file"},
    };
    struct tree tree = some_tree();
    add(&tree, "zz", ENTRY_SYMLINK, "here/up/b/file");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const struct manifest_entry *entry = links_resolve(&tree.manifest, cases[i].path);
        if (!cases[i].entry) {
            assert_null(entry);
            continue;
        }
        assert_non_null(entry);
        assert_string_equal(entry->path, cases[i].entry);
    }
}

/* Each link doubles the path: following it would take 2^40 steps. */
static void test_links_that_multiply_are_given_up(void **state UNUSED)
{
    enum { LINKS = 12, PARTS = 1000 };
    static char targets[LINKS][3 * PARTS + 1];
    static char names[LINKS + 1][4];
    struct tree tree = {.manifest = {.entry_count = 0}};
    add(&tree, "a", ENTRY_SYMLINK, ".");
    for (size_t i = 0; i < LINKS; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "b%c", (char)('a' + i));
        for (size_t j = 0; j < PARTS; j++)
            memcpy(targets[i] + 2 * j, j % 2 ? "a/" : "./", 3);
        add(&tree, names[i], ENTRY_SYMLINK, targets[i]);
    }
    /* A loop is longer than the 40 links that the kernel follows. */
    assert_null(links_find_escape(&tree.manifest));
    assert_null(links_resolve(&tree.manifest, "ba"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links_that_stay_inside),
        cmocka_unit_test(test_links_that_lead_out_through_other_links),
        cmocka_unit_test(test_a_path_names_the_entry_after_all_links),
        cmocka_unit_test(test_links_that_multiply_are_given_up),
    };
    return cmocka_run_group_tests_name("store-links", tests, NULL, NULL);
}
