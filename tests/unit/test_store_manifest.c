#include "tests/unit/test_store_fixture.h"

#include "fs/base/strlist.h"
#include "fs/store/manifest_file.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char **vector_of(const char *a, const char *b)
{
    char *const vector[] = {strdup(a), strdup(b), NULL};
    char **copy = strv_copy(vector);
    free(vector[0]);
    free(vector[1]);
    assert_non_null(copy);
    return copy;
}

static struct manifest *make_manifest(void)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    assert_non_null(manifest);
    memcpy(manifest->key, key_text, sizeof(key_text));
    manifest->name = strdup("unit");
    manifest->file = strdup("app.db");
    manifest->salt = strdup("s\xc3\xa4lt\n");
    manifest->created_ns = INT64_MAX;
    manifest->build_time_ns = 42;
    manifest->builder = vector_of("/usr/bin/python3", "\xff\xfe raw");
    manifest->arguments = vector_of("python3", "");
    manifest->environment = vector_of("A=1", "B");
    manifest->warnings = vector_of("w", "v");
    manifest->inputs = calloc(2, sizeof(*manifest->inputs));
    manifest->input_count = 1;
    manifest->inputs[0].path = strdup("migrations/1.sql");
    manifest->inputs[0].digest[0] = 7;
    manifest->entries = calloc(5, sizeof(*manifest->entries));
    manifest->entry_count = 5;
    manifest->entries[0] = (struct manifest_entry){.path = strdup("app.db"),
                                                   .type = ENTRY_FILE,
                                                   .mode = 0640,
                                                   .size_bytes = 4096,
                                                   .is_sqlite = true,
                                                   .starts_in_wal = true};
    manifest->entries[1] =
        (struct manifest_entry){.path = strdup("d"), .type = ENTRY_DIRECTORY, .mode = 0755};
    manifest->entries[2] =
        (struct manifest_entry){.path = strdup("d-x"), .type = ENTRY_FILE, .mode = 0600};
    manifest->entries[3] = (struct manifest_entry){
        .path = strdup("d/\xff"), .type = ENTRY_FILE, .mode = 0444, .size_bytes = 1};
    manifest->entries[4] = (struct manifest_entry){
        .path = strdup("l"), .type = ENTRY_SYMLINK, .mode = 0777, .target = strdup("d/\xff")};
    return manifest;
}

static void expect_same_vector(char *const *a, char *const *b)
{
    assert_int_equal(strv_length(a), strv_length(b));
    for (size_t i = 0; a[i]; i++)
        assert_string_equal(a[i], b[i]);
}

static void test_a_manifest_is_the_same_after_a_round_trip(void **state)
{
    struct fixture *fixture = *state;
    AUTO_MANIFEST struct manifest *made = make_manifest();
    AUTO_MANIFEST struct manifest *read = NULL;
    AUTO_FREE char *first = NULL;
    AUTO_FREE char *second = NULL;
    assert_int_equal(manifest_write(fixture->fd, made), 0);
    assert_int_equal(manifest_read(fixture->fd, "here", &read), 0);
    assert_string_equal(read->key, made->key);
    assert_string_equal(read->name, made->name);
    assert_string_equal(read->file, made->file);
    assert_string_equal(read->salt, made->salt);
    assert_true(read->created_ns == made->created_ns && read->build_time_ns == 42);
    expect_same_vector(read->builder, made->builder);
    expect_same_vector(read->arguments, made->arguments);
    expect_same_vector(read->environment, made->environment);
    expect_same_vector(read->warnings, made->warnings);
    assert_int_equal(read->input_count, 1);
    assert_memory_equal(read->inputs[0].digest, made->inputs[0].digest, SHA256_SIZE_BYTES);
    assert_int_equal(read->entry_count, made->entry_count);
    for (size_t i = 0; i < made->entry_count; i++) {
        const struct manifest_entry *a = &made->entries[i];
        const struct manifest_entry *b = &read->entries[i];
        assert_string_equal(a->path, b->path);
        assert_true(a->type == b->type && a->mode == b->mode && a->size_bytes == b->size_bytes);
        assert_true(a->is_sqlite == b->is_sqlite && a->starts_in_wal == b->starts_in_wal);
        assert_ptr_equal(manifest_find(read, a->path), b);
    }
    assert_string_equal(read->entries[4].target, "d/\xff");
    assert_null(manifest_find(read, "e"));
    assert_int_equal(manifest_size_bytes(read), 4097);
    /* Byte-identical. */
    assert_int_equal(dir_read_file(fixture->fd, "manifest.json", 1 << 20, &first, NULL), 0);
    assert_int_equal(manifest_write(fixture->fd, read), 0);
    assert_int_equal(dir_read_file(fixture->fd, "manifest.json", 1 << 20, &second, NULL), 0);
    assert_string_equal(first, second);
}

static int read_text(struct fixture *fixture, const char *text, size_t size)
{
    AUTO_MANIFEST struct manifest *read = NULL;
    write_bytes(fixture, "manifest.json", text, size);
    return manifest_read(fixture->fd, "here", &read);
}

