#include "fs/store/input_find.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/glob.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/input_filter.h"
#include "fs/store/rootpath.h"

/* Each level holds two descriptors. */
enum { DEPTH_MAX = 200 };

/* A directory that is still to be walked; links add more, each directory and state once. */
struct pending {
    char *path; /* relative to the root, without symbolic links */
    glob_state state;
};

struct walk {
    const struct build_spec *spec;
    int root_fd;
    const char *input;       /* the current one, as typed */
    const struct glob *glob; /* NULL: everything below counts */
    struct input_filter filter;
    VECTOR(struct pending) pending;
    struct found_inputs found;
    size_t matched; /* files that the current input has found */
};

/* One directory on the way down. */
struct level {
    struct walk *walk;
    const char *path; /* relative to the root; "." for the root itself */
    glob_state state; /* 0: everything below counts */
    unsigned depth;
};

void found_inputs_fini(struct found_inputs *found)
{
    for (size_t i = 0; i < found->count; i++) {
        free(found->items[i].path);
        free(found->items[i].real);
    }
    free(found->items);
    *found = (struct found_inputs){.items = NULL};
}

static void drop_pending(struct walk *walk)
{
    for (size_t i = 0; i < walk->pending.count; i++)
        free(walk->pending.items[i].path);
    vector_fini(&walk->pending);
}

static void walk_fini(struct walk *walk)
{
    input_filter_fini(&walk->filter);
    drop_pending(walk);
    found_inputs_fini(&walk->found);
}

static int add_found(struct walk *walk, const char *path, const char *real, bool is_linked_tree)
{
    bool is_elsewhere = real && strcmp(real, path) != 0;
    struct found_input item = {.path = strdup(path),
                               .real = is_elsewhere ? strdup(real) : NULL,
                               .is_linked_tree = is_linked_tree};
    if (!item.path || (is_elsewhere && !item.real) || vector_push(&walk->found, item) < 0) {
        free(item.path);
        free(item.real);
        return -ENOMEM;
    }
    walk->matched += !is_linked_tree;
    return 0;
}

/* A path below the root without symbolic links, relative to the root. Errors are logged. */
static int resolve(const struct walk *walk, const char *path, char **ret_real)
{
    AUTO_FREE char *whole = text_format("%s/%s", walk->spec->root, path);
    if (!whole)
        return -ENOMEM;
    AUTO_FREE char *real = realpath(whole, NULL);
    if (!real && errno == ENOENT)
        return log_fail(ENOENT, "input %s: a symbolic link that leads nowhere", path);
    if (!real)
        return log_errno(errno, "input %s", path);
    const char *below = rootpath_below(walk->spec->root, real);
    if (!below)
        return log_fail(EXDEV, "input %s: leads outside the root %s, to %s", path, walk->spec->root,
                        real);
    *ret_real = strdup(below);
    return *ret_real ? 0 : -ENOMEM;
}

static int add_pending(struct walk *walk, const char *path, glob_state state)
{
    for (size_t i = 0; i < walk->pending.count; i++)
        if (walk->pending.items[i].state == state && !strcmp(walk->pending.items[i].path, path))
            return 0;
    struct pending pending = {.path = strdup(path), .state = state};
    if (!pending.path || vector_push(&walk->pending, pending) < 0) {
        free(pending.path);
        return -ENOMEM;
    }
    return 0;
}

static int log_odd_type(const char *path, mode_t mode)
{
    const char *what = S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a named pipe" : "a device";
    return log_fail(EINVAL, "input %s: %s; an input is a file or a directory", path, what);
}

/*
 * Takes the file or directory at this path, or the one that a symbolic link there leads to. Below a
 * directory the pattern continues from `state`.
 */
static int take(struct walk *walk, const char *path, glob_state state)
{
    AUTO_FREE char *real = NULL;
    int r = resolve(walk, path, &real);
    if (r < 0 || !real)
        return r;
    struct stat status;
    if (fstatat(walk->root_fd, real, &status, 0) < 0)
        return log_errno(errno, "input %s", path);
    if (S_ISREG(status.st_mode))
        return add_found(walk, path, real, false);
    if (!S_ISDIR(status.st_mode))
        return log_odd_type(path, status.st_mode);
    if (strcmp(real, path) != 0)
        r = add_found(walk, path, real, true);
    return r < 0 ? r : add_pending(walk, real, state);
}

