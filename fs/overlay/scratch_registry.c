#include "fs/overlay/scratch_registry.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/sha256.h"

static const char directory[] = "scratches";

enum { RECORD_NAME_LENGTH = 16 };

static int fill_record_name(const char *path, char ret_name[RECORD_NAME_LENGTH + 1])
{
    uint8_t digest[SHA256_SIZE_BYTES];
    char hex[SHA256_HEX_LENGTH + 1];
    int r = sha256_of_bytes(path, strlen(path), digest);
    if (r < 0)
        return r;
    sha256_to_hex(digest, hex);
    (void)snprintf(ret_name, RECORD_NAME_LENGTH + 1, "%.*s", RECORD_NAME_LENGTH, hex);
    return 0;
}

int scratch_registry_add(const struct store *store, const char *path)
{
    char name[RECORD_NAME_LENGTH + 1];
    AUTO_FD int fd = dir_ensure(store->v1_fd, directory, 0700);
    int r = fd < 0 ? fd : fill_record_name(path, name);
    if (r == 0)
        r = dir_write_file(fd, name, path, strlen(path), 0600);
    return r < 0 ? store_log_error(store->path, r, "v1/scratches") : 0;
}

int scratch_registry_remove(const struct store *store, const char *path)
{
    char name[RECORD_NAME_LENGTH + 1];
    AUTO_FD int fd = io_openat(store->v1_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    int r = fd < 0 ? fd : fill_record_name(path, name);
    if (r == 0)
        r = io_unlinkat(fd, name, 0);
    return r == -ENOENT ? 0 : r;
}

struct scratches {
    scratch_registry_visitor *visit;
    void *context;
};

static int visit_record(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    const struct scratches *scratches = context;
    AUTO_FREE char *path = NULL;
    if (strlen(name) != RECORD_NAME_LENGTH ||
        strspn(name, "0123456789abcdef") != RECORD_NAME_LENGTH ||
        dir_read_file(dirfd, name, PATH_MAX, &path, NULL) < 0 || path[0] != '/')
        return 0;
    return scratches->visit(path, scratches->context);
}

int scratch_registry_each(const struct store *store, scratch_registry_visitor *visit, void *context)
{
    struct scratches scratches = {.visit = visit, .context = context};
    AUTO_FD int fd = io_openat(store->v1_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : store_log_error(store->path, fd, "v1/scratches");
    return dir_each(fd, visit_record, &scratches);
}
