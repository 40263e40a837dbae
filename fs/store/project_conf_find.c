#include "fs/store/project_conf_find.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/here.h"
#include "fs/base/home.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/units.h"
#include "fs/store/settings.h"

enum { CONF_LIMIT_BYTES = 1 << 20 };

void project_conf_found_fini(struct project_conf_found *found)
{
    free(found->directory);
    free(found->shown);
    free(found->text);
}

/* ---- the file's owner ---- */

/* Whether a list of directories, separated by colons, has this one or one above it. */
static bool lists(const char *directories, const char *directory)
{
    while (*directories) {
        size_t length = strcspn(directories, ":");
        AUTO_FREE char *one = strndup(directories, length);
        AUTO_FREE char *real = one && *one ? realpath(one, NULL) : NULL;
        size_t real_length = real ? strlen(real) : 0;
        if (real_length == 1 || (real && !strncmp(real, directory, real_length) &&
                                 (!directory[real_length] || directory[real_length] == '/')))
            return true;
        directories += length + (directories[length] == ':');
    }
    return false;
}

static bool is_own(uid_t owner)
{
    uint64_t caller;
    const char *sudo = getenv("SUDO_UID");
    if (owner == geteuid() || owner == 0)
        return true;
    return geteuid() == 0 && sudo && units_parse_number(sudo, &caller) == 0 && caller == owner;
}

static int check_owner(const char *path, const char *directory, uid_t owner)
{
    struct setting_value trusted = {.text = NULL};
    if (is_own(owner))
        return 0;
    int r = settings_get(SETTING_TRUST, &trusted);
    if (r < 0 || (trusted.text && lists(trusted.text, directory)))
        return r;
    return log_fail(
        EPERM,
        "%s belongs to user %u, not to you (%u), and is not used; if you trust the files "
        "in %s, type: export MINTFS_TRUST='%s'",
        path, owner, geteuid(), directory, directory);
}

/* ---- reading ---- */

/* 1: read; 0: there is no such file, or it is the user's settings. */
static int read_one(const char *directory, const char *shown, char **ret_text)
{
    struct stat status;
    size_t size = 0;
    AUTO_FREE char *path =
        text_format("%s/" CONF_FILE, strcmp(directory, "/") != 0 ? directory : "");
    if (!path)
        return log_errno(ENOMEM, "%s", shown);
    if (lstat(path, &status) < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? 0
                   : log_errno(errno, "%s", path);
    if (settings_path() && here_is_same(path, settings_path()))
        return 0;
    int r = check_owner(path, directory, status.st_uid);
    if (r < 0)
        return r;
    /* A symbolic link is fine: the owner of its target is checked as well. */
    AUTO_FREE char *real = realpath(path, NULL);
    if (!real && errno == ENOENT)
        return log_fail(ENOENT, "%s: a symbolic link that leads nowhere", shown);
    if (!real)
        return log_errno(errno, "%s", shown);
    AUTO_FD int fd = io_openat(AT_FDCWD, real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0)
        return log_errno(fd, "%s", shown);
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "%s", shown);
    if (!S_ISREG(status.st_mode))
        return log_fail(EINVAL, "%s: not a regular file", shown);
    r = check_owner(real, directory, status.st_uid);
    if (r < 0)
        return r;
    AUTO_FREE char *text = NULL;
    r = dir_read_fd(fd, CONF_LIMIT_BYTES, &text, &size);
    if (r < 0)
        return log_errno(r, "%s", shown);
    if (strlen(text) != size)
        return log_fail(EINVAL, "%s: not a text file", shown);
    *ret_text = steal_pointer(&text);
    return 1;
}

/* ---- the search ---- */

/* Whether the search ends here: files above belong to other projects or users. */
static bool is_end(const char *directory, const char *home)
{
    static const char *const marks[] = {".git", ".hg", ".jj", ".svn", ".bzr", "_darcs"};
    if (!strcmp(directory, "/") || (home && here_is_same(directory, home)))
        return true;
    for (size_t i = 0; i < ARRAY_LENGTH(marks); i++) {
        AUTO_FREE char *mark = text_format("%s/%s", directory, marks[i]);
        if (!mark || access(mark, F_OK) == 0)
            return true;
    }
    return false;
}

/* Whether any user may create a file there, as in /tmp. */
static bool is_public(const char *directory)
{
    struct stat status;
    return stat(directory, &status) == 0 && (status.st_mode & S_ISVTX) &&
           (status.st_mode & S_IWOTH);
}

/* Removes the last part of an absolute path. */
static void go_up(char *path)
{
    char *slash = strrchr(path, '/');
    slash[slash == path] = '\0';
}

/* The directory `levels` above the current one: as the shell would show it, if that is the same. */
static char *show_above(const char *real, unsigned levels)
{
    AUTO_FREE char *shown = here_path();
    for (unsigned i = 0; shown && i < levels; i++)
        go_up(shown);
    return shown && here_is_same(shown, real) ? steal_pointer(&shown) : strdup(real);
}

static char *show_conf(unsigned levels)
{
    static const char up[] = "../";
    char *shown = malloc(levels * strlen(up) + sizeof(CONF_FILE));
    if (!shown)
        return NULL;
    char *end = shown;
    for (unsigned i = 0; i < levels; i++)
        end = stpcpy(end, up);
    (void)stpcpy(end, CONF_FILE);
    return shown;
}

static void steal_found(struct project_conf_found *found, struct project_conf_found *ret_found)
{
    *ret_found = *found;
    *found = (struct project_conf_found){.directory = NULL};
}

int project_conf_find(struct project_conf_found *ret_found)
{
    AUTO_FREE char *directory = getcwd(NULL, 0);
    AUTO_FREE char *home = home_directory();
    /* A current directory that was removed has no file in it. */
    if (!directory || directory[0] != '/')
        return 0;
    for (unsigned levels = 0; levels == 0 || !is_public(directory); levels++, go_up(directory)) {
        AUTO_CONF_FOUND struct project_conf_found found = {.shown = show_conf(levels)};
        if (!found.shown)
            return log_errno(ENOMEM, CONF_FILE);
        int r = read_one(directory, found.shown, &found.text);
        if (r < 0)
            return r;
        if (r == 0 && is_end(directory, home))
            return 0;
        if (r == 0)
            continue;
        if (levels && !(found.directory = show_above(directory, levels)))
            return log_errno(ENOMEM, CONF_FILE);
        steal_found(&found, ret_found);
        return 1;
    }
    return 0;
}
