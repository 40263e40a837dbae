#include "tests/unit/support.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"

static int mkdir_at(const struct place *place, const char *name, mode_t mode)
{
    return mkdirat(place->fd, name, mode);
}

static bool exists(const struct place *place, const char *name)
{
    struct stat status;
    return fstatat(place->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- dir_open_beneath ---- */

static void check_open_beneath(const struct place *place)
{
    int fd = dir_open_beneath(place->fd, "a/b/file", O_RDONLY);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    (void)close(fd);
    fd = dir_open_beneath(place->fd, "a/b", O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK_EQ(dir_open_beneath(place->fd, "a/none", O_RDONLY), -ENOENT);
    CHECK_EQ(dir_open_beneath(place->fd, "a/b/file/c", O_RDONLY), -ENOTDIR);

    /* However they are used, and wherever they lead. */
    static const char *const links[] = {"inside",     "outside",       "to-dir/file",
                                        "a/up/place", "to-file",       "a/b/loop",
                                        "dangling",   "to-dir/./file", "magic/0"};
    for (size_t i = 0; i < ARRAY_LENGTH(links); i++) {
        support_context("%s", links[i]);
        CHECK_EQ(dir_open_beneath(place->fd, links[i], O_RDONLY), -ELOOP);
    }
    /* The link itself, as readlinkat(2) wants it. */
    fd = dir_open_beneath(place->fd, "a/b/loop", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK_EQ(dir_open_beneath(place->fd, "", O_RDONLY), -ENOENT);

    static const char *const above[] = {"..",           "../x", "a/..",       "a/../a/b/file",
                                        "a/b/../../..", "/",    "/etc/passwd"};
    for (size_t i = 0; i < ARRAY_LENGTH(above); i++) {
        support_context("%s", above[i]);
        CHECK_EQ(dir_open_beneath(place->fd, above[i], O_RDONLY), -EXDEV);
    }
    support_context("%s", "");
}

static void make_beneath(const struct place *place)
{
    CHECK_EQ(mkdir_at(place, "a", 0755), 0);
    CHECK_EQ(mkdir_at(place, "a/b", 0755), 0);
    place_write(place, "a-file", "x", 1);
    CHECK_EQ(renameat(place->fd, "a-file", place->fd, "a/b/file"), 0);
    CHECK_EQ(symlinkat("a", place->fd, "inside"), 0);
    CHECK_EQ(symlinkat("/etc", place->fd, "outside"), 0);
    CHECK_EQ(symlinkat("a/b", place->fd, "to-dir"), 0);
    CHECK_EQ(symlinkat("..", place->fd, "a/up"), 0);
    CHECK_EQ(symlinkat("a/b/file", place->fd, "to-file"), 0);
    CHECK_EQ(symlinkat("loop", place->fd, "a/b/loop"), 0);
    CHECK_EQ(symlinkat("nowhere", place->fd, "dangling"), 0);
    CHECK_EQ(symlinkat("/proc/self/fd", place->fd, "magic"), 0);
}

static void test_open_beneath(void **state)
{
    make_beneath(*state);
    check_open_beneath(*state);
}

/* In a process of its own, since a filter cannot be taken off again. */
static void refuse_openat2(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_LENGTH(code), .filter = code};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void without_openat2(void *context)
{
    refuse_openat2(ENOSYS);
    check_open_beneath(context);
}

static void test_open_beneath_without_openat2(void **state)
{
    make_beneath(*state);
    CHECK_EQ(support_in_child(without_openat2, *state), 0);
}

/* ---- dir_remove_tree ---- */

static void test_remove_tree(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(dir_remove_tree(place->fd, "none"), 0);
    place_write(place, "file", "x", 1);
    CHECK_EQ(dir_remove_tree(place->fd, "file"), 0);
    CHECK(!exists(place, "file"));

    CHECK_EQ(mkdir_at(place, "kept", 0755), 0);
    CHECK_EQ(symlinkat("kept", place->fd, "link"), 0);
    CHECK_EQ(dir_remove_tree(place->fd, "link"), 0);
    CHECK(exists(place, "kept") && !exists(place, "link"));

    CHECK_EQ(mkdir_at(place, "tree", 0755), 0);
    CHECK_EQ(symlinkat("../kept", place->fd, "tree/link"), 0);
    CHECK_EQ(mkdir_at(place, "kept/inner", 0755), 0);
    CHECK_EQ(mkfifoat(place->fd, "tree/pipe", 0600), 0);
    char name[300] = "tree/";
    memset(name + 5, 'n', NAME_MAX);
    name[5 + NAME_MAX] = '\0';
    CHECK_EQ(mkdir_at(place, name, 0755), 0);
    CHECK_EQ(dir_remove_tree(place->fd, "tree"), 0);
    CHECK(!exists(place, "tree") && exists(place, "kept/inner"));
}

static void test_remove_modes(void **state)
{
    const struct place *place = *state;
    static const mode_t modes[] = {0, 0100, 0200, 0400, 0500, 0300, 0600};
    CHECK_EQ(mkdir_at(place, "tree", 0700), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(modes); i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "tree/%03o", modes[i]);
        CHECK_EQ(mkdir_at(place, name, 0700), 0);
        (void)snprintf(name, sizeof(name), "tree/%03o/sub", modes[i]);
        CHECK_EQ(mkdir_at(place, name, 0700), 0);
        (void)snprintf(name, sizeof(name), "tree/%03o/sub/file", modes[i]);
        AUTO_FD int fd = openat(place->fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0);
        CHECK(fd >= 0);
        (void)snprintf(name, sizeof(name), "tree/%03o/sub", modes[i]);
        CHECK_EQ(fchmodat(place->fd, name, modes[i], 0), 0);
        (void)snprintf(name, sizeof(name), "tree/%03o", modes[i]);
        CHECK_EQ(fchmodat(place->fd, name, modes[i], 0), 0);
    }
    CHECK_EQ(fchmodat(place->fd, "tree", 0, 0), 0);
    CHECK_EQ(dir_remove_tree(place->fd, "tree"), 0);
    CHECK(!exists(place, "tree"));
}

/* Deeper than a path can name, and than there are descriptors. */
static void test_remove_deep(void **state)
{
    const struct place *place = *state;
    enum { DEPTH = 3000, DESCRIPTORS = 256 };
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit few = {.rlim_cur = DESCRIPTORS, .rlim_max = limit.rlim_max};
    CHECK_EQ(mkdir_at(place, "tree", 0755), 0);
    int fd = openat(place->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < DEPTH; i++) {
        CHECK(fd >= 0);
        /* A file beside each, and a name that a remover might take itself. */
        AUTO_FD int file = openat(fd, i % 7 ? "0" : "1", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        CHECK(file >= 0);
        CHECK_EQ(mkdirat(fd, "d", i % 5 ? 0755 : 0), 0);
        if (i % 5 == 0)
            CHECK_EQ(fchmodat(fd, "d", 0700, 0), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)close(fd);
        fd = next;
    }
    (void)close(fd);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = dir_remove_tree(place->fd, "tree");
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(r, 0);
    CHECK(!exists(place, "tree"));
}

static void check_mount_stays(const struct place *place, const char *path, const char *source)
{
    bool bind = source[0] == '/';
    if (mount(source, path, bind ? NULL : "tmpfs", bind ? MS_BIND : 0, NULL) < 0)
        _exit(SKIPPED);
    int fd = openat(place->fd, "tree/a/mnt/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK_EQ(dir_remove_tree(place->fd, "tree"), -EXDEV);
    CHECK(exists(place, "tree/a/mnt/file"));
    CHECK_EQ(umount2(path, 0), 0);
}

static void with_mount(void *context)
{
    struct place *place = context;
    if (!support_own_mounts())
        _exit(SKIPPED);
    /* The old descriptor walks the mounts that were there before. */
    (void)close(place->fd);
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(place->fd >= 0);
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/tree/a/mnt", place->path);
    check_mount_stays(place, path, "none");
    /* Of the same file system. */
    char theirs[256];
    (void)snprintf(theirs, sizeof(theirs), "%s/theirs", place->path);
    CHECK_EQ(mkdir_at(place, "theirs", 0755), 0);
    check_mount_stays(place, path, theirs);
    CHECK(exists(place, "theirs/file"));
    CHECK_EQ(dir_remove_tree(place->fd, "tree"), 0);
}

static void test_remove_stops_at_a_mount(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(mkdir_at(place, "tree", 0755), 0);
    CHECK_EQ(mkdir_at(place, "tree/a", 0755), 0);
    CHECK_EQ(mkdir_at(place, "tree/a/mnt", 0755), 0);
    support_skip_or_check(support_in_child(with_mount, *state),
                          "not allowed to mount: neither root nor a user name space");
    CHECK(!exists(place, "tree"));
}

/* ---- the rest ---- */

static void test_ensure_and_parents(void **state)
{
    const struct place *place = *state;
    AUTO_FD int first = dir_ensure(place->fd, "d", 0700);
    AUTO_FD int second = dir_ensure(place->fd, "d", 0755);
    CHECK(first >= 0 && second >= 0);
    struct stat status;
    CHECK(fstat(second, &status) == 0 && (status.st_mode & 0777) == 0700);
    CHECK_EQ(symlinkat("d", place->fd, "link"), 0);
    CHECK(dir_ensure(place->fd, "link", 0700) < 0);
    place_write(place, "file", "x", 1);
    CHECK_EQ(dir_ensure(place->fd, "file", 0700), -ENOTDIR);

    char path[256];
    (void)snprintf(path, sizeof(path), "%s/x//y/z/", place->path);
    CHECK_EQ(dir_make_parents(path, 0700), 0);
    CHECK_EQ(dir_make_parents(path, 0700), 0);
    CHECK(exists(place, "x/y/z"));
    (void)snprintf(path, sizeof(path), "%s/file/y", place->path);
    CHECK_EQ(dir_make_parents(path, 0700), -ENOTDIR);
}

static int stop_at_three(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                         void *context)
{
    CHECK(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    return ++*(int *)context == 3 ? 42 : 0;
}

static void test_each(void **state)
{
    const struct place *place = *state;
    CHECK_EQ(dir_is_empty(place->fd), 1);
    for (int i = 0; i < 5; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "f%d", i);
        place_write(place, name, "", 0);
    }
    CHECK_EQ(dir_is_empty(place->fd), 0);
    int seen = 0;
    CHECK_EQ(dir_each(place->fd, stop_at_three, &seen), 42);
    seen = -10;
    CHECK_EQ(dir_each(place->fd, stop_at_three, &seen), 0);
    CHECK_EQ(seen, -5);
}

static void test_read_and_write_file(void **state)
{
    const struct place *place = *state;
    char *text = NULL;
    size_t size = 0;
    CHECK_EQ(dir_read_file(place->fd, "file", 10, &text, &size), -ENOENT);
    place_write(place, "file", "a\0b", 3);
    CHECK_EQ(dir_read_file(place->fd, "file", 2, &text, &size), -EFBIG);
    CHECK_EQ(dir_read_file(place->fd, "file", 3, &text, &size), 0);
    CHECK(size == 3 && memcmp(text, "a\0b", 4) == 0);
    free(text);
    CHECK_EQ(symlinkat("file", place->fd, "link"), 0);
    CHECK_EQ(dir_read_file(place->fd, "link", 10, &text, &size), -ELOOP);
    CHECK_EQ(dir_read_file(place->fd, ".", 10, &text, &size), -EINVAL);
    CHECK_EQ(mkfifoat(place->fd, "pipe", 0600), 0);
    CHECK_EQ(dir_read_file(place->fd, "pipe", 10, &text, &size), -EINVAL);

    /* The old file or the new one, whichever call fails, and nothing beside it. */
    for (unsigned long nth = 1;; nth++) {
        support_context("call %lu", nth);
        io_fault_arm(nth, EIO, IO_FAULT_FROM_THEN_ON);
        int r = dir_write_file(place->fd, "file", "newer", 5, 0644);
        unsigned long calls = io_fault_count();
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        CHECK_EQ(dir_read_file(place->fd, "file", 10, &text, &size), 0);
        CHECK(r == 0 ? !strcmp(text, "newer") : size == 3 && !memcmp(text, "a\0b", 3));
        free(text);
        unsigned entries = 0;
        DIR *stream = fdopendir(openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        CHECK(stream);
        while (readdir(stream))
            entries++;
        (void)closedir(stream);
        CHECK_EQ(entries, 2 + 3);
        if (r == 0) {
            CHECK(calls == nth - 1);
            break;
        }
        CHECK_EQ(r, -EIO);
    }
}

/* Several containers may write a file at once, each in its process of the same number. */
static void test_two_writers_of_one_number(void **state)
{
    const struct place *place = *state;
    char other[64];
    char *text = NULL;
    (void)snprintf(other, sizeof(other), ".file.%d.tmp", getpid());
    place_write(place, other, "half", 4);
    CHECK_EQ(dir_write_file(place->fd, "file", "whole", 5, 0644), 0);
    CHECK_EQ(dir_read_file(place->fd, other, 10, &text, NULL), 0);
    CHECK(!strcmp(text, "half"));
    free(text);
    char *names[2];
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        CHECK_EQ(dir_name_beside("file", "mark-", &names[i]), 0);
    CHECK(!strncmp(names[0], ".file.mark-", 11) && strcmp(names[0], names[1]) != 0);
    free(names[0]);
    free(names[1]);
}

static void test_a_file_beside_another_has_a_name_of_its_own(void **state)
{
    const struct place *place = *state;
    AUTO_FREE char *first = NULL;
    AUTO_FREE char *second = NULL;
    AUTO_FD int a = dir_create_beside(place->fd, "name", "mark-", 0600, &first);
    AUTO_FD int b = dir_create_beside(place->fd, "name", "mark-", 0600, &second);
    CHECK(a >= 0 && b >= 0 && strcmp(first, second) != 0);
    CHECK(!strncmp(first, ".name.mark-", 11) && exists(place, first) && exists(place, second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open_beneath),
        TEST(test_open_beneath_without_openat2),
        TEST(test_remove_tree),
        TEST(test_remove_modes),
        TEST(test_remove_deep),
        TEST(test_remove_stops_at_a_mount),
        TEST(test_ensure_and_parents),
        TEST(test_each),
        TEST(test_read_and_write_file),
        TEST(test_two_writers_of_one_number),
        TEST(test_a_file_beside_another_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("base-dir", tests, NULL, NULL);
}
