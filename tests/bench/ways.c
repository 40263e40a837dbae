#include "tests/bench/ways.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fs.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "tests/bench/qmp.h"
#include "tests/bench/workload.h"

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "session_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(int result, const char *what)
{
    if (result < 0)
        fail(what);
}

/* Workers share a directory, so the process ID is part of the name. */
static void fill_directory(struct test_session *session)
{
    (void)snprintf(session->directory, sizeof(session->directory), "%s/s%d-%u",
                   session->place->directory, (int)getpid(), session->serial);
}

static void fill_path(char path[PATH_MAX], const char *directory, const char *rest)
{
    if (snprintf(path, PATH_MAX, "%s%s", directory, rest) >= PATH_MAX) {
        errno = ENAMETOOLONG;
        fail(directory);
    }
}

/* ---- mintfs ---- */

static void make_mintfs(struct test_session *session)
{
    fill_directory(session);
    check(mkdir(session->directory, 0700), session->directory);
    fill_path(session->database, session->directory, "/app.db");
}

static void discard_mintfs(struct test_session *session)
{
    check(rmdir(session->directory), session->directory);
}

/* ---- copies ---- */

static int open_copy(struct test_session *session, int *ret_from)
{
    fill_directory(session);
    fill_path(session->database, session->directory, ".db");
    *ret_from = open(session->place->template_path, O_RDONLY | O_CLOEXEC);
    check(*ret_from, session->place->template_path);
    int to = open(session->database, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(to, session->database);
    return to;
}

/* As cp(1) does: in the kernel if possible, else through a buffer. */
static void make_copy(struct test_session *session)
{
    static char buffer[256 << 10];
    int from;
    AUTO_FD int to = open_copy(session, &from);
    AUTO_FD int owned = from;
    ssize_t n;
    while ((n = copy_file_range(owned, NULL, to, NULL, 1 << 30, 0)) > 0)
        continue;
    if (n == 0)
        return;
    if (errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL)
        fail("copy_file_range");
    while ((n = read(owned, buffer, sizeof(buffer))) > 0)
        if (write(to, buffer, (size_t)n) != n)
            fail(session->database);
    check((int)n, session->place->template_path);
}

static void make_reflink(struct test_session *session)
{
    int from;
    AUTO_FD int to = open_copy(session, &from);
    AUTO_FD int owned = from;
    check(ioctl(to, FICLONE, owned), "FICLONE");
}

static void discard_file(struct test_session *session)
{
    check(unlink(session->database), session->database);
}

/* ---- overlays: lower is the template's directory ---- */

static void make_directories(struct test_session *session)
{
    static const char *const parts[] = {"", "/upper", "/work", "/merged"};
    fill_directory(session);
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        char path[PATH_MAX];
        fill_path(path, session->directory, parts[i]);
        check(mkdir(path, 0700), path);
    }
    fill_path(session->database, session->directory, "/merged/app.db");
}

static void fill_overlay_options(const struct test_session *session, char *options, size_t size)
{
    int lower = (int)(strrchr(session->place->template_path, '/') - session->place->template_path);
    (void)snprintf(options, size, "lowerdir=%.*s,upperdir=%s/upper,workdir=%s/work,volatile", lower,
                   session->place->template_path, session->directory, session->directory);
}

static void make_overlay(struct test_session *session)
{
    char options[3 * PATH_MAX];
    char merged[PATH_MAX];
    make_directories(session);
    fill_overlay_options(session, options, sizeof(options));
    fill_path(merged, session->directory, "/merged");
    check(mount("overlay", merged, "overlay", 0, options), options);
}

static void run_program(char *const *arguments)
{
    pid_t pid;
    int status;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&quiet, STDOUT_FILENO, STDERR_FILENO);
    errno = posix_spawnp(&pid, arguments[0], &quiet, NULL, arguments, environ);
    if (errno || waitpid(pid, &status, 0) != pid)
        fail(arguments[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        (void)fprintf(stderr, "session_bench: %s: status %d\n", arguments[0], status);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&quiet);
}

static void make_fuse_overlay(struct test_session *session)
{
    char options[3 * PATH_MAX];
    char merged[PATH_MAX];
    char program[] = "fuse-overlayfs";
    char flag[] = "-o";
    make_directories(session);
    fill_overlay_options(session, options, sizeof(options));
    fill_path(merged, session->directory, "/merged");
    run_program((char *[]){program, flag, options, merged, NULL});
}