/* Follows a link that a pattern passes; one that leads out of the root, or nowhere, is ignored. */
static int follow_link(struct walk *walk, const char *path, glob_state state)
{
    AUTO_FREE char *whole = text_format("%s/%s", walk->spec->root, path);
    if (!whole)
        return -ENOMEM;
    AUTO_FREE char *real = realpath(whole, NULL);
    const char *below = real ? rootpath_below(walk->spec->root, real) : NULL;
    struct stat status;
    if (!below || stat(real, &status) < 0 || !S_ISDIR(status.st_mode))
        return 0;
    int r = add_found(walk, path, below, true);
    return r < 0 ? r : add_pending(walk, below, state);
}

static int walk_directory(struct walk *walk, int dirfd, const char *name, const char *path,
                          glob_state state, unsigned depth);

/* Takes an entry and everything below it. */
static int take_entry(struct level *level, int dirfd, const char *name, const char *path,
                      mode_t mode)
{
    if (S_ISREG(mode))
        return add_found(level->walk, path, NULL, false);
    if (S_ISDIR(mode))
        return walk_directory(level->walk, dirfd, name, path, 0, level->depth + 1);
    if (S_ISLNK(mode))
        return take(level->walk, path, 0);
    return log_odd_type(path, mode);
}

static int visit_entry(int dirfd, const char *name, unsigned char type, void *context)
{
    struct level *level = context;
    struct walk *walk = level->walk;
    if (input_filter_omits_name(name))
        return 0;
    glob_state state = level->state ? glob_step(walk->glob, level->state, name) : 0;
    if (level->state && !state)
        return 0;
    bool at_root = !strcmp(level->path, ".");
    AUTO_FREE char *path =
        text_format("%s%s%s", at_root ? "" : level->path, at_root ? "" : "/", name);
    if (!path)
        return -ENOMEM;
    if (strlen(path) >= PATH_MAX)
        return log_errno(ENAMETOOLONG, "input %s", path);
    if (input_filter_excludes(&walk->filter, path))
        return 0;
    struct stat status = {.st_mode = DTTOIF(type)};
    if (type == DT_UNKNOWN && fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return log_errno(errno, "input %s", path);
    if (!level->state || glob_is_match(walk->glob, state))
        return take_entry(level, dirfd, name, path, status.st_mode);
    if (S_ISDIR(status.st_mode))
        return walk_directory(walk, dirfd, name, path, state, level->depth + 1);
    return S_ISLNK(status.st_mode) ? follow_link(walk, path, state) : 0;
}

/* Walks the directory NAME of dirfd, whose path below the root is `path`. */
static int walk_directory(struct walk *walk, int dirfd, const char *name, const char *path,
                          glob_state state, unsigned depth)
{
    if (depth > DEPTH_MAX)
        return log_fail(ELOOP, "input %s: directories are nested deeper than %d", path, DEPTH_MAX);
    AUTO_FD int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOENT)
        return log_fail(ENOENT, "input %s: vanished while it was read", path);
    /* A pattern skips a directory that it may not read, as in a shell; an input must be read. */
    if (fd == -EACCES && state)
        return 0;
    if (fd < 0)
        return log_errno(fd, "input %s", path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "input %s", path);
    if (input_filter_is_store(&walk->filter, &status))
        return 0;
    struct level level = {.walk = walk, .path = path, .state = state, .depth = depth};
    return dir_each(fd, visit_entry, &level);
}

static int walk_pending(struct walk *walk)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < walk->pending.count; i++) {
        /* The walk may move the array. */
        const struct pending pending = walk->pending.items[i];
        r = walk_directory(walk, walk->root_fd, pending.path, pending.path, pending.state, 0);
    }
    drop_pending(walk);
    return r;
}

/*
 * Starts a pattern in the directory that its literal beginning names, so that a pattern below
 * migrations/ does not read the whole project.
 */
static int start_pattern(struct walk *walk, const struct glob *glob)
{
    char path[PATH_MAX] = "";
    glob_state state = glob_start(glob);
    size_t part = 0;
    size_t length = 0;
    for (; part + 1 < glob->count && !glob_is_pattern(glob->parts[part]); part++) {
        length += (size_t)snprintf(path + length, sizeof(path) - length, "%s%s", part ? "/" : "",
                                   glob->parts[part]);
        state = glob_step(glob, state, glob->parts[part]);
    }
    walk->glob = glob;
    if (part == 0)
        return add_pending(walk, ".", state);
    struct stat status;
    if (fstatat(walk->root_fd, path, &status, 0) < 0 || !S_ISDIR(status.st_mode) ||
        input_filter_excludes_above(&walk->filter, path))
        return 0;
    AUTO_FREE char *real = NULL;
    int r = resolve(walk, path, &real);
    if (r < 0 || !real)
        return r;
    if (strcmp(real, path) != 0)
        r = add_found(walk, path, real, true);
    return r < 0 ? r : add_pending(walk, real, state);
}

