#include "fs/store/input_find.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/glob.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/rootpath.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"

/* Each level holds two descriptors. */
enum { DEPTH_MAX = 200 };

/* What tools leave among sources while they work. 4913 is Vim's test for a writable directory. */
static const char *const left_out[] = {"__pycache__", "*.pyc", ".*.pyc", ".git", ".*.sw[a-p]",
                                       "*~",          ".*~",   ".#*",    "#*#",  "4913"};

/* A directory yet to be walked; links add to the list, each place and state once. */
struct errand {
    char *path; /* relative, without symbolic links */
    glob_state state;
};

struct walk {
    const struct build_spec *spec;
    int root_fd;
    const char *input;       /* the one at hand, for messages */
    const struct glob *glob; /* NULL: everything below counts */
    struct glob *excludes;
    size_t exclude_count;
    bool has_store;
    dev_t store_device;
    ino_t store_inode;
    struct errand *errands;
    size_t errand_count;
    struct found_inputs found;
    size_t matched; /* files that the input at hand has found */
};

/* One directory on the way down. */
struct level {
    struct walk *walk;
    const char *path; /* relative; "." for the root */
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

static void walk_fini(struct walk *walk)
{
    for (size_t i = 0; i < walk->exclude_count; i++)
        glob_fini(&walk->excludes[i]);
    for (size_t i = 0; i < walk->errand_count; i++)
        free(walk->errands[i].path);
    free(walk->excludes);
    free(walk->errands);
    found_inputs_fini(&walk->found);
}

static int add_found(struct walk *walk, const char *path, const char *real, bool is_linked_tree)
{
    struct found_inputs *found = &walk->found;
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        struct found_input *items = reallocarray(found->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        found->items = items;
        found->capacity = capacity;
    }
    struct found_input item = {.path = strdup(path), .is_linked_tree = is_linked_tree};
    if (real && strcmp(real, path) != 0)
        item.real = strdup(real);
    found->items[found->count++] = item;
    walk->matched += !is_linked_tree;
    return item.path && (item.real || !real || !strcmp(real, path)) ? 0 : -ENOMEM;
}

static bool is_left_out(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(left_out); i++)
        if (glob_part_matches(left_out[i], name))
            return true;
    return false;
}

static bool is_excluded(const struct walk *walk, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < walk->exclude_count; i++) {
        const struct glob *glob = &walk->excludes[i];
        bool by_name = !strchr(walk->spec->excludes.items[i], '/');
        if (by_name ? glob_part_matches(glob->parts[0], name) : glob_matches(glob, path))
            return true;
    }
    return false;
}

/* Whether the path or a directory above it is excluded. */
static bool is_excluded_anywhere(const struct walk *walk, const char *path)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (is_excluded(walk, part))
            return true;
    }
    return is_excluded(walk, path);
}

/* Where a path below the root really lies, relative to it. Errors are said. */
static int resolve(const struct walk *walk, const char *path, char **ret_real)
{
    AUTO_FREE char *whole = NULL;
    if (asprintf(&whole, "%s/%s", walk->spec->root, path) < 0) {
        whole = NULL;
        return -ENOMEM;
    }
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

static int add_errand(struct walk *walk, const char *path, glob_state state)
{
    for (size_t i = 0; i < walk->errand_count; i++)
        if (walk->errands[i].state == state && !strcmp(walk->errands[i].path, path))
            return 0;
    struct errand *errands =
        reallocarray(walk->errands, walk->errand_count + 1, sizeof(*walk->errands));
    if (!errands)
        return -ENOMEM;
    walk->errands = errands;
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    walk->errands[walk->errand_count++] = (struct errand){.path = copy, .state = state};
    return 0;
}

static int log_odd_type(const char *path, mode_t mode)
{
    const char *what = S_ISSOCK(mode) ? "a socket" : S_ISFIFO(mode) ? "a named pipe" : "a device";
    return log_fail(EINVAL, "input %s: %s; an input is a file or a directory", path, what);
}

/*
 * A file or directory that is there under just this text, or that a symbolic link of this text leads
 * to: `state` goes on below a directory.
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
    return r < 0 ? r : add_errand(walk, real, state);
}

/* A link on the way of a pattern: one that leads out, or nowhere, is not among the inputs. */
static int follow_link(struct walk *walk, const char *path, glob_state state)
{
    AUTO_FREE char *whole = NULL;
    if (asprintf(&whole, "%s/%s", walk->spec->root, path) < 0) {
        whole = NULL;
        return -ENOMEM;
    }
    AUTO_FREE char *real = realpath(whole, NULL);
    const char *below = real ? rootpath_below(walk->spec->root, real) : NULL;
    struct stat status;
    if (!below || stat(real, &status) < 0 || !S_ISDIR(status.st_mode))
        return 0;
    int r = add_found(walk, path, below, true);
    return r < 0 ? r : add_errand(walk, below, state);
}

static int walk_directory(struct walk *walk, int dirfd, const char *name, const char *path,
                          glob_state state, unsigned depth);

/* An entry that counts, with all below it. */
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
    if (is_left_out(name))
        return 0;
    glob_state state = level->state ? glob_step(walk->glob, level->state, name) : 0;
    if (level->state && !state)
        return 0;
    AUTO_FREE char *path = NULL;
    bool at_root = !strcmp(level->path, ".");
    if (asprintf(&path, "%s%s%s", at_root ? "" : level->path, at_root ? "" : "/", name) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    if (strlen(path) >= PATH_MAX)
        return log_errno(ENAMETOOLONG, "input %s", path);
    if (is_excluded(walk, path))
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
    /* A pattern passes by what it may not look into, as a shell's does; an input must be read. */
    if (fd == -EACCES && state)
        return 0;
    if (fd < 0)
        return log_errno(fd, "input %s", path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return log_errno(errno, "input %s", path);
    if (walk->has_store && status.st_dev == walk->store_device &&
        status.st_ino == walk->store_inode)
        return 0;
    struct level level = {.walk = walk, .path = path, .state = state, .depth = depth};
    int r = dir_each(fd, visit_entry, &level);
    return r;
}

static int run_errands(struct walk *walk)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < walk->errand_count; i++) {
        AUTO_FREE char *path = strdup(walk->errands[i].path);
        r = path ? walk_directory(walk, walk->root_fd, path, path, walk->errands[i].state, 0)
                 : -ENOMEM;
    }
    for (size_t i = 0; i < walk->errand_count; i++)
        free(walk->errands[i].path);
    walk->errand_count = 0;
    return r;
}

