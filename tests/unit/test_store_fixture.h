/*
 * Helpers of the unit tests of fs/store: a directory for each test, and files in it.
 */
#ifndef MINTFS_TESTS_STORE_FIXTURE_H
#define MINTFS_TESTS_STORE_FIXTURE_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/base/cleanup.h"
#include "fs/base/dir.h"
#include "fs/base/io.h"

struct fixture {
    char path[64];
    int fd;
};

static inline int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/mintfs-unit-XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->fd = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->fd >= 0);
    *state = fixture;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    assert_int_equal(chdir("/tmp"), 0);
    AUTO_FD int parent = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(dir_remove_tree(parent, fixture->path + strlen("/tmp/")), 0);
    (void)close(fixture->fd);
    free(fixture);
    return 0;
}

static inline void write_bytes(const struct fixture *fixture, const char *name, const void *data,
                               size_t size)
{
    AUTO_FD int fd = openat(fixture->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_true(write(fd, data, size) == (ssize_t)size);
}

static inline void write_text(const struct fixture *fixture, const char *name, const char *text)
{
    write_bytes(fixture, name, text, strlen(text));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
