#include "fs/store/input_filter.h"

#include <limits.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/store/rootpath.h"
#include "fs/store/store_open.h"

/* What tools leave among sources while they work. 4913 is Vim's test for a writable directory. */
static const char *const omitted[] = {"__pycache__", "*.pyc", ".*.pyc", ".git", ".*.sw[a-p]",
                                      "*~",          ".*~",   ".#*",    "#*#",  "4913"};

bool input_filter_omits_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(omitted); i++)
        if (glob_part_matches(omitted[i], name))
            return true;
    return false;
}

bool input_filter_excludes(const struct input_filter *filter, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < filter->exclude_count; i++) {
        const struct glob *glob = &filter->excludes[i];
        bool by_name = !strchr(filter->spec->excludes.items[i], '/');
        if (by_name ? glob_part_matches(glob->parts[0], name) : glob_matches(glob, path))
            return true;
    }
    return false;
}

bool input_filter_excludes_above(const struct input_filter *filter, const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (input_filter_excludes(filter, part))
            return true;
    }
    return input_filter_excludes(filter, path);
}

bool input_filter_is_store(const struct input_filter *filter, const struct stat *status)
{
    return filter->has_store && status->st_dev == filter->store_device &&
           status->st_ino == filter->store_inode;
}

/* The base as part of a pattern: its wildcards are meant literally. NULL when out of memory. */
static char *escape_base(const char *base)
{
    char *escaped = malloc(2 * strlen(base) + 1);
    char *end = escaped;
    for (const char *c = base; escaped && *c; c++) {
        if (strchr("*?[\\", *c))
            *end++ = '\\';
        *end++ = *c;
    }
    if (escaped)
        *end = '\0';
    return escaped;
}

int input_filter_compile(const struct build_spec *spec, const char *pattern, struct glob *ret_glob)
{
    AUTO_FREE char *base = escape_base(spec->base);
    AUTO_FREE char *path = base ? rootpath_join(base, pattern) : NULL;
    return path ? glob_compile(path, ret_glob) : -ENOMEM;
}

static int compile_excludes(struct input_filter *filter)
{
    const struct build_spec *spec = filter->spec;
    filter->excludes = calloc(spec->excludes.count + 1, sizeof(*filter->excludes));
    if (!filter->excludes)
        return -ENOMEM;
    for (size_t i = 0; i < spec->excludes.count; i++) {
        const char *text = spec->excludes.items[i];
        bool is_anywhere = text[0] == '/' || !strchr(text, '/') || !strncmp(text, "**/", 3);
        int r = spec->base && !is_anywhere
                    ? input_filter_compile(spec, text, &filter->excludes[i])
                    : glob_compile(text[0] == '/' ? text + 1 : text, &filter->excludes[i]);
        if (r == -EINVAL)
            return log_fail(r, "--exclude %s: this pattern is not valid, or leads outside the root",
                            text);
        if (r < 0)
            return r;
        filter->exclude_count++;
    }
    return 0;
}

/* The store may be inside the project, and need not exist yet. */
static void find_store(struct input_filter *filter)
{
    AUTO_FREE char *path = NULL;
    struct stat status;
    /* store_path() would log that no variable names a store; `mintfs key` needs none. */
    if ((getenv("MINTFS_STORE") || getenv("XDG_CACHE_HOME") || getenv("HOME")) &&
        store_path(&path) == 0 && stat(path, &status) == 0) {
        filter->has_store = true;
        filter->store_device = status.st_dev;
        filter->store_inode = status.st_ino;
    }
}

int input_filter_init(struct input_filter *filter, const struct build_spec *spec)
{
    *filter = (struct input_filter){.spec = spec};
    find_store(filter);
    return compile_excludes(filter);
}

void input_filter_fini(struct input_filter *filter)
{
    for (size_t i = 0; i < filter->exclude_count; i++)
        glob_fini(&filter->excludes[i]);
    free(filter->excludes);
}
