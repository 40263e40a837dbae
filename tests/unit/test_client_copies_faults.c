/*
 * Creating a session as plain copies while its Nth call through the I/O seam fails, for each N.
 */
#include "tests/unit/support_faults.h"

#include <fcntl.h>

#include "fs/base/io.h"
#include "fs/client/copies.h"
#include "fs/client/copies_list.h"

static int count_copy(const struct copy *copy UNUSED, void *context)
{
    ++*(unsigned *)context;
    return 0;
}

static unsigned count_copies(const struct store *store)
{
    unsigned count = 0;
    CHECK_EQ(copies_each(store, count_copy, &count), 0);
    return count;
}

static void check_copy(const char *path)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(fault_samples); i++) {
        struct stat status;
        CHECK_EQ(fstatat(fd, fault_samples[i].path, &status, AT_SYMLINK_NOFOLLOW), 0);
        if (fault_samples[i].type == ENTRY_FILE) {
            AUTO_FREE char *expected = malloc(fault_samples[i].size + 1);
            AUTO_FREE char *bytes = malloc(fault_samples[i].size + 1);
            AUTO_FD int file = openat(fd, fault_samples[i].path, O_RDONLY | O_CLOEXEC);
            CHECK(expected && bytes && file >= 0);
            sample_fill(fault_samples[i].path, expected, fault_samples[i].size);
            if (fault_samples[i].wal)
                memset(expected + 18, 2, 2);
            CHECK_EQ(io_pread(file, bytes, fault_samples[i].size + 1, 0), fault_samples[i].size);
            CHECK(!memcmp(bytes, expected, fault_samples[i].size));
            CHECK_EQ(status.st_mode & 07777, fault_samples[i].mode | S_IWUSR);
        } else if (fault_samples[i].type == ENTRY_DIRECTORY) {
            CHECK_EQ(status.st_mode & 07777, fault_samples[i].mode | S_IRWXU);
        }
    }
}

/* Removes the directories that the copies of this store leave in memory. */
static void remove_copy_roots(const char *path)
{
    AUTO_FREE char *copy = strdup(path);
    CHECK(copy);
    for (int i = 0; i < 3; i++) {
        *strrchr(copy, '/') = '\0';
        (void)rmdir(copy);
    }
}

static void check_each_call(struct place *place, const struct copy_lease *lease)
{
    char key[SHA256_HEX_LENGTH + 1];
    AUTO_FREE char *root = NULL;
    place_template(place, fault_samples, ARRAY_LENGTH(fault_samples), key);
    mode_t mask = umask(022);
    static const int errors[] = {EIO, ENOSPC};
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            for (unsigned long nth = 1;; nth++) {
                support_context("%s at call %lu%s", strerror(errors[i]), nth,
                                sticky ? " and all later" : "");
                char *path = NULL;
                bool first = false;
                stderr_capture();
                io_fault_arm(nth, errors[i], sticky);
                int r = copies_new(place->store, key, "id", lease, &path, &first);
                unsigned long calls = io_fault_count();
                io_fault_arm(0, 0, IO_FAULT_ONCE);
                AUTO_FREE char *message = stderr_captured();
                CHECK(r == 0 || r == -errors[i]);
                CHECK((r == 0) == (path != NULL));
                CHECK(r == 0 || *message);
                CHECK_EQ(count_copies(place->store), r == 0);
                if (r < 0) {
                    CHECK_EQ(copies_new(place->store, key, "id", lease, &path, &first), 0);
                } else {
                    stderr_capture();
                    char *second = NULL;
                    CHECK_EQ(copies_new(place->store, key, "id", lease, &second, &first), -EEXIST);
                    free(stderr_captured());
                }
                check_copy(path);
                CHECK_EQ(copies_remove(place->store, key, "id"), 0);
                CHECK_EQ(copies_remove(place->store, key, "id"), -ENOENT);
                CHECK_EQ(count_copies(place->store), 0);
                free(root);
                root = path;
                if (calls < nth)
                    break;
            }
        }
    }
    (void)umask(mask);
    AUTO_FREE char *lock = NULL;
    if (lease) {
        CHECK_EQ(copy_owner_lock_path(root, lease->owner_lock, &lock), 0);
        CHECK_EQ(unlink(lock), 0);
    }
    CHECK_EQ(copies_sweep(place->store), 0);
    remove_copy_roots(root);
}

static void test_a_copy_is_made_whole_or_not_at_all(void **state)
{
    check_each_call(*state, NULL);
}

/* A copy never exists without its lease, which is removed with it. */
static void test_a_copy_with_a_lease_is_made_whole_or_not_at_all(void **state)
{
    struct copy_lease lease = {.owner_lock = "me"};
    CHECK_EQ(session_lease_set_owner(&lease.session, getpid()), 0);
    check_each_call(*state, &lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_copy_is_made_whole_or_not_at_all),
        TEST(test_a_copy_with_a_lease_is_made_whole_or_not_at_all),
    };
    return cmocka_run_group_tests_name("client-copies-faults", tests, NULL, NULL);
}
