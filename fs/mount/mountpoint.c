#include "fs/mount/mountpoint.h"

#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/process_search.h"
#include "fs/base/text.h"
#include "fs/store/settings.h"

/* ---- what is mounted where ---- */

/* Decodes \040 and other octal escapes in place (proc(5), mountinfo). */
static void unescape(char *text)
{
    char *out = text;
    for (const char *in = text; *in; out++) {
        if (in[0] == '\\' && in[1] && in[2] && in[3]) {
            *out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
            in += 4;
        } else {
            *out = *in++;
        }
    }
    *out = '\0';
}

/* Splits a line in place; false if it is malformed. */
static bool parse_line(char *line, struct mountpoint_entry *ret_entry)
{
    /* id parent major:minor root MOUNT-POINT options [tags] - TYPE source options */
    unsigned major_number;
    unsigned minor_number;
    int start = -1;
    if (sscanf(line, "%*d %*d %u:%u %*s %n", &major_number, &minor_number, &start) < 2 || start < 0)
        return false;
    char *path = line + start;
    char *end = strchr(path, ' ');
    char *type = end ? strstr(end, " - ") : NULL;
    if (!type)
        return false;
    type += 3;
    static const char owner_option[] = "user_id=";
    const char *owner = strstr(type, owner_option);
    type[strcspn(type, " \n")] = '\0';
    *end = '\0';
    unescape(path);
    *ret_entry = (struct mountpoint_entry){
        .path = path,
        .type = type,
        .device = makedev(major_number, minor_number),
        .owner = owner ? (uid_t)strtoul(owner + strlen(owner_option), NULL, 10) : (uid_t)-1,
    };
    return true;
}

static int each_in(const char *mountinfo, mountpoint_visitor *visit, void *context)
{
    AUTO_FILE FILE *file = fopen(mountinfo, "re");
    if (!file)
        return -errno;
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    int r = 0;
    while (r == 0 && getline(&line, &size, file) > 0) {
        struct mountpoint_entry entry;
        if (parse_line(line, &entry))
            r = visit(&entry, context);
    }
    return r;
}

int mountpoint_each(mountpoint_visitor *visit, void *context)
{
    return each_in("/proc/self/mountinfo", visit, context);
}

int mountpoint_each_of(int pid, mountpoint_visitor *visit, void *context)
{
    char mountinfo[40];
    (void)snprintf(mountinfo, sizeof(mountinfo), "/proc/%d/mountinfo", pid);
    return each_in(mountinfo, visit, context);
}

static int is_ours_at(const struct mountpoint_entry *entry, void *context)
{
    return !strcmp(entry->path, context) && !strcmp(entry->type, MOUNT_TYPE);
}

bool mountpoint_is_seen_by(int pid, const char *path)
{
    return mountpoint_each_of(pid, is_ours_at, (void *)(uintptr_t)path) != 0;
}

static int is_of_device(const struct mountpoint_entry *entry, void *context)
{
    const dev_t *device = context;
    return entry->device == *device && !strcmp(entry->type, MOUNT_TYPE);
}

bool mountpoint_has_device(dev_t device)
{
    return mountpoint_each(is_of_device, &device) != 0;
}

struct search {
    const char *path;
    char *type;
    dev_t device;
    uid_t owner;
};

static int note_topmost(const struct mountpoint_entry *entry, void *context)
{
    struct search *search = context;
    if (strcmp(entry->path, search->path) != 0)
        return 0;
    free(search->type);
    search->type = strdup(entry->type);
    search->device = entry->device;
    search->owner = entry->owner;
    return search->type ? 0 : -ENOMEM;
}

/* The type of the topmost mount at a path, owned by the caller; NULL if there is none. */
static char *mounted_type(const char *path)
{
    struct search search = {.path = path};
    (void)!mountpoint_each(note_topmost, &search);
    return search.type;
}

dev_t mountpoint_device(const char *path)
{
    struct search search = {.path = path};
    (void)!mountpoint_each(note_topmost, &search);
    bool is_ours = search.type && !strcmp(search.type, MOUNT_TYPE);
    free(search.type);
    return is_ours ? search.device : 0;
}

static uid_t mount_owner(const char *path)
{
    struct search search = {.path = path, .owner = (uid_t)-1};
    (void)!mountpoint_each(note_topmost, &search);
    free(search.type);
    return search.owner;
}

enum mount_state mountpoint_state(const char *path)
{
    AUTO_FREE char *type = mounted_type(path);
    if (!type)
        return MOUNT_NONE;
    if (strcmp(type, MOUNT_TYPE) != 0)
        return MOUNT_FOREIGN;
    /*
     * stat(2) may still succeed, from cached attributes. Just after a daemon was killed, statfs(2)
     * fails with ECONNABORTED, or with ECANCELED if the daemon used io_uring.
     */
    struct statfs status;
    bool dead = statfs(path, &status) < 0 &&
                (errno == ENOTCONN || errno == ECONNABORTED || errno == ECANCELED);
    return dead ? MOUNT_STALE : MOUNT_OURS;
}

/* ---- paths ---- */

static int log_not_private(const char *path)
{
    return log_fail(EPERM, "%s is not a directory of yours alone; set MINTFS_MOUNT to one that is",
                    path);
}

static bool is_private(const struct stat *status)
{
    return S_ISDIR(status->st_mode) && status->st_uid == geteuid() && !(status->st_mode & 077);
}

/* In /tmp, where any user can create a directory of that name. NULL when out of memory. */
static char *default_in_tmp(void)
{
    return text_format("/tmp/mintfs-%u", (unsigned)geteuid());
}

