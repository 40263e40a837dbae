/*
 * A clean that ends halfway: from the Nth call through the I/O seam on, all calls fail, for each N.
 * What remains is a store that works: its templates are whole, its scratch still has its marker,
 * and the next clean removes it.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/support.h"

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/client/clean_store.h"
#include "fs/overlay/scratch.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"

enum { TEMPLATES = 2 };

static void fill(struct place *place, char keys[TEMPLATES][SHA256_HEX_LENGTH + 1])
{
    static const struct sample samples[] = {
        {.path = "app.db", .type = ENTRY_FILE, .mode = 0644, .size = 5000},
        {.path = "dir", .type = ENTRY_DIRECTORY, .mode = 0755},
        {.path = "dir/more", .type = ENTRY_FILE, .mode = 0644, .size = 10},
    };
    for (size_t i = 0; i < TEMPLATES; i++)
        place_template(place, samples, ARRAY_LENGTH(samples), keys[i]);
    struct scratch *scratch = scratch_of(place);
    node_unref(session_made(scratch, keys[0], "s"), 1);
    scratch_close(scratch);
    AUTO_FD int logs_fd =
        openat(place->store->sessions_fd, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(logs_fd >= 0);
    CHECK_EQ(dir_write_file(logs_fd, "0123456789abcdef.damaged", "", 0, 0600), 0);
}

static void check_what_is_left(const struct place *place,
                               char keys[TEMPLATES][SHA256_HEX_LENGTH + 1])
{
    for (size_t i = 0; i < TEMPLATES; i++) {
        AUTO_TEMPLATE struct template *template = NULL;
        struct stat status;
        if (fstatat(place->store->templates_fd, keys[i], &status, AT_SYMLINK_NOFOLLOW) == 0) {
            CHECK_EQ(template_open(place->store, keys[i], &template), 0);
            CHECK_EQ(faccessat(template->files_fd, "app.db", F_OK, 0), 0);
            CHECK_EQ(faccessat(template->files_fd, "dir/more", F_OK, 0), 0);
        }
    }
    int empty = dir_is_empty(place->store->sessions_fd);
    CHECK(empty >= 0);
    if (!empty)
        CHECK_EQ(faccessat(place->store->sessions_fd, "mintfs-scratch", F_OK, 0), 0);
}

static void test_a_failed_clean_leaves_a_store_that_works(void **state)
{
    struct place *place = *state;
    char keys[TEMPLATES][SHA256_HEX_LENGTH + 1];
    for (unsigned long nth = 1;; nth++) {
        size_t foreign = 0;
        support_context("at call %lu and all later", nth);
        fill(place, keys);
        stderr_capture();
        io_fault_arm(nth, EIO, IO_FAULT_FROM_THEN_ON);
        int r = clean_store(place->store, &foreign);
        bool was_last = io_fault_count() < nth;
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        check_what_is_left(place, keys);
        if (!was_last)
            CHECK_EQ(clean_store(place->store, &foreign), 0);
        free(stderr_captured());
        CHECK_EQ(foreign, 0);
        CHECK(access(place->store->path, F_OK) < 0);
        store_close(place->store);
        place->store = NULL;
        if (was_last) {
            CHECK_EQ(r, 0);
            return;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_failed_clean_leaves_a_store_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
