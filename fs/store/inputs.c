#include "fs/store/inputs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/input_find.h"

/* One buffer serves all files: thousands of small ones are the common case. */
enum { BUFFER_BYTES = 256 << 10 };

/* A link to a directory counts with the path that it leads to. */
static int digest_link(const char *real, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    static const char tag[] = "symbolic link to ";
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    int r = hash ? sha256_update(hash, tag, strlen(tag)) : -ENOMEM;
    if (r == 0)
        r = sha256_update(hash, real, strlen(real));
    return r == 0 ? sha256_final(hash, ret_digest) : r;
}

static int read_input(int root_fd, const struct found_input *found, char *buffer,
                      uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    const char *path = found->real ? found->real : found->path;
    if (found->is_linked_tree)
        return digest_link(path, ret_digest);
    AUTO_FD int fd = dir_open_beneath(root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return log_fail(ENOENT, "input %s: vanished while it was read", found->path);
    if (fd < 0)
        return log_errno(fd, "input %s", found->path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "input %s", found->path);
    if (!S_ISREG(status.st_mode))
        return log_fail(EINVAL, "input %s: no longer a regular file", found->path);
    int r = sha256_of_fd_through(fd, buffer, BUFFER_BYTES, ret_digest);
    return r < 0 ? log_errno(r, "input %s", found->path) : 0;
}

int inputs_read(const struct build_spec *spec, struct input_list *ret_list)
{
    AUTO_FD int root_fd = io_openat(AT_FDCWD, spec->root, O_RDONLY | O_DIRECTORY, 0);
    if (root_fd < 0)
        return log_errno(root_fd, "root %s", spec->root);
    AUTO_FOUND struct found_inputs found = {.items = NULL};
    int r = input_find(spec, root_fd, &found);
    if (r < 0)
        return r;
    AUTO_FREE char *buffer = malloc(BUFFER_BYTES);
    AUTO_INPUTS struct input_list list = {.items = calloc(found.count + 1, sizeof(*list.items))};
    if (!buffer || !list.items)
        return log_errno(ENOMEM, "inputs");
    for (size_t i = 0; i < found.count; i++) {
        r = read_input(root_fd, &found.items[i], buffer, list.items[i].digest);
        if (r < 0)
            return r;
        list.items[i].path = steal_pointer(&found.items[i].path);
        list.count = i + 1;
    }
    *ret_list = list;
    list.items = NULL;
    list.count = 0;
    return 0;
}

void inputs_fini(struct input_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].path);
    free(list->items);
    *list = (struct input_list){.items = NULL};
}

static int log_changed(const char *path, const char *how)
{
    return log_fail(ESTALE,
                    "input %s was %s while the builder ran: nothing is published, because "
                    "the key would be wrong; build again",
                    path, how);
}

int inputs_compare(const struct input_list *before, const struct input_list *after)
{
    for (size_t i = 0; i < before->count || i < after->count; i++) {
        if (i == before->count)
            return log_changed(after->items[i].path, "added");
        if (i == after->count)
            return log_changed(before->items[i].path, "removed");
        int order = strcmp(before->items[i].path, after->items[i].path);
        if (order != 0)
            return order > 0 ? log_changed(after->items[i].path, "added")
                             : log_changed(before->items[i].path, "removed");
        if (memcmp(before->items[i].digest, after->items[i].digest, SHA256_SIZE_BYTES) != 0)
            return log_changed(before->items[i].path, "changed");
    }
    return 0;
}