static char *good_text(struct fixture *fixture, size_t *ret_size)
{
    AUTO_MANIFEST struct manifest *made = make_manifest();
    char *text = NULL;
    assert_int_equal(manifest_write(fixture->fd, made), 0);
    assert_int_equal(dir_read_file(fixture->fd, "manifest.json", 1 << 20, &text, ret_size), 0);
    return text;
}

static void test_a_truncated_manifest_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 0;
    AUTO_FREE char *text = good_text(fixture, &size);
    for (size_t cut = 0; cut < size; cut += 7)
        assert_int_equal(read_text(fixture, text, cut), -EBADMSG);
}

/* Reading gives a manifest or an error (run under ASan). */
static void test_a_flipped_byte_never_crashes(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 0;
    AUTO_FREE char *text = good_text(fixture, &size);
    for (size_t i = 0; i < size; i += 3) {
        char kept = text[i];
        text[i] = (char)(kept ^ (1 << (i % 8)));
        int r = read_text(fixture, text, size);
        assert_true(r == 0 || r == -EBADMSG || r == -EPROTONOSUPPORT);
        text[i] = kept;
    }
}

static void expect_replaced(struct fixture *fixture, const char *from, const char *to, int error)
{
    size_t size = 0;
    AUTO_FREE char *text = good_text(fixture, &size);
    AUTO_FREE char *changed = NULL;
    const char *at = strstr(text, from);
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    assert_int_equal(read_text(fixture, changed, strlen(changed)), error);
}

static void test_inconsistent_members_are_errors(void **state)
{
    struct fixture *fixture = *state;
    static const char *const inconsistent[][2] = {
        {"\"path\": \"app.db\"", "\"path\": \"/etc/passwd\""},
        {"\"path\": \"app.db\"", "\"path\": \"../app.db\""},
        {"\"path\": \"app.db\"", "\"path\": \"a/./b\""},
        {"\"path\": \"app.db\"", "\"path\": \"\""},
        {"\"path\": \"app.db\"", "\"path\": \"e\""},
        {"\"path\": \"app.db\"", "\"path\": \"a/b\""},
        {"\"path\": \"d-x\"", "\"path\": \"d\""},
        {"\"path\": \"d-x\"", "\"path\": \"app.db/x\""},
        {"\"hex\": \"642fff\"", "\"hex\": \"642f\""},
        {"\"hex\": \"642fff\"", "\"hex\": \"642f00\""},
        {"\"hex\": \"642fff\"", "\"hex\": \"642ff\""},
        {"\"hex\": \"642fff\"", "\"hex\": \"642FZZ\""},
        {"\"mode\": \"0640\"", "\"mode\": \"640\""},
        {"\"mode\": \"0640\"", "\"mode\": \"0890\""},
        {"\"type\": \"file\"", "\"type\": \"device\""},
        {"\"type\": \"file\"", "\"type\": \"symlink\""},
        {"\"size_bytes\": 4096", "\"size_bytes\": -1"},
        {"\"size_bytes\": 4096", "\"size_bytes\": 1.5"},
        {"\"size_bytes\": 4096", "\"size_bytes\": 10"},
        {"\"sqlite\": true", "\"sqlite\": false"},
        {"\"key\": \"0", "\"key\": \"x"},
        {"\"key\"", "\"kay\""},
        {"\"created_ns\": 9223372036854775807", "\"created_ns\": 9223372036854775808"},
        {"\"format\": \"mintfs", "\"format\": \"mintfz"},
        {"\"version\": 1", "\"version\": \"1\""},
        {"\"version\": 1", "\"version\": 0"},
        {"\"version\": 1", "\"version\": 1, \"version\": 1"},
        {"\"file\": \"app.db\"", "\"file\": \"../x\""},
        {"\"warnings\": [", "\"warnings\": [1, "},
        {"\"inputs\": [", "\"inputs\": [[], "},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(inconsistent); i++)
        expect_replaced(fixture, inconsistent[i][0], inconsistent[i][1], -EBADMSG);
    expect_replaced(fixture, "\"version\": 1", "\"version\": 2", -EPROTONOSUPPORT);
    expect_replaced(fixture, "\"version\": 1", "\"version\": 1, \"later\": {}", 0);
}