static int remove_one(const char *path, const struct stat *status UNUSED, int type UNUSED,
                      struct FTW *where UNUSED)
{
    return remove(path);
}

static void discard_overlay(struct test_session *session)
{
    char merged[PATH_MAX];
    fill_path(merged, session->directory, "/merged");
    check(umount2(merged, 0), merged);
    check(nftw(session->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT),
          session->directory);
}

/*
 * qcow2 over FUSE: one qemu-storage-daemon, controlled by QMP, serves all sessions of a worker. A
 * new image is a copy of an empty one whose backing file is the template. extra: the daemon's
 * socket, the empty image.
 */

static struct qmp *qmp;

static void make_qcow2(struct test_session *session)
{
    struct test_session image = {
        .place = &(struct place){.template_path = session->place->extra[1],
                                 .directory = session->place->directory},
        .serial = session->serial,
    };
    if (!qmp)
        qmp = qmp_connect(session->place->extra[0]);
    make_copy(&image);
    fill_directory(session);
    fill_path(session->database, session->directory, ".exported");
    int fd = open(session->database, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    check(fd, session->database);
    (void)close(fd);
    unsigned serial = session->serial;
    qmp_execute(qmp,
                "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"qcow2\",\"node-name\":"
                "\"n%u\",\"file\":{\"driver\":\"file\",\"filename\":\"%s\"}}}",
                serial, image.database);
    qmp_execute(qmp,
                "{\"execute\":\"block-export-add\",\"arguments\":{\"type\":\"fuse\",\"id\":\"e%u\","
                "\"node-name\":\"n%u\",\"mountpoint\":\"%s\",\"writable\":true,\"growable\":true}}",
                serial, serial, session->database);
}

static void discard_qcow2(struct test_session *session)
{
    char image[PATH_MAX];
    unsigned serial = session->serial;
    qmp_execute(qmp, "{\"execute\":\"block-export-del\",\"arguments\":{\"id\":\"e%u\"}}", serial);
    qmp_await(qmp, "BLOCK_EXPORT_DELETED");
    qmp_execute(qmp, "{\"execute\":\"blockdev-del\",\"arguments\":{\"node-name\":\"n%u\"}}",
                serial);
    fill_path(image, session->directory, ".db");
    check(unlink(session->database), session->database);
    check(unlink(image), image);
}

/* ---- SQLite's backup, and migrations ---- */

static void make_backup(struct test_session *session)
{
    fill_directory(session);
    fill_path(session->database, session->directory, ".db");
    sqlite3 *database;
    if (sqlite3_open(session->database, &database) != SQLITE_OK)
        fail(session->database);
    workload_backup(session->place->template_path, database);
    workload_close(database);
}

static void make_memory(struct test_session *session)
{
    if (sqlite3_open(":memory:", &session->handle) != SQLITE_OK)
        fail(":memory:");
    workload_backup(session->place->template_path, session->handle);
}

static void discard_nothing(struct test_session *session UNUSED)
{
}

/* extra: the builder's command; the file's path is appended. */
static void make_migrated(struct test_session *session)
{
    enum { ARGUMENTS_MAX = 16 };
    char *arguments[ARGUMENTS_MAX] = {NULL};
    size_t count = 0;
    fill_directory(session);
    fill_path(session->database, session->directory, ".db");
    for (char *const *word = session->place->extra; *word && count < ARGUMENTS_MAX - 2; word++)
        arguments[count++] = *word;
    arguments[count] = session->database;
    run_program(arguments);
}

static const struct way ways[] = {
    {"mintfs", make_mintfs, discard_mintfs},
    {"copy", make_copy, discard_file},
    {"reflink", make_reflink, discard_file},
    {"overlayfs", make_overlay, discard_overlay},
    {"fuse-overlayfs", make_fuse_overlay, discard_overlay},
    {"qcow2", make_qcow2, discard_qcow2},
    {"backup", make_backup, discard_file},
    {"memory", make_memory, discard_nothing},
    {"migrations", make_migrated, discard_file},
};

const struct way *way_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(ways); i++)
        if (!strcmp(ways[i].name, name))
            return &ways[i];
    return NULL;
}
