#include "fs/client/kept_databases.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/client/listing.h"

static const char marker[] = "mintfs-kept";

enum { MARKER_LIMIT_BYTES = 1 << 20 };

typedef int name_visitor(int fd, const char *name, void *context);

/* Visits each file that the marker's text names and that exists. Changes the text. */
static int each_name(int fd, char *text, name_visitor *visit, void *context)
{
    int r = 0;
    for (char *line = text, *next; r == 0 && line; line = next) {
        struct stat status;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (*line && !strchr(line, '/') && strcmp(line, ".") != 0 && strcmp(line, "..") != 0 &&
            strlen(line) <= NAME_MAX && fstatat(fd, line, &status, AT_SYMLINK_NOFOLLOW) == 0)
            r = visit(fd, line, context);
    }
    return r;
}

/* 1: a directory with a marker, which belongs to this user; 0: there is none any more. */
static int open_directory(int links_fd, const char *link, char ret_path[PATH_MAX], int *ret_fd,
                          char **ret_text)
{
    struct stat status;
    size_t size;
    ssize_t length = readlinkat(links_fd, link, ret_path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    ret_path[length] = '\0';
    AUTO_FD int fd = io_openat(AT_FDCWD, ret_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (ret_path[0] != '/' || fd < 0 || fstat(fd, &status) < 0 || status.st_uid != geteuid() ||
        dir_read_file(fd, marker, MARKER_LIMIT_BYTES, ret_text, &size) < 0)
        return 0;
    *ret_fd = steal_fd(&fd);
    return 1;
}

static int add_name(int fd, const char *name, void *context)
{
    struct kept_databases *kept = context;
    kept->count++;
    kept->bytes += listing_disk_bytes(fd, name);
    return 0;
}

struct visit {
    kept_databases_visitor *visit;
    void *context;
};

static int visit_one(int links_fd, const char *link, unsigned char type UNUSED, void *context)
{
    const struct visit *visit = context;
    char path[PATH_MAX];
    struct kept_databases kept = {.path = path};
    AUTO_FD int fd = -1;
    AUTO_FREE char *text = NULL;
    if (open_directory(links_fd, link, path, &fd, &text) == 0)
        return 0;
    int r = each_name(fd, text, add_name, &kept);
    return r == 0 && kept.count ? visit->visit(&kept, visit->context) : r;
}

static int remove_name(int fd, const char *name, void *context)
{
    int r = dir_remove_tree(fd, name);
    return r < 0 ? log_errno(r, "cannot remove %s/%s", (const char *)context, name) : 0;
}

static int remove_one(int links_fd, const char *link, unsigned char type UNUSED,
                      void *context UNUSED)
{
    char path[PATH_MAX];
    AUTO_FD int fd = -1;
    AUTO_FREE char *text = NULL;
    if (open_directory(links_fd, link, path, &fd, &text) == 0)
        return 0;
    int r = each_name(fd, text, remove_name, path);
    if (r == 0)
        r = io_unlinkat(fd, marker, 0);
    /* Other files in the directory stay. */
    if (r == 0 && rmdir(path) < 0 && errno != ENOTEMPTY)
        log_info("%s stays: %s", path, strerror(errno));
    return r;
}

static int each_directory(const struct store *store, dir_visitor *visit, void *context)
{
    AUTO_FD int links = io_openat(store->v1_fd, "kept", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return links < 0 ? 0 : dir_each(links, visit, context);
}

int kept_databases_each(const struct store *store, kept_databases_visitor *visit, void *context)
{
    struct visit each = {.visit = visit, .context = context};
    return each_directory(store, visit_one, &each);
}

int kept_databases_remove(const struct store *store)
{
    return each_directory(store, remove_one, NULL);
}