/*
 * Starts a pattern in the directory that its literal beginning names: one for migrations
 * must not read the whole project.
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
        return add_errand(walk, ".", state);
    struct stat status;
    if (fstatat(walk->root_fd, path, &status, 0) < 0 || !S_ISDIR(status.st_mode) ||
        is_excluded_anywhere(walk, path))
        return 0;
    AUTO_FREE char *real = NULL;
    int r = resolve(walk, path, &real);
    if (r < 0 || !real)
        return r;
    if (strcmp(real, path) != 0)
        r = add_found(walk, path, real, true);
    return r < 0 ? r : add_errand(walk, real, state);
}

/* Puts the base in front of a relative path. */
static int join_base(const char *base, const char *path, char **ret_path)
{
    char *joined = base ? NULL : strdup(path);
    if (base && asprintf(&joined, "%s/%s", base, path) < 0)
        joined = NULL;
    if (!joined)
        return -ENOMEM;
    rootpath_normalise(joined);
    *ret_path = joined;
    return 0;
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

/* Compiles a pattern that is relative to the base. -EINVAL: it makes no sense. */
static int compile_below_base(const struct walk *walk, const char *pattern, struct glob *ret_glob)
{
    AUTO_FREE char *base = escape_base(walk->spec->base);
    AUTO_FREE char *path = NULL;
    int r = base ? join_base(base, pattern, &path) : -ENOMEM;
    return r < 0 ? r : glob_compile(path, ret_glob);
}

static bool leads_up(const char *path)
{
    return !strcmp(path, "..") || !strncmp(path, "../", 3);
}

/* What was typed as a path relative to the root. Errors are said. */
static int make_relative(const struct walk *walk, char **ret_path)
{
    const char *input = walk->input;
    AUTO_FREE char *path = NULL;
    if (!input[0])
        return log_fail(EINVAL, "an input is empty");
    int r = input[0] == '/' ? rootpath_relative(walk->spec, input, &path)
                            : join_base(walk->spec->base, input, &path);
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

/* Names the directory that the input was looked for in: with a mintfs.conf below the root, its own. */
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
    bool is_there = fstatat(walk->root_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!is_there && errno != ENOENT && errno != ENOTDIR)
        return log_errno(errno, "input %s", walk->input);
    CLEANUP(glob_fini) struct glob glob = {.text = NULL};
    if (is_there) {
        r = is_excluded_anywhere(walk, path) ? 0 : take(walk, path, 0);
    } else if (glob_is_pattern(below_base ? walk->input : path)) {
        r = below_base ? compile_below_base(walk, walk->input, &glob) : glob_compile(path, &glob);
        if (r == -EINVAL)
            return log_fail(r, "input %s: this pattern makes no sense", walk->input);
        if (r == 0)
            r = start_pattern(walk, &glob);
    } else {
        return log_missing(walk, ": no such file or directory");
    }
    if (r == 0)
        r = run_errands(walk);
    walk->glob = NULL;
    if (r < 0)
        return r;
    if (walk->matched == 0)
        return log_missing(walk, " matches no file");
    return 0;
}

static int compile_excludes(struct walk *walk)
{
    const struct strlist *excludes = &walk->spec->excludes;
    walk->excludes = calloc(excludes->count + 1, sizeof(*walk->excludes));
    if (!walk->excludes)
        return -ENOMEM;
    for (size_t i = 0; i < excludes->count; i++) {
        const char *text = excludes->items[i];
        bool is_anywhere = text[0] == '/' || !strchr(text, '/') || !strncmp(text, "**/", 3);
        int r = walk->spec->base && !is_anywhere
                    ? compile_below_base(walk, text, &walk->excludes[i])
                    : glob_compile(text[0] == '/' ? text + 1 : text, &walk->excludes[i]);
        if (r == -EINVAL)
            return log_fail(
                r, "--exclude %s: this pattern makes no sense, or leads outside the root", text);
        if (r < 0)
            return r;
        walk->exclude_count++;
    }
    return 0;
}

/* The store may lie inside the project; it need not be there yet. */
static int find_store(struct walk *walk)
{
    AUTO_FREE char *path = NULL;
    struct stat status;
    /* No place for a store is no error of `key`, which needs none. */
    if ((getenv("MINTFS_STORE") || getenv("XDG_CACHE_HOME") || getenv("HOME")) &&
        store_path(&path) == 0 && stat(path, &status) == 0) {
        walk->has_store = true;
        walk->store_device = status.st_dev;
        walk->store_inode = status.st_ino;
    }
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
    int r = find_store(&walk);
    if (r == 0)
        r = compile_excludes(&walk);
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
