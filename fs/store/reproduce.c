#include "fs/store/reproduce.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/dir.h"
#include "fs/base/glob.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/build.h"
#include "fs/store/explain.h"
#include "fs/store/lock_names.h"
#include "fs/store/names.h"
#include "fs/store/sqlite_diff.h"
#include "fs/store/sqlite_path.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"

enum { WORK_SIZE = SHA256_HEX_LENGTH + 16 };

/* ---- the spec, from the manifest ---- */

/* Escapes a path that looks like a pattern. */
static int add_input(struct strlist *inputs, const char *path)
{
    char *escaped = NULL;
    size_t size = 0;
    if (!glob_is_pattern(path))
        return strlist_add(inputs, path);
    FILE *stream = open_memstream(&escaped, &size);
    if (!stream)
        return -ENOMEM;
    for (; *path; path++)
        (void)fprintf(stream, "%s%c", strchr("*?[]\\", *path) ? "\\" : "", *path);
    if (fclose(stream) != 0) {
        free(escaped);
        return -ENOMEM;
    }
    return strlist_take(inputs, escaped);
}

static int add_variable(struct build_spec *spec, const char *variable)
{
    size_t length = strcspn(variable, "=");
    AUTO_FREE char *name = strndup(variable, length);
    if (!name)
        return -ENOMEM;
    int r = variable[length] ? setenv(name, variable + length + 1, 1) : unsetenv(name);
    return r < 0 ? -errno : strlist_add(&spec->env, name);
}

static int fill_spec(struct build_spec *spec, const struct manifest *manifest, const char *as,
                     const char *file)
{
    int r = build_spec_set_root(spec, NULL);
    for (size_t i = 0; r == 0 && i < manifest->input_count; i++)
        r = add_input(&spec->inputs, manifest->inputs[i].path);
    for (size_t i = 0; r == 0 && manifest->environment && manifest->environment[i]; i++)
        r = add_variable(spec, manifest->environment[i]);
    for (size_t i = 0; r == 0 && manifest->builder && manifest->builder[i]; i++)
        r = strlist_add(&spec->builder, manifest->builder[i]);
    if (r < 0)
        return r;
    spec->salt = manifest->salt ? strdup(manifest->salt) : NULL;
    spec->as = as ? strdup(as) : NULL;
    spec->file = file ? strdup(file) : NULL;
    return (manifest->salt && !spec->salt) || (as && !spec->as) || (file && !spec->file) ? -ENOMEM
                                                                                         : 0;
}

/*
 * The manifest does not say whether --as and --file were given: that is found by trying. 1: the
 * spec has the template's key; 0: it does not.
 */
static int try_spec(const struct manifest *manifest, bool with_as, bool with_file,
                    struct build_spec **ret_spec, struct explanation *ret_explanation)
{
    AUTO_SPEC struct build_spec *spec = build_spec_new();
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    if (!spec)
        return -ENOMEM;
    int r = fill_spec(spec, manifest, with_as ? manifest->arguments[0] : NULL,
                      with_file ? manifest->file : NULL);
    if (r == 0)
        r = key_compute(spec, &key);
    if (r < 0)
        return r;
    if (!strcmp(key.hex, manifest->key)) {
        *ret_spec = steal_pointer(&spec);
        return 1;
    }
    explanation_fini(ret_explanation);
    return explain_against(spec, &key, manifest, ret_explanation);
}

static int find_spec(const struct manifest *manifest, struct build_spec **ret_spec)
{
    AUTO_EXPLANATION struct explanation explanation = {.items = NULL};
    bool can_as = strv_length(manifest->arguments) == 1;
    int r = 0;
    for (unsigned i = can_as ? 4 : 2; r == 0 && i-- > 0;)
        r = try_spec(manifest, i & 2, !(i & 1), ret_spec, &explanation);
    if (r != 0)
        return r < 0 ? r : 0;
    AUTO_FREE char *line = explanation_line(&explanation);
    return log_fail(ESTALE,
                    "the inputs here are not those of %" PRI_KEY
                    ": %s; check out that state of the project, and change to its directory",
                    manifest->key, line ? line : "");
}

/* ---- comparison ---- */

static int add_line(struct strlist *lines, const char *path, const char *what)
{
    char *line = text_format("%s: %s", path, what);
    return line ? strlist_take(lines, line) : -ENOMEM;
}

static int find_database(const struct store *store, const char *key,
                         const struct manifest_entry *entry, struct sqlite_path *ret_path)
{
    AUTO_FREE char *templates_path = text_format("%s/v1/templates", store->path);
    AUTO_FREE char *below = text_format("%s/files/%s", key, entry->path);
    return templates_path && below
               ? sqlite_path_find(store->templates_fd, templates_path, below, ret_path)
               : -ENOMEM;
}

