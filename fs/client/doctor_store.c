/*
 * The checks of HOME, of the store, of mounts, and of the backend that follows from everything.
 */
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "fs/base/io.h"
#include "fs/base/text.h"
#include "fs/client/backend.h"
#include "fs/client/daemon_control.h"
#include "fs/client/doctor.h"
#include "fs/mount/mountpoint.h"
#include "fs/mount/serve.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"

enum {
    /* With less than this the next build may not fit. */
    LITTLE_ROOM_BYTES = 256 << 20,
    NO_ROOM_BYTES = 16 << 20,
};

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

/* The command for a store that this user can have on any machine. */
static char *another_store(void)
{
    return text_format("export MINTFS_STORE=/var/tmp/mintfs-%u", (unsigned)geteuid());
}

/* ---- HOME ---- */

static void check_home(struct doctor *doctor)
{
    static const char check[] = "HOME";
    const char *home = getenv("HOME");
    /* HOME is used for the store alone. */
    bool matters = !is_set("MINTFS_STORE") && !is_set("XDG_CACHE_HOME");
    enum finding_level level = matters ? FINDING_HINT : FINDING_OK;
    AUTO_FREE char *command = matters ? another_store() : NULL;
    struct stat status;
    if (!home || home[0] != '/')
        doctor_add(doctor, FINDING_OK, check, NULL,
                   "not set: the user database names the directory");
    else if (stat(home, &status) < 0)
        doctor_add(doctor, level, check, command, "%s: %s", home, strerror(errno));
    else if (status.st_uid != geteuid())
        doctor_add(
            doctor, level, check, command,
            "%s belongs to user %u, and you are %u, as happens in container jobs: the next job "
            "may not find what this one stores there; use another place with",
            home, status.st_uid, (unsigned)geteuid());
    else
        doctor_add(doctor, FINDING_OK, check, NULL, "%s, yours", home);
}

/* ---- the store ---- */

