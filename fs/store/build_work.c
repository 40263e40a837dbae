#include "fs/store/build_work.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/names.h"
#include "fs/store/template.h"

static int make_parents(int files_fd, const char *file)
{
    AUTO_FREE char *path = strdup(file);
    AUTO_FD int at = -1;
    char *rest = path;
    if (!path)
        return -ENOMEM;
    for (char *slash; (slash = strchr(rest, '/')); rest = slash + 1) {
        *slash = '\0';
        int fd = dir_ensure(at >= 0 ? at : files_fd, rest, 0777);
        if (fd < 0)
            return fd;
        if (at >= 0)
            (void)close(at);
        at = fd;
    }
    return 0;
}

static int create(const struct store *store, const char *key, const char *file,
                  struct build_work *work)
{
    uint32_t random = 0;
    char name[BUILD_WORK_NAME_SIZE];
    if (getrandom(&random, sizeof(random), 0) < 0)
        return -errno;
    (void)snprintf(name, sizeof(name), "%.64s.%08x", key, random);
    int r = io_mkdirat(store->building_fd, name, 0700);
    if (r < 0)
        return r;
    work->store = store;
    memcpy(work->name, name, sizeof(name));
    work->fd = io_openat(store->building_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (work->fd < 0)
        return work->fd;
    work->files_fd = dir_ensure(work->fd, "files", 0700);
    if (work->files_fd < 0)
        return work->files_fd;
    work->files_path = text_format("%s/v1/building/%s/files", store->path, name);
    work->out_path = work->files_path ? text_format("%s/%s", work->files_path, file) : NULL;
    return work->out_path ? make_parents(work->files_fd, file) : -ENOMEM;
}

int build_work_create(const struct store *store, const char *key, const char *file,
                      struct build_work *work)
{
    int r = create(store, key, file, work);
    return r < 0 ? store_log_error(store->path, r, "v1/building") : 0;
}

int build_work_remove_empty_parents(const struct build_work *work, const char *file)
{
    AUTO_FREE char *path = strdup(file);
    if (!path)
        return -ENOMEM;
    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = '\0';
        int r = io_unlinkat(work->files_fd, path, AT_REMOVEDIR);
        if (r == -ENOTEMPTY || r == -EEXIST)
            return 0;
        if (r < 0 && r != -ENOENT && r != -ENOTDIR)
            return r;
    }
    return 0;
}

static int rename_to(struct build_work *work, const char *key)
{
    const struct store *store = work->store;
    int r = io_renameat_new(store->building_fd, work->name, store->templates_fd, key);
    if (r == 0)
        work->name[0] = '\0';
    return r;
}

int build_work_publish(struct build_work *work, const char *key)
{
    const struct store *store = work->store;
    int r = rename_to(work, key);
    /* A directory of that name without a manifest, such as a cache restored in part. */
    if (r == -EEXIST && !template_exists(store, key)) {
        log_info("replacing an unfinished template %" PRI_KEY, key);
        r = template_put_aside(store, key);
        if (r == 0)
            r = rename_to(work, key);
    }
    if (r == 0)
        r = io_fsync(store->templates_fd);
    return r < 0 ? store_log_error(store->path, r, "v1/templates") : 0;
}

void build_work_fini(struct build_work *work)
{
    if (work->files_fd >= 0)
        (void)close(work->files_fd);
    if (work->fd >= 0)
        (void)close(work->fd);
    if (work->name[0]) {
        int r = dir_remove_tree(work->store->building_fd, work->name);
        if (r < 0)
            build_leftovers_log(work->store, work->name, r);
    }
    free(work->files_path);
    free(work->out_path);
    *work = (struct build_work)BUILD_WORK_INIT;
}
