#include "tests/unit/support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/base/io.h"

static int file_in(const struct place *place, const char *name)
{
    int fd = io_openat(place->fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void test_read_and_write(void **state)
{
    AUTO_FD int fd = file_in(*state, "file");
    char bytes[10] = "";
    CHECK_EQ(io_pwrite(fd, "abcdef", 6, 2), 0);
    CHECK_EQ(io_pread(fd, bytes, sizeof(bytes), 0), 8);
    CHECK(memcmp(bytes, "\0\0abcdef", 8) == 0);
    CHECK_EQ(io_pread(fd, bytes, sizeof(bytes), 8), 0);
    CHECK_EQ(io_pread_exact(fd, bytes, 8, 0), 0);
    CHECK_EQ(io_pread_exact(fd, bytes, 9, 0), -EIO);
    CHECK_EQ(io_pread(-1, bytes, 1, 0), -EBADF);
    CHECK_EQ(io_pwrite(-1, bytes, 1, 0), -EBADF);
    CHECK_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

static void test_names(void **state)
{
    const struct place *place = *state;
    place_write(place, "a", "a", 1);
    place_write(place, "b", "b", 1);
    CHECK_EQ(io_renameat_new(place->fd, "a", place->fd, "b"), -EEXIST);
    CHECK_EQ(io_renameat_new(place->fd, "a", place->fd, "c"), 0);
    CHECK_EQ(io_renameat(place->fd, "c", place->fd, "b"), 0);
    CHECK_EQ(io_unlinkat(place->fd, "b", 0), 0);
    CHECK_EQ(io_unlinkat(place->fd, "b", 0), -ENOENT);
    CHECK_EQ(io_mkdirat(place->fd, "d", 0700), 0);
    CHECK_EQ(io_mkdirat(place->fd, "d", 0700), -EEXIST);
    CHECK_EQ(io_symlinkat("x", place->fd, "d/l"), 0);
}

/* As on a file system without the flags of renameat2(2). */
static void test_names_by_steps(void **state)
{
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP};
    const struct place *place = *state;
    place_write(place, "b", "b", 1);
    CHECK_EQ(io_mkdirat(place->fd, "full", 0700), 0);
    CHECK_EQ(io_mkdirat(place->fd, "full/in", 0700), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        support_context("%s", strerror(errors[i]));
        place_write(place, "a", "a", 1);
        CHECK_EQ(io_mkdirat(place->fd, "d", 0700), 0);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_new(place->fd, "a", place->fd, "b"), -EEXIST);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_new(place->fd, "d", place->fd, "full"), -EEXIST);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_new(place->fd, "no", place->fd, "c"), -ENOENT);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_new(place->fd, "a", place->fd, "c"), 0);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_exchange(place->fd, "d", place->fd, "full"), 0);
        CHECK_EQ(faccessat(place->fd, "d/in", F_OK, 0), 0);
        io_fault_arm(1, errors[i], IO_FAULT_ONCE);
        CHECK_EQ(io_renameat_exchange(place->fd, "full", place->fd, "d"), 0);
        CHECK_EQ(faccessat(place->fd, "full/in", F_OK, 0), 0);
        CHECK_EQ(io_unlinkat(place->fd, "c", 0), 0);
        CHECK_EQ(io_unlinkat(place->fd, "d", AT_REMOVEDIR), 0);
    }
    io_fault_arm(0, 0, IO_FAULT_ONCE);
}

/* Where a step fails, both names are as they were. */
static void test_exchange_by_steps_that_fails(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(io_mkdirat(place->fd, "x", 0700), 0);
    CHECK_EQ(io_mkdirat(place->fd, "x/in", 0700), 0);
    CHECK_EQ(io_renameat_exchange(place->fd, "missing", place->fd, "x"), -ENOENT);
    io_fault_arm(1, EINVAL, IO_FAULT_ONCE);
    CHECK_EQ(io_renameat_exchange(place->fd, "missing", place->fd, "x"), -ENOENT);
    io_fault_arm(1, EINVAL, IO_FAULT_FROM_THEN_ON);
    CHECK_EQ(io_renameat_exchange(place->fd, "missing", place->fd, "x"), -EINVAL);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    CHECK_EQ(faccessat(place->fd, "x/in", F_OK, 0), 0);
    CHECK_EQ(faccessat(place->fd, "missing.old", F_OK, 0), -1);
}

/* Some file systems cannot sync a directory; a file that cannot be synced is an error. */
static void test_fsync_of_a_directory(void **state)
{
    const struct place *place = *state;
    AUTO_FD int fd = file_in(place, "file");
    io_fault_arm(1, EINVAL, IO_FAULT_FROM_THEN_ON);
    CHECK_EQ(io_fsync(place->fd), 0);
    CHECK_EQ(io_fsync(fd), -EINVAL);
    io_fault_arm(1, EIO, IO_FAULT_FROM_THEN_ON);
    CHECK_EQ(io_fsync(place->fd), -EIO);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
}

static void check_copy(const struct place *place, const char *bytes, size_t size)
{
    AUTO_FD int from = file_in(place, "from");
    AUTO_FD int to = file_in(place, "to");
    CHECK_EQ(io_pwrite(from, bytes, size, 0), 0);
    /* Whatever the offset of either. */
    CHECK(lseek(from, 3, SEEK_SET) == 3 && lseek(to, 5, SEEK_SET) == 5);
    CHECK_EQ(io_copy_file(from, to), 0);
    AUTO_FREE char *copy = malloc(size + 1);
    CHECK(copy);
    CHECK_EQ(io_pread(to, copy, size + 1, 0), size);
    CHECK(size == 0 || memcmp(copy, bytes, size) == 0);
}