/* The message names the member and its file, and no other. */
static void test_a_faulty_member_is_named(void **state)
{
    static const char *const faults[][3] = {
        {"\"sha256\": \"00", "\"sha256\": \"0g", "\"sha256\" of app.db"},
        {"\"mode\": \"0600\"", "\"mode\": \"06\"", "\"mode\" of d-x"},
        {"\"size_bytes\": 4096", "\"size_bytes\": -1", "\"size_bytes\" of app.db"},
        {"\"size_bytes\": 4096", "\"size_bytes\": 10", "\"wal\" of app.db"},
        {"\"type\": \"directory\"", "\"type\": \"dir\"", "\"type\" of d is"},
        {"\"created_ns\"", "\"created\"", "\"created_ns\" is missing"},
        {"\"target\": {", "\"target\": \"/\", \"x\": {", "\"target\" of l"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        char message[512] = "";
        AUTO_FD int to = open(fixture->path, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
        AUTO_FD int kept = dup(STDERR_FILENO);
        assert_true(to >= 0 && kept >= 0 && dup2(to, STDERR_FILENO) >= 0);
        expect_replaced(fixture, faults[i][0], faults[i][1], -EBADMSG);
        assert_true(dup2(kept, STDERR_FILENO) >= 0);
        assert_true(io_pread(to, message, sizeof(message) - 1, 0) > 0);
        if (!strstr(message, faults[i][2]))
            print_error("%s: %s\n", faults[i][2], message);
        assert_non_null(strstr(message, faults[i][2]));
    }
}

static void test_times_before_1970_are_read(void **state)
{
    struct fixture *fixture = *state;
    expect_replaced(fixture, "\"created_ns\": 9223372036854775807", "\"created_ns\": -315619200",
                    0);
    expect_replaced(fixture, "\"build_time_ns\": 42", "\"build_time_ns\": -42", -EBADMSG);
}

/* JSON that would take gigabytes to parse is refused before it is parsed. */
static void test_too_many_values_are_refused(void **state)
{
    static const struct {
        const char *unit;
        size_t count;
    } floods[] = {{"0,", 4 << 20}, {"{},", 400000}, {"[],", 100}, {"\"\",", 4 << 20}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < ARRAY_LENGTH(floods); i++) {
        size_t length = strlen(floods[i].unit);
        AUTO_FREE char *text = malloc(length * floods[i].count + 64);
        assert_non_null(text);
        size_t size = (size_t)sprintf(text, "{\"x\": [");
        for (size_t j = 0; j < floods[i].count; j++, size += length)
            memcpy(text + size, floods[i].unit, length);
        size += (size_t)sprintf(text + size, "0]}");
        assert_int_equal(read_text(fixture, text, size), -EBADMSG);
    }
    expect_replaced(fixture, "\"version\": 1", "\"version\": 1, \"x\": \"[,:{[\\\"[[[[\"", 0);
}

static void test_more_files_than_a_template_may_have_are_refused(void **state)
{
    enum { FILES = 310000 };
    struct fixture *fixture = *state;
    AUTO_MANIFEST struct manifest *made = make_manifest();
    made->entries = reallocarray(made->entries, FILES + 5, sizeof(*made->entries));
    assert_non_null(made->entries);
    for (size_t i = 0; i < FILES; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "z%06zu", i);
        made->entries[made->entry_count++] =
            (struct manifest_entry){.path = strdup(path), .type = ENTRY_FILE};
    }
    assert_int_equal(manifest_write(fixture->fd, made), -E2BIG);
    while (made->entry_count > 250000)
        free(made->entries[--made->entry_count].path);
    AUTO_MANIFEST struct manifest *read = NULL;
    assert_int_equal(manifest_write(fixture->fd, made), 0);
    assert_int_equal(manifest_read(fixture->fd, "here", &read), 0);
}

static void test_a_manifest_must_be_a_regular_file(void **state)
{
    struct fixture *fixture = *state;
    AUTO_MANIFEST struct manifest *read = NULL;
    assert_int_equal(manifest_read(fixture->fd, "here", &read), -ENOENT);
    assert_int_equal(symlinkat("/etc/passwd", fixture->fd, "manifest.json"), 0);
    assert_int_equal(manifest_read(fixture->fd, "here", &read), -EBADMSG);
    assert_int_equal(unlinkat(fixture->fd, "manifest.json", 0), 0);
    assert_int_equal(mkdirat(fixture->fd, "manifest.json", 0755), 0);
    assert_int_equal(manifest_read(fixture->fd, "here", &read), -EBADMSG);
}

static void test_which_link_targets_stay_inside(void **state UNUSED)
{
    assert_true(manifest_link_is_inside("a", "b"));
    assert_true(manifest_link_is_inside("a/b/c", "../../x"));
    assert_false(manifest_link_is_inside("a/b/c", "../../../x"));
    assert_false(manifest_link_is_inside("a", "/x"));
    assert_false(manifest_link_is_inside("a", ".."));
    assert_false(manifest_link_is_inside("a", "x/../../a"));
    assert_false(manifest_link_is_inside("a", ""));
    assert_true(manifest_link_is_inside("d/a", "./..//x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_manifest_is_the_same_after_a_round_trip),
        TEST(test_a_truncated_manifest_is_an_error),
        TEST(test_a_flipped_byte_never_crashes),
        TEST(test_inconsistent_members_are_errors),
        TEST(test_a_manifest_must_be_a_regular_file),
        TEST(test_which_link_targets_stay_inside),
        TEST(test_a_faulty_member_is_named),
        TEST(test_times_before_1970_are_read),
        TEST(test_too_many_values_are_refused),
        TEST(test_more_files_than_a_template_may_have_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