static int compare_entry(const struct store *cached_store, const struct store *fresh_store,
                         const char *cached_key, const char *fresh_key,
                         const struct manifest_entry *cached, const struct manifest_entry *fresh,
                         struct strlist *lines)
{
    if (cached->type != fresh->type ||
        (cached->target && strcmp(cached->target, fresh->target) != 0))
        return add_line(lines, cached->path, "has another type or target");
    if (cached->mode != fresh->mode)
        return add_line(lines, cached->path, "has another mode");
    if (cached->type != ENTRY_FILE || !memcmp(cached->digest, fresh->digest, SHA256_SIZE_BYTES))
        return 0;
    if (!cached->is_sqlite || !fresh->is_sqlite)
        return add_line(lines, cached->path, "has other content");
    AUTO_SQLITE_PATH struct sqlite_path cached_path = SQLITE_PATH_INIT;
    AUTO_SQLITE_PATH struct sqlite_path fresh_path = SQLITE_PATH_INIT;
    int r = find_database(cached_store, cached_key, cached, &cached_path);
    if (r == 0)
        r = find_database(fresh_store, fresh_key, fresh, &fresh_path);
    if (r == -ENAMETOOLONG)
        return add_line(lines, cached->path,
                        "has other content; its path is too long for SQLite to compare the rows");
    if (r < 0)
        return log_errno(r, "comparing %s", cached->path);
    return sqlite_diff(cached_path.text, fresh_path.text, cached->path, lines);
}

static int compare_templates(const struct store *cached_store, const struct template *cached,
                             const struct store *fresh_store, const struct template *fresh,
                             struct strlist *lines)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cached->manifest->entry_count; i++) {
        const struct manifest_entry *entry = &cached->manifest->entries[i];
        const struct manifest_entry *other = manifest_find(fresh->manifest, entry->path);
        r = other ? compare_entry(cached_store, fresh_store, cached->key, fresh->key, entry, other,
                                  lines)
                  : add_line(lines, entry->path, "was not created this time");
    }
    for (size_t i = 0; r == 0 && i < fresh->manifest->entry_count; i++)
        if (!manifest_find(cached->manifest, fresh->manifest->entries[i].path))
            r = add_line(lines, fresh->manifest->entries[i].path, "was created only this time");
    return r;
}

/* ---- a store of its own ---- */

static int build_cold(struct store *store, const struct template *cached, const char *work,
                      const struct build_spec *spec, struct strlist *lines)
{
    AUTO_FREE char *path = text_format("%s/v1/building/%s/store", store->path, work);
    AUTO_STORE struct store *cold = NULL;
    AUTO_TEMPLATE struct template *fresh = NULL;
    struct build_result result = {.builder_status = 0};
    if (!path)
        return -ENOMEM;
    if (setenv("MINTFS_STORE", path, 1) < 0)
        return -errno;
    int r = store_open(&cold);
    /* A message that the new store has no template would only confuse. */
    log_set_quiet(true);
    if (r == 0)
        r = build_template(cold, spec, &result);
    log_set_quiet(false);
    if (r == 0)
        r = template_open(cold, result.key, &fresh);
    if (r == 0)
        r = compare_templates(store, cached, cold, fresh, lines);
    return r;
}

int reproduce_template(struct store *store, const char *key, const struct build_spec *spec_or_null,
                       struct strlist *ret_differences)
{
    AUTO_LOCK struct lock lock = LOCK_INIT;
    AUTO_TEMPLATE struct template *cached = NULL;
    AUTO_SPEC struct build_spec *found = NULL;
    char lock_name[KEY_LOCK_NAME_SIZE];
    char work[WORK_SIZE];
    uint32_t random = 0;
    int r = template_open(store, key, &cached);
    if (r == -ENOENT)
        return log_fail(r, "template %" PRI_KEY " was evicted meanwhile", key);
    if (r == 0 && !spec_or_null)
        r = find_spec(cached->manifest, &found);
    if (r < 0)
        return r;
    const struct build_spec *spec = spec_or_null ? spec_or_null : found;
    lock_name_for_build(key, lock_name);
    r = lock_take(&lock, store->locks_fd, lock_name, LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == -EWOULDBLOCK)
        return log_fail(EBUSY, "template %" PRI_KEY " is being built, or evicted", key);
    if (r == 0 && getrandom(&random, sizeof(random), 0) < 0)
        r = -errno;
    (void)snprintf(work, sizeof(work), "%s.%08x", key, random);
    if (r == 0)
        r = io_mkdirat(store->building_fd, work, 0700);
    if (r < 0)
        return store_log_error(store->path, r, "v1/building");
    r = build_cold(store, cached, work, spec, ret_differences);
    if (dir_remove_tree(store->building_fd, work) < 0)
        log_warning("%s/v1/building/%s could not be removed; the next build removes it",
                    store->path, work);
    return r;
}