static bool leads_up(const char *path)
{
    return !strcmp(path, "..") || !strncmp(path, "../", 3);
}

/* The current input as a path relative to the root. Errors are logged. */
static int make_relative(const struct walk *walk, char **ret_path)
{
    const char *input = walk->input;
    const char *base = walk->spec->base;
    AUTO_FREE char *path = NULL;
    if (!input[0])
        return log_fail(EINVAL, "an input is empty");
    int r = 0;
    if (input[0] == '/')
        r = rootpath_relative(walk->spec, input, &path);
    else if (!(path = rootpath_join(base ? base : ".", input)))
        r = -ENOMEM;
    if (r < 0)
        return r;
    if (!path || leads_up(path))
        return log_fail(
            EXDEV,
            "input %s is outside the root %s; --root DIR, or root = DIR in mintfs.conf, "
            "names a directory above both",
            input, walk->spec->root);
    if (strlen(path) >= PATH_MAX)
        return log_errno(ENAMETOOLONG, "input %s", input);
    *ret_path = steal_pointer(&path);
    return 0;
}

/* Names the directory in which the input was searched: that of a mintfs.conf below the root. */
static int log_missing(const struct walk *walk, const char *what)
{
    const char *base = walk->input[0] == '/' ? NULL : walk->spec->base;
    return log_fail(ENOENT, "input %s%s in %s%s%s", walk->input, what, walk->spec->root,
                    base ? "/" : "", base ? base : "");
}

static int take_input(struct walk *walk)
{
    AUTO_FREE char *path = NULL;
    int r = make_relative(walk, &path);
    if (r < 0 || !path)
        return r;
    struct stat status;
    walk->matched = 0;
    bool below_base = walk->spec->base && walk->input[0] != '/';
    bool exists = fstatat(walk->root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!exists && errno != ENOENT && errno != ENOTDIR)
        return log_errno(errno, "input %s", walk->input);
    CLEANUP(glob_fini) struct glob glob = {.text = NULL};
    if (exists) {
        r = input_filter_excludes_above(&walk->filter, path) ? 0 : take(walk, path, 0);
    } else if (glob_is_pattern(below_base ? walk->input : path)) {
        r = below_base ? input_filter_compile(walk->spec, walk->input, &glob)
                       : glob_compile(path, &glob);
        if (r == -EINVAL)
            return log_fail(r, "input %s: this pattern is not valid", walk->input);
        if (r == 0)
            r = start_pattern(walk, &glob);
    } else {
        return log_missing(walk, ": no such file or directory");
    }
    if (r == 0)
        r = walk_pending(walk);
    walk->glob = NULL;
    if (r < 0)
        return r;
    if (walk->matched == 0)
        return log_missing(walk, " matches no file");
    return 0;
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found_input *)a)->path, ((const struct found_input *)b)->path);
}

static void sort_and_unify(struct found_inputs *found)
{
    if (found->count < 2)
        return;
    qsort(found->items, found->count, sizeof(*found->items), compare_found);
    size_t kept = 1;
    for (size_t i = 1; i < found->count; i++) {
        if (strcmp(found->items[kept - 1].path, found->items[i].path) != 0) {
            found->items[kept++] = found->items[i];
        } else {
            free(found->items[i].path);
            free(found->items[i].real);
        }
    }
    found->count = kept;
}

int input_find(const struct build_spec *spec, int root_fd, struct found_inputs *ret_found)
{
    CLEANUP(walk_fini) struct walk walk = {.spec = spec, .root_fd = root_fd};
    int r = input_filter_init(&walk.filter, spec);
    for (size_t i = 0; r == 0 && i < spec->inputs.count; i++) {
        walk.input = spec->inputs.items[i];
        r = take_input(&walk);
    }
    if (r == -ENOMEM)
        return log_errno(r, "inputs");
    if (r < 0)
        return r;
    sort_and_unify(&walk.found);
    *ret_found = walk.found;
    walk.found = (struct found_inputs){.items = NULL};
    return 0;
}
