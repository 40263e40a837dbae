#include "fs/base/process_search.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/text.h"

bool path_is_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return !strncmp(path, directory, length) && (path[length] == '/' || path[length] == '\0');
}

bool process_link_leads_in(int dirfd, const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    return path_is_in(target, path);
}

static int visit_fd(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    return process_link_leads_in(dirfd, name, context);
}

bool process_has_open(int procfd, const char *path)
{
    AUTO_FD int fds = io_openat(procfd, "fd", O_RDONLY | O_DIRECTORY, 0);
    return fds >= 0 && dir_each(fds, visit_fd, (void *)(uintptr_t)path) == 1;
}

/* A short file of /proc as text, truncated to what fits. */
static size_t read_text(int procfd, const char *name, char *ret_text, size_t size)
{
    AUTO_FD int fd = io_openat(procfd, name, O_RDONLY, 0);
    ssize_t n = fd < 0 ? -1 : io_pread(fd, ret_text, size - 1, 0);
    size_t length = n < 0 ? 0 : (size_t)n;
    ret_text[length] = '\0';
    return length;
}

static void read_name(int procfd, char *ret_name, size_t size)
{
    char command[32];
    char arguments[64];
    (void)read_text(procfd, "comm", command, sizeof(command));
    command[strcspn(command, "\n")] = '\0';
    const char *second = "";
    if (!strcmp(command, "mintfs")) {
        size_t length = read_text(procfd, "cmdline", arguments, sizeof(arguments));
        size_t first = strlen(arguments) + 1;
        second = first < length ? arguments + first : "";
    }
    (void)snprintf(ret_name, size, "%s%s%s", command[0] ? command : "?", *second ? " " : "",
                   second);
}

struct listing {
    process_test *test;
    void *context;
    char *text;
    unsigned count;
};

static int visit_process(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct listing *listing = context;
    if (!isdigit((unsigned char)name[0]))
        return 0;
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || !listing->test(fd, atoi(name), listing->context))
        return 0;
    if (listing->count++ >= PROCESSES_NAMED_MAX)
        return 0;
    char shown[100];
    read_name(fd, shown, sizeof(shown));
    char *longer = text_format("%s%s%s (%s)", listing->text ? listing->text : "",
                               listing->text ? ", " : "", shown, name);
    if (!longer)
        return -ENOMEM;
    free(listing->text);
    listing->text = longer;
    return 0;
}

char *processes_list(process_test *test, void *context)
{
    struct listing listing = {.test = test, .context = context};
    AUTO_FD int fd = io_openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0 || dir_each(fd, visit_process, &listing) < 0) {
        free(listing.text);
        return NULL;
    }
    if (listing.count <= PROCESSES_NAMED_MAX)
        return listing.text;
    char *longer = text_format("%s and %u more", listing.text, listing.count - PROCESSES_NAMED_MAX);
    free(listing.text);
    return longer;
}