static void test_copy_file(void **state)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, (1 << 20) - 1, (1 << 20) + 1, 3333333};
    AUTO_FREE char *bytes = malloc(sizes[ARRAY_LENGTH(sizes) - 1]);
    CHECK(bytes);
    struct rng rng = {.state = 1};
    rng_fill(&rng, bytes, sizes[ARRAY_LENGTH(sizes) - 1]);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        support_context("%zu bytes", sizes[i]);
        check_copy(*state, bytes, sizes[i]);
    }
}

/* Where data are, in MiB, of a file of 8 MiB; "3" ends in a hole. */
static void test_copy_file_keeps_holes(void **state)
{
    static const char *const layouts[] = {"", "0", "3", "7", "07", "1256"};
    enum { MIB = 1 << 20, COUNT = 8 };
    const struct place *place = *state;
    for (size_t i = 0; i < ARRAY_LENGTH(layouts); i++) {
        support_context("data at %s", layouts[i]);
        AUTO_FD int from = file_in(place, "from");
        AUTO_FD int to = file_in(place, "to");
        CHECK_EQ(io_ftruncate(from, COUNT * MIB), 0);
        for (const char *at = layouts[i]; *at; at++)
            CHECK_EQ(io_pwrite(from, at, 1, (*at - '0') * MIB), 0);
        CHECK_EQ(io_copy_file(from, to), 0);
        struct stat status;
        CHECK_EQ(fstat(to, &status), 0);
        CHECK_EQ(status.st_size, COUNT * MIB);
        CHECK(status.st_blocks * 512 <= (blkcnt_t)strlen(layouts[i]) * 64 << 10);
        for (int at = 0; at < COUNT; at++) {
            char byte;
            CHECK_EQ(io_pread(to, &byte, 1, at * MIB), 1);
            CHECK_EQ(byte, strchr(layouts[i], '0' + at) ? '0' + at : 0);
        }
    }
}

/* Each call of a copy that fails is an error, but for those that another way makes good. */
static void test_copy_file_faults(void **state)
{
    const struct place *place = *state;
    AUTO_FD int from = file_in(place, "from");
    AUTO_FREE char *bytes = malloc(2500000);
    AUTO_FREE char *copy = malloc(2500001);
    CHECK(bytes && copy);
    struct rng rng = {.state = 2};
    rng_fill(&rng, bytes, 2500000);
    CHECK_EQ(io_pwrite(from, bytes, 2500000, 0), 0);
    static const int errors[] = {EIO, ENOSPC, EXDEV, EOPNOTSUPP, ENOSYS, EINVAL};
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            for (unsigned long nth = 1;; nth++) {
                support_context("%s, call %lu%s", strerror(errors[i]), nth,
                                sticky ? " and all later" : "");
                AUTO_FD int to = file_in(place, "to");
                io_fault_arm(nth, errors[i], sticky);
                int r = io_copy_file(from, to);
                unsigned long calls = io_fault_count();
                io_fault_arm(0, 0, IO_FAULT_ONCE);
                CHECK(r == 0 || r == -errors[i]);
                if (r == 0) {
                    CHECK_EQ(io_pread(to, copy, 2500001, 0), 2500000);
                    CHECK(memcmp(copy, bytes, 2500000) == 0);
                }
                if (calls < nth)
                    break;
                CHECK(r < 0 || i >= 2);
            }
        }
    }
}

static void test_fault_seam(void **state)
{
    const struct place *place = *state;
    AUTO_FD int fd = file_in(place, "file");
    io_fault_arm(2, ENOSPC, IO_FAULT_ONCE);
    CHECK_EQ(io_pwrite(fd, "a", 1, 0), 0);
    CHECK_EQ(io_pwrite(fd, "a", 1, 0), -ENOSPC);
    CHECK_EQ(io_pwrite(fd, "a", 1, 0), 0);
    CHECK_EQ(io_fault_count(), 3);
    io_fault_arm(2, EIO, IO_FAULT_FROM_THEN_ON);
    CHECK_EQ(io_fsync(fd), 0);
    CHECK_EQ(io_fsync(fd), -EIO);
    CHECK_EQ(io_ftruncate(fd, 0), -EIO);
    char byte;
    CHECK_EQ(io_pread(fd, &byte, 1, 0), -EIO);
    CHECK_EQ(io_pread_exact(fd, &byte, 1, 0), -EIO);
    CHECK_EQ(io_openat(place->fd, "file", O_RDONLY, 0), -EIO);
    CHECK_EQ(io_fallocate(fd, 0, 0, 1), -EIO);
    CHECK_EQ(io_renameat(place->fd, "file", place->fd, "b"), -EIO);
    CHECK_EQ(io_renameat_new(place->fd, "file", place->fd, "b"), -EIO);
    CHECK_EQ(io_unlinkat(place->fd, "file", 0), -EIO);
    CHECK_EQ(io_mkdirat(place->fd, "d", 0700), -EIO);
    CHECK_EQ(io_fchmod(fd, 0600), -EIO);
    CHECK_EQ(io_symlinkat("x", place->fd, "l"), -EIO);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    CHECK_EQ(io_fsync(fd), 0);
    struct stat status;
    CHECK_EQ(fstatat(place->fd, "file", &status, 0), 0);
    CHECK_EQ(status.st_size, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_and_write),
        TEST(test_names),
        TEST(test_copy_file),
        TEST(test_copy_file_keeps_holes),
        TEST(test_copy_file_faults),
        TEST(test_fault_seam),
        TEST(test_names_by_steps),
        TEST(test_exchange_by_steps_that_fails),
        TEST(test_fsync_of_a_directory),
    };
    return cmocka_run_group_tests_name("base-io", tests, NULL, NULL);
}