/* Calls a function in a child process and catches its messages; true if it succeeded. */
static bool run_in_child(int (*function)(void), char *ret_output, size_t size)
{
    int ends[2];
    ret_output[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    AUTO_FD int read_end = ends[0];
    AUTO_FD int write_end = ends[1];
    pid_t pid = fork();
    if (pid == 0) {
        if (dup2(write_end, STDERR_FILENO) < 0)
            _exit(1);
        _exit(function() < 0);
    }
    (void)close(steal_fd(&write_end));
    size_t used = 0;
    ssize_t n;
    while (
        pid > 0 && used < size - 1 &&
        ((n = read(read_end, ret_output + used, size - 1 - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    ret_output[used] = '\0';
    int status = 1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The first line, without "mintfs: " in front. */
static const char *first_line(char *output)
{
    static const char prefix[] = "mintfs: ";
    output[strcspn(output, "\n")] = '\0';
    return strncmp(output, prefix, strlen(prefix)) == 0 ? output + strlen(prefix) : output;
}

static int name_store(void)
{
    AUTO_FREE char *path = NULL;
    return store_path(&path);
}

static int try_store(void)
{
    AUTO_STORE struct store *store = NULL;
    return store_open(&store);
}

struct search {
    const char *path;
    char type[32];
    size_t length;
};

static int note_file_system(const struct mountpoint_entry *entry, void *context)
{
    const char *path = entry->path;
    struct search *search = context;
    size_t length = strlen(path);
    bool root = !strcmp(path, "/");
    if (length < search->length || strncmp(search->path, path, length) != 0 ||
        (!root && search->path[length] != '/' && search->path[length] != '\0'))
        return 0;
    search->length = length;
    (void)snprintf(search->type, sizeof(search->type), "%s", entry->type);
    return 0;
}

/* Network file systems on FUSE: statfs(2) reports only "FUSE", so store_open() cannot refuse
 * them. */
static bool is_remote(const char *type)
{
    static const char *const types[] = {"fuse.sshfs",     "fuse.rclone",  "fuse.s3fs",
                                        "fuse.glusterfs", "fuse.davfs2",  "fuse.gcsfuse",
                                        "fuse.ceph-fuse", "fuse.goofys",  "fuse.curlftpfs",
                                        "fuse.blobfuse2", "fuse.juicefs", "fuse.JuiceFS"};
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (!strcmp(type, types[i]))
            return true;
    return false;
}

/* Directories of the store that other users can write: fixed, or reported. */
static bool check_modes(struct doctor *doctor)
{
    static const char *const parts[] = {"",          "/v1",         "/v1/templates", "/v1/building",
                                        "/v1/locks", "/v1/sessions"};
    bool good = true;
    for (size_t i = 0; i < ARRAY_LENGTH(parts); i++) {
        AUTO_FREE char *path = text_format("%s%s", doctor->store_path, parts[i]);
        AUTO_FD int fd =
            path ? io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
        struct stat status;
        if (fd < 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid() ||
            !(status.st_mode & (S_IWGRP | S_IWOTH)))
            continue;
        if (doctor->fix &&
            io_fchmod(fd, status.st_mode & 07777 & ~(mode_t)(S_IWGRP | S_IWOTH)) == 0) {
            doctor_add_fixed(doctor, "store", "others could write %s (mode %04o): fixed", path,
                             status.st_mode & 07777);
            continue;
        }
        AUTO_FREE char *command = text_format("chmod go-w '%s'", path);
        doctor_add(doctor, FINDING_BAD, "store", command, "others can write %s (mode %04o)", path,
                   status.st_mode & 07777);
        good = false;
    }
    return good;
}

static void check_room(struct doctor *doctor, const char *path)
{
    struct statvfs status;
    if (statvfs(path, &status) < 0)
        return;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    unsigned long long mib = room >> 20;
    if (room < NO_ROOM_BYTES)
        doctor_add(doctor, FINDING_BAD, "room", "mintfs gc --max-size 100M",
                   "%llu MiB left where the store is", mib);
    else if (room < LITTLE_ROOM_BYTES)
        doctor_add(doctor, FINDING_HINT, "room", "mintfs gc --max-size 1G",
                   "%llu MiB left where the store is", mib);
    else if (status.f_files && status.f_favail < 1000)
        doctor_add(doctor, FINDING_HINT, "room", NULL,
                   "%llu MiB left where the store is, but only %llu inodes", mib,
                   (unsigned long long)status.f_favail);
    else
        doctor_add(doctor, FINDING_OK, "room", NULL, "%llu MiB left where the store is", mib);
}

/* Cuts the path to its nearest part that exists. */
static void cut_to_existing(char *path)
{
    struct stat status;
    while (stat(path, &status) < 0) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        slash[slash == path] = '\0';
    }
}

static void check_missing_store(struct doctor *doctor)
{
    char output[1024];
    if (doctor->fix) {
        if (run_in_child(try_store, output, sizeof(output)))
            doctor_add_fixed(doctor, "store", "%s was missing: created", doctor->store_path);
        else
            doctor_add(doctor, FINDING_BAD, "store", NULL, "%s", first_line(output));
        return;
    }
    AUTO_FREE char *above = strdup(doctor->store_path);
    AUTO_FREE char *command = another_store();
    if (!above)
        return;
    cut_to_existing(above);
    if (access(above, W_OK | X_OK) == 0) {
        doctor_add(doctor, FINDING_OK, "store", NULL,
                   "%s does not exist yet: the first build creates it", doctor->store_path);
        check_room(doctor, above);
        return;
    }
    doctor_add(doctor, FINDING_BAD, "store", command, "%s cannot be created (%s: %s)",
               doctor->store_path, above, strerror(errno));
}

/* Whether the store can be used. */
static bool check_store(struct doctor *doctor)
{
    char output[1024];
    AUTO_FREE char *command = another_store();
    if (!run_in_child(name_store, output, sizeof(output)) || store_path(&doctor->store_path) < 0) {
        doctor_add(doctor, FINDING_BAD, "store", command, "%s", first_line(output));
        return false;
    }
    if (!store_is_there(doctor->store_path)) {
        check_missing_store(doctor);
        return false;
    }
    if (!check_modes(doctor))
        return false;
    if (!run_in_child(try_store, output, sizeof(output))) {
        doctor_add(doctor, FINDING_BAD, "store", command, "%s", first_line(output));
        return false;
    }
    struct search search = {.path = doctor->store_path, .type = "?"};
    (void)!mountpoint_each(note_file_system, &search);
    if (is_remote(search.type))
        doctor_add(
            doctor, FINDING_HINT, "store", command,
            "%s, yours alone, on %s: locks and writes of other machines are not noticed here; "
            "if other machines use it, too, use another place with",
            doctor->store_path, search.type);
    else
        doctor_add(doctor, FINDING_OK, "store", NULL, "%s, yours alone, on %s", doctor->store_path,
                   search.type);
    doctor_check_owners(doctor);
    doctor_check_catalog(doctor);
    check_room(doctor, doctor->store_path);
    return true;
}

/* ---- mounts ---- */

static int check_dead_mount(const struct mountpoint_entry *entry, void *context)
{
    const char *path = entry->path;
    struct doctor *doctor = context;
    if (strcmp(entry->type, MOUNT_TYPE) != 0 || mountpoint_state(path) != MOUNT_STALE)
        return 0;
    if (doctor->fix && mountpoint_detach(path) == 0) {
        doctor_add_fixed(doctor, "mounts", "there was a dead mount at %s: unmounted", path);
        return 0;
    }
    AUTO_FREE char *command =
        text_format(doctor->mounts_itself ? "umount -l '%s'" : "fusermount3 -uz '%s'", path);
    /* Only a hint: it belongs to another store, or the next mount there removes it. */
    doctor_add(doctor, FINDING_HINT, "mounts", command,
               "there is a dead mount at %s: its daemon is gone", path);
    return 0;
}

/* Whether the mount uses io_uring, as the end of a message. */
static const char *describe_requests(const char *mount_point)
{
    json_t *status;
    if (daemon_read_status(mount_point, &status, NULL) < 0)
        return "; it does not answer your requests";
    bool uring = json_is_true(json_object_get(json_object_get(status, "options"), "io_uring"));
    json_decref(status);
    return uring ? ", through io_uring" : ", without io_uring";
}

static void check_own_mount(struct doctor *doctor)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_SERVE_FOUND struct serve_found found = {0};
    if (store_open(&store) < 0 || serve_find(store, &found) != 1)
        return;
    doctor->mounted_at = strdup(found.mount_point);
    if (strcmp(found.version, MINTFS_VERSION) != 0)
        doctor_add(doctor, FINDING_HINT, "mounts", "mintfs mount --replace",
                   "the store is served at %s by mintfs %s (process %d), and this is %s",
                   found.mount_point, found.version, found.pid, MINTFS_VERSION);
    else
        doctor_add(doctor, FINDING_OK, "mounts", NULL, "the store is served at %s (process %d)%s",
                   found.mount_point, found.pid, describe_requests(found.mount_point));
}

static void check_mount_place(struct doctor *doctor)
{
    AUTO_FREE char *path = NULL;
    bool in_tmp;
    struct stat status;
    if (doctor->mounted_at || !doctor->can_mount || mountpoint_default_path(&path, &in_tmp) < 0)
        return;
    if (in_tmp && lstat(path, &status) == 0 && mountpoint_state(path) == MOUNT_NONE &&
        (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 077))) {
        doctor_add(doctor, FINDING_BAD, "mounts", "export MINTFS_MOUNT=$(mktemp -d)",
                   "the mount point would be %s, which is not a directory of yours alone", path);
        return;
    }
    AUTO_FREE char *above = strdup(path);
    if (!above)
        return;
    cut_to_existing(above);
    if (strcmp(above, path) != 0 && access(above, W_OK | X_OK) < 0)
        doctor_add(doctor, FINDING_HINT, "mounts", "export MINTFS_MOUNT=$(mktemp -d)",
                   "the mount point would be %s, which cannot be created (%s)", path,
                   strerror(errno));
    else
        doctor_add(doctor, FINDING_OK, "mounts", NULL,
                   "none of this store; the mount point would be %s", path);
}

static void check_mounts(struct doctor *doctor, bool store_is_good)
{
    (void)!mountpoint_each(check_dead_mount, doctor);
    if (store_is_good)
        check_own_mount(doctor);
    check_mount_place(doctor);
}

/* ---- the backend ---- */

static int read_preference(void)
{
    enum backend_preference preference;
    return backend_read_preference(&preference);
}

static void check_preference(struct doctor *doctor, enum backend_preference preference)
{
    static const char check[] = "backend";
    static const char *const words[] = {
        [PREFER_AUTO] = "auto", [PREFER_FUSE] = "fuse", [PREFER_COPY] = "copy"};
    const char *why = doctor->no_mount_why ? doctor->no_mount_why : "?";
    doctor->preference = words[preference];
    if (preference == PREFER_COPY) {
        doctor_add(doctor, FINDING_OK, check, NULL, "copies, since MINTFS_BACKEND asks for them");
    } else if (doctor->mounted_at) {
        doctor->fuse_from_bytes = 0;
        doctor_add(doctor, FINDING_OK, check, NULL,
                   "fuse: a new session is a view, since the store is mounted");
    } else if (doctor->can_mount && preference == PREFER_FUSE) {
        doctor->fuse_from_bytes = 0;
        doctor_add(doctor, FINDING_OK, check, NULL,
                   "fuse, since MINTFS_BACKEND asks for it: the first session starts the mount");
    } else if (preference == PREFER_FUSE) {
        doctor_add(doctor, FINDING_BAD, check,
                   is_set("MINTFS_BACKEND") ? "unset MINTFS_BACKEND" : "export MINTFS_BACKEND=auto",
                   "MINTFS_BACKEND asks for a mount, which is not possible (%s): no session can be "
                   "created",
                   why);
    } else if (doctor->can_mount && backend_mount_threshold_bytes() != UINT64_MAX) {
        doctor->fuse_from_bytes = backend_mount_threshold_bytes() + 1;
        doctor_add(doctor, FINDING_OK, check, NULL,
                   "a template above %llu MiB gets a mount, smaller ones are copied, which is "
                   "cheaper; after `mintfs mount` every session is a view",
                   (unsigned long long)(backend_mount_threshold_bytes() >> 20));
    } else {
        doctor_add(doctor, FINDING_OK, check, NULL, "copies, since no mount is possible here (%s)",
                   why);
    }
}

static void check_backend(struct doctor *doctor)
{
    char output[256];
    enum backend_preference preference;
    doctor->fuse_from_bytes = UINT64_MAX;
    if (!run_in_child(read_preference, output, sizeof(output)) ||
        backend_read_preference(&preference) < 0) {
        /* If the variable is not set, the message names the line of the settings file. */
        doctor_add(doctor, FINDING_BAD, "backend",
                   is_set("MINTFS_BACKEND") ? "unset MINTFS_BACKEND" : NULL, "%s",
                   first_line(output));
        return;
    }
    check_preference(doctor, preference);
}

void doctor_check_store(struct doctor *doctor)
{
    check_home(doctor);
    bool good = check_store(doctor);
    check_mounts(doctor, good);
    check_backend(doctor);
}
