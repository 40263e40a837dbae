#include "fs/store/seal_postgres.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"

/*
 * The start of struct ControlFileData (src/include/catalog/pg_control.h), in the byte order of the
 * machine: system_identifier (8 bytes), pg_control_version, catalog_version_no, state (4 each).
 * This has not changed since 8.0; the version is 100 times that of the last release that changed
 * the rest.
 */
enum { VERSION_AT = 8, STATE_AT = 16, START_BYTES = 20, VERSION_MIN = 800, VERSION_MAX = 9900 };

enum { STATE_SHUT_DOWN = 1, STATE_SHUT_DOWN_IN_RECOVERY = 2 };

/* As pg_controldata(1) calls them. */
static const char *const states[] = {"starting up",   "shut down",         "shut down in recovery",
                                     "shutting down", "in crash recovery", "in archive recovery",
                                     "in production"};

static const char control[] = "global/pg_control";

/* The data directory whose control file this is, with a final slash; NULL: not a control file. */
static char *directory_of(int files_fd, const char *path)
{
    size_t length = strlen(path);
    size_t tail = sizeof(control) - 1;
    if (length < tail || strcmp(path + length - tail, control) != 0 ||
        (length > tail && path[length - tail - 1] != '/'))
        return NULL;
    AUTO_FREE char *directory = strndup(path, length - tail);
    AUTO_FREE char *version = directory ? text_format("%sPG_VERSION", directory) : NULL;
    if (!version)
        return NULL;
    AUTO_FD int fd = dir_open_beneath(files_fd, version, O_PATH);
    return fd < 0 ? NULL : steal_pointer(&directory);
}

static int read_start(int files_fd, const char *path, uint32_t *ret_version, uint32_t *ret_state)
{
    unsigned char start[START_BYTES] = {0};
    AUTO_FD int fd = dir_open_beneath(files_fd, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    ssize_t n = io_pread(fd, start, sizeof(start), 0);
    if (n < 0)
        return (int)n;
    memcpy(ret_version, start + VERSION_AT, sizeof(*ret_version));
    memcpy(ret_state, start + STATE_AT, sizeof(*ret_state));
    return n == sizeof(start) ? 0 : -EBADMSG;
}

static int warn_unknown(const char *path, uint32_t version, struct strlist *warnings)
{
    char *line = NULL;
    line = text_format(
        "%s: version %u is not known, so nothing tells whether PostgreSQL was shut down", path,
        version);
    if (!line)
        return -ENOMEM;
    log_warning("%s", line);
    return strlist_take(warnings, line);
}

static int refuse(const char *directory, const char *state)
{
    return log_fail(EBUSY,
                    "builder left a PostgreSQL data directory that was not shut down: "
                    "%s%s says \"%s\"; end the builder with: "
                    "pg_ctl stop -D \"$MINTFS_DIR/%s\" -m fast (if the server has crashed, start "
                    "it before)",
                    directory, control, state, directory);
}

/* The server has ended; in a session another process may have its number. */
static int remove_pid_file(int files_fd, const char *directory)
{
    AUTO_FREE char *path = text_format("%spostmaster.pid", directory);
    if (!path)
        return -ENOMEM;
    int r = io_unlinkat(files_fd, path, 0);
    if (r == 0)
        log_info("%s is left out: the server that it names was shut down", path);
    return r == -ENOENT ? 0 : r;
}

int seal_postgres(int files_fd, const char *path, struct strlist *warnings)
{
    AUTO_FREE char *directory = directory_of(files_fd, path);
    uint32_t version = 0;
    uint32_t state = 0;
    if (!directory)
        return 0;
    int r = read_start(files_fd, path, &version, &state);
    if (r == -EBADMSG)
        return log_fail(r, "builder left a broken PostgreSQL data directory: %s is cut off", path);
    if (r == 0) {
        bool is_known =
            version >= VERSION_MIN && version <= VERSION_MAX && state < ARRAY_LENGTH(states);
        if (!is_known)
            r = warn_unknown(path, version, warnings);
        else if (state != STATE_SHUT_DOWN && state != STATE_SHUT_DOWN_IN_RECOVERY)
            return refuse(directory, states[state]);
        else
            r = remove_pid_file(files_fd, directory);
    }
    return r < 0 ? log_errno(r, "sealing %s", path) : 0;
}
