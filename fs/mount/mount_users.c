#include "fs/mount/mount_users.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/io.h"
#include "fs/base/process_search.h"
#include "fs/base/vector.h"
#include "fs/mount/mountpoint.h"

/* ---- in this mount namespace ---- */

static bool maps_lead_in(int procfd, const char *path)
{
    AUTO_FD int fd = io_openat(procfd, "maps", O_RDONLY, 0);
    AUTO_FILE FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
    if (!file)
        return false;
    (void)steal_fd(&fd);
    AUTO_FREE char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        const char *mapped = strchr(line, '/');
        if (mapped && path_is_in(mapped, path))
            return true;
    }
    return false;
}

static bool uses(int procfd, int pid UNUSED, void *context)
{
    const char *path = context;
    return process_link_leads_in(procfd, "cwd", path) ||
           process_link_leads_in(procfd, "root", path) || maps_lead_in(procfd, path) ||
           process_has_open(procfd, path);
}

char *mount_users(const char *path)
{
    return processes_list(uses, (void *)(uintptr_t)path);
}

/* ---- in others ---- */

struct search {
    dev_t device;
    VECTOR(ino_t) seen; /* the namespaces that were searched, this process's first */
    int fd;             /* of the mount, if `opens` is set and it was found */
    bool opens;
};

/* Whether the namespace was searched before; true if it cannot be determined. */
static bool is_known_namespace(struct search *search, int procfd)
{
    struct stat status;
    if (fstatat(procfd, "ns/mnt", &status, 0) < 0)
        return true;
    for (size_t i = 0; i < search->seen.count; i++)
        if (search->seen.items[i] == status.st_ino)
            return true;
    return vector_push(&search->seen, status.st_ino) < 0;
}

struct copy {
    struct search *search;
    int procfd;
};

static int visit_mount(const struct mountpoint_entry *entry, void *context)
{
    const struct copy *copy = context;
    struct search *search = copy->search;
    if (entry->device != search->device || strcmp(entry->type, MOUNT_TYPE) != 0)
        return 0;
    if (!search->opens)
        return 1;
    AUTO_FD int root = io_openat(copy->procfd, "root", O_PATH | O_DIRECTORY, 0);
    AUTO_FD int fd = root < 0 ? root
                              : io_openat(root, entry->path[1] ? entry->path + 1 : ".",
                                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_dev != search->device)
        return 0;
    search->fd = steal_fd(&fd);
    return 1;
}

static bool has_copy(int procfd, int pid, void *context)
{
    struct copy copy = {.search = context, .procfd = procfd};
    if (copy.search->fd >= 0 || is_known_namespace(copy.search, procfd))
        return false;
    return mountpoint_each_of(pid, visit_mount, &copy) == 1;
}

/* Returns the list of holders, or sets search->fd. */
static char *look_elsewhere(struct search *search)
{
    AUTO_FD int own = io_openat(AT_FDCWD, "/proc/self", O_RDONLY | O_DIRECTORY, 0);
    if (own < 0)
        return NULL;
    (void)is_known_namespace(search, own);
    char *holders = processes_list(has_copy, search);
    vector_fini(&search->seen);
    return holders;
}

char *mount_holders(dev_t device)
{
    struct search search = {.device = device, .fd = -1};
    return device ? look_elsewhere(&search) : NULL;
}

int mount_open_elsewhere(dev_t device)
{
    struct search search = {.device = device, .fd = -1, .opens = true};
    free(device ? look_elsewhere(&search) : NULL);
    return search.fd < 0 ? -ENOENT : search.fd;
}