/* A directory that a mount hides is checked by mountpoint_prepare(), after the mount is gone. */
static int private_in_tmp(const char *path)
{
    struct stat status;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return log_errno(errno, "cannot make the mount point %s", path);
    if (mountpoint_state(path) == MOUNT_NONE && (lstat(path, &status) < 0 || !is_private(&status)))
        return log_not_private(path);
    return 0;
}

int mountpoint_default_path(char **ret_path, bool *ret_in_tmp)
{
    struct setting_value setting;
    int r = settings_get(SETTING_MOUNT, &setting);
    if (r < 0)
        return r;
    const char *wanted = setting.text;
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat status;
    *ret_in_tmp = false;
    if (wanted && *wanted) {
        *ret_path = strdup(wanted);
    } else if (runtime && *runtime == '/' && stat(runtime, &status) == 0 &&
               S_ISDIR(status.st_mode) && status.st_uid == geteuid()) {
        *ret_path = text_format("%s/mintfs", runtime);
    } else {
        *ret_path = default_in_tmp();
        *ret_in_tmp = true;
    }
    return *ret_path ? 0 : -ENOMEM;
}

int mountpoint_default(char **ret_path)
{
    bool in_tmp;
    char *path;
    int r = mountpoint_default_path(&path, &in_tmp);
    if (r < 0)
        return log_errno(r, "mount point");
    AUTO_FREE char *named = path;
    if (!in_tmp)
        return mountpoint_resolve(named, ret_path);
    r = private_in_tmp(named);
    if (r == 0)
        *ret_path = steal_pointer(&named);
    return r;
}

int mountpoint_resolve(const char *path, char **ret_path)
{
    if (!*path)
        return log_fail(EINVAL, "the mount point's path is empty");
    json_t *probe = json_string(path);
    json_decref(probe);
    if (!probe)
        return log_fail(EINVAL, "the mount point %s is not UTF-8: name another directory", path);
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode)) {
        *ret_path = realpath(path, NULL);
        return *ret_path ? 0 : log_errno(errno, "cannot find the mount point %s", path);
    }
    /* The last component may be a dead mount, which realpath(3) cannot resolve. */
    AUTO_FREE char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/')
        copy[--length] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
        *ret_path = realpath(copy, NULL);
        return *ret_path ? 0 : log_errno(errno, "cannot find the mount point %s", path);
    }
    if (slash)
        *slash = '\0';
    AUTO_FREE char *parent = realpath(!slash ? "." : *copy ? copy : "/", NULL);
    if (!parent)
        return log_errno(errno, "cannot find the directory of the mount point %s", path);
    *ret_path = text_format("%s/%s", strcmp(parent, "/") != 0 ? parent : "", name);
    return *ret_path ? 0 : -ENOMEM;
}

static int check_directory(const char *path)
{
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOTDIR || fd == -ELOOP)
        return log_fail(ENOTDIR, "%s is not a directory: name an empty or a new one", path);
    if (fd < 0)
        return log_errno(fd, "cannot mount at %s", path);
    AUTO_FREE char *in_tmp = default_in_tmp();
    struct stat status;
    if (!in_tmp)
        return -ENOMEM;
    if (!strcmp(path, in_tmp) && (fstat(fd, &status) < 0 || !is_private(&status)))
        return log_not_private(path);
    int empty = dir_is_empty(fd);
    if (empty < 0)
        return log_errno(empty, "cannot look into %s", path);
    return empty ? 0
                 : log_fail(ENOTEMPTY,
                            "%s is not empty: a mount would hide its content; name another "
                            "directory",
                            path);
}

int mountpoint_prepare(const struct store *store, const char *path)
{
    if (path_is_in(path, store->path) || path_is_in(store->path, path))
        return log_fail(EINVAL, "the mount point %s and the store %s must not contain one another",
                        path, store->path);
    enum mount_state state = mountpoint_state(path);
    if (state == MOUNT_FOREIGN)
        return log_fail(EBUSY, "something else is mounted at %s: name another directory", path);
    if (state == MOUNT_OURS)
        return log_fail(EBUSY,
                        "another store of mintfs is mounted at %s: mintfs umount %s, or name "
                        "another directory",
                        path, path);
    while (state == MOUNT_STALE) {
        uid_t owner = mount_owner(path);
        if (owner != geteuid())
            return log_fail(EBUSY,
                            "a dead mount of user %u is at %s: name another directory, or remove "
                            "it with: mintfs umount %s",
                            (unsigned)owner, path, path);
        log_info("removed a dead mount at %s", path);
        int r = mountpoint_detach(path);
        if (r < 0)
            return log_errno(r, "cannot remove the dead mount at %s", path);
        state = mountpoint_state(path);
    }
    int r = io_mkdirat(AT_FDCWD, path, 0700);
    if (r < 0 && r != -EEXIST)
        return log_errno(r, "cannot make the mount point %s", path);
    return check_directory(path);
}

/* ---- unmounting ---- */

static int run_fusermount(const char *const arguments[])
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    int error = posix_spawnp(&pid, arguments[0], &actions, NULL,
                             (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return error == EAGAIN ? -ENOMEM : -error;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int mountpoint_unmount(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW) == 0)
        return 0;
    if (errno != EPERM)
        return -errno;
    return run_fusermount((const char *[]){"fusermount3", "-u", "-q", "--", path, NULL});
}

int mountpoint_detach(const char *path)
{
    if (umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
        return 0;
    if (errno != EPERM)
        return -errno;
    return run_fusermount((const char *[]){"fusermount3", "-u", "-q", "-z", "--", path, NULL});
}
