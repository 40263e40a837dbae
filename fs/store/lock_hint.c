#include "fs/store/lock_hint.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/glob.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/rootpath.h"

enum { DIRECTORIES_MAX = 100 };

static const char *const lock_files[] = {
    /* Python */
    "poetry.lock", "uv.lock", "pdm.lock", "pylock.toml", "pylock.*.toml", "Pipfile.lock",
    "pixi.lock", "conda-lock.yml", "requirements*.txt",
    /* JavaScript */
    "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock",
    "bun.lockb", "deno.lock",
    /* PHP, Ruby, Go, Rust, Elixir, .NET, Java, Dart */
    "composer.lock", "Gemfile.lock", "gems.locked", "go.sum", "Cargo.lock", "mix.lock",
    "packages.lock.json", "gradle.lockfile", "pubspec.lock"};

static bool is_lock_file(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(lock_files); i++)
        if (glob_part_matches(lock_files[i], name))
            return true;
    return false;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool has_lock_file(const struct input_list *inputs)
{
    for (size_t i = 0; i < inputs->count; i++)
        if (is_lock_file(last_part(inputs->items[i].path)))
            return true;
    return false;
}

/* Adds the directory, relative to the root, and all between it and the root. */
static int add_directories(struct strlist *directories, const char *directory)
{
    AUTO_FREE char *path = strdup(directory);
    if (!path)
        return -ENOMEM;
    while (directories->count < DIRECTORIES_MAX && !strlist_contains(directories, path)) {
        int r = strlist_add(directories, path);
        char *slash = strrchr(path, '/');
        if (r < 0 || !slash)
            return r;
        *slash = '\0';
    }
    return 0;
}

static int collect_directories(const struct build_spec *spec, const struct key *key,
                               struct strlist *directories)
{
    AUTO_FREE char *here = realpath(spec->directory ? spec->directory : ".", NULL);
    const char *place = here ? rootpath_below(spec->root, here) : NULL;
    int r = strlist_add(directories, ".");
    if (r == 0 && place)
        r = add_directories(directories, place);
    for (size_t i = 0; r == 0 && i < key->inputs.count; i++) {
        const char *path = key->inputs.items[i].path;
        size_t length = (size_t)(last_part(path) - path);
        AUTO_FREE char *directory = length ? strndup(path, length - 1) : NULL;
        if (directory)
            r = add_directories(directories, directory);
        else if (length)
            r = -ENOMEM;
    }
    return r;
}

struct search {
    const struct build_spec *spec;
    const char *directory;
    char *found; /* relative to the root; owned */
};

static bool is_excluded(const struct build_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->excludes.count; i++)
        if (glob_part_matches(last_part(spec->excludes.items[i]), name))
            return true;
    return false;
}

static int look_at(int dirfd, const char *name, unsigned char type, void *context)
{
    struct search *search = context;
    bool at_root = !strcmp(search->directory, ".");
    if (!is_lock_file(name) || is_excluded(search->spec, name) ||
        (type == DT_UNKNOWN ? faccessat(dirfd, name, R_OK, 0) < 0 : type == DT_DIR))
        return 0;
    search->found =
        text_format("%s%s%s", at_root ? "" : search->directory, at_root ? "" : "/", name);
    return search->found ? 1 : -ENOMEM;
}

void lock_hint(const struct build_spec *spec, const struct key *key)
{
    AUTO_STRLIST struct strlist directories = STRLIST_INIT;
    if (key->inputs.count == 0 || has_lock_file(&key->inputs))
        return;
    AUTO_FD int root_fd = io_openat(AT_FDCWD, spec->root, O_RDONLY | O_DIRECTORY, 0);
    if (root_fd < 0 || collect_directories(spec, key, &directories) < 0)
        return;
    for (size_t i = 0; i < directories.count; i++) {
        struct search search = {.spec = spec, .directory = directories.items[i]};
        AUTO_FD int fd = io_openat(root_fd, search.directory, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0 || dir_each(fd, look_at, &search) != 1)
            continue;
        log_info("hint: %s is not an input: after an upgrade that brings other migrations, the "
                 "old template would be a hit; add it as an input, or exclude it (-x %s)",
                 search.found, last_part(search.found));
        free(search.found);
        return;
    }
}
