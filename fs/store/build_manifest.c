#include "fs/store/build_manifest.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/store/links.h"

int build_manifest_check_file(const struct manifest *manifest, const struct build_spec *spec,
                              enum build_file presence, const char *files_path)
{
    const char *file = build_spec_file(spec);
    const struct manifest_entry *named = manifest_find(manifest, file);
    const struct manifest_entry *entry = links_resolve(manifest, file);
    bool is_file = entry && entry->type == ENTRY_FILE;
    if (is_file && entry->size_bytes == 0)
        log_warning("builder left %s empty; it may have migrated another database: check "
                    "DATABASE_URL, or sqlalchemy.url in alembic.ini",
                    file);
    if (presence == BUILD_FILE_OPTIONAL || is_file)
        return 0;
    if (named && named->type == ENTRY_SYMLINK)
        return log_fail(ENODATA,
                        "builder left %s -> %s: a symbolic link that leads to no file; let it "
                        "write the database to {out} itself",
                        file, named->target);
    return log_fail(ENODATA,
                    "builder left other files in %s, but not %s: write to {out} or "
                    "$MINTFS_OUT, or give the file's name with --file",
                    files_path, file);
}

/* The template's database where --file does not name it: the only SQLite database, if there is
 * one. */
static const char *choose_file(const struct manifest *manifest, const struct build_spec *spec)
{
    const char *file = build_spec_file(spec);
    const struct manifest_entry *entry = links_resolve(manifest, file);
    const char *only = NULL;
    /* Copying and opening need the file itself, not a link to it. */
    if (entry && entry->type == ENTRY_FILE)
        return entry->path;
    if (manifest_find(manifest, file))
        return file;
    for (size_t i = 0; i < manifest->entry_count; i++) {
        if (!manifest->entries[i].is_sqlite)
            continue;
        if (only)
            return file;
        only = manifest->entries[i].path;
    }
    return only ? only : file;
}

static int copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

static int copy_inputs(const struct input_list *inputs, struct manifest *manifest)
{
    manifest->inputs = calloc(inputs->count + 1, sizeof(*manifest->inputs));
    if (!manifest->inputs)
        return -ENOMEM;
    for (size_t i = 0; i < inputs->count; i++) {
        manifest->inputs[i] = inputs->items[i];
        manifest->inputs[i].path = strdup(inputs->items[i].path);
        manifest->input_count = i + 1;
        if (!manifest->inputs[i].path)
            return -ENOMEM;
    }
    return 0;
}

int build_manifest_describe(const struct build_spec *spec, const struct key *key,
                            struct manifest *manifest)
{
    memcpy(manifest->key, key->hex, sizeof(manifest->key));
    manifest->builder = strv_copy(spec->builder.items);
    manifest->arguments = strv_copy(key->arguments.items);
    manifest->environment = strv_copy(key->environment.items);
    if (!manifest->builder || !manifest->arguments || !manifest->environment)
        return -ENOMEM;
    int r = copy_text(spec->name, &manifest->name);
    if (r == 0)
        r = copy_text(spec->salt, &manifest->salt);
    if (r == 0)
        r = copy_text(choose_file(manifest, spec), &manifest->file);
    return r == 0 ? copy_inputs(&key->inputs, manifest) : r;
}
