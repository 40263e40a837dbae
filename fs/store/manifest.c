#include "fs/store/manifest.h"

#include <limits.h>
#include <string.h>

#include "fs/base/strlist.h"

/* ---- paths ---- */

bool manifest_path_is_valid(const char *path)
{
    size_t length = strlen(path);
    if (length == 0 || length >= PATH_MAX)
        return false;
    for (const char *part = path;;) {
        size_t size = strcspn(part, "/");
        if (size == 0 || size > NAME_MAX || (size == 1 && part[0] == '.') ||
            (size == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (!part[size])
            return true;
        part += size + 1;
    }
}

bool manifest_link_is_inside(const char *path, const char *target)
{
    if (target[0] == '/' || !target[0] || strlen(target) >= PATH_MAX)
        return false;
    long depth = 0;
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/'))
        depth++;
    for (const char *part = target; *part;) {
        size_t size = strcspn(part, "/");
        if (size == 2 && part[0] == '.' && part[1] == '.')
            depth--;
        else if (size > 0 && !(size == 1 && part[0] == '.'))
            depth++;
        if (depth < 0)
            return false;
        part += size;
        part += strspn(part, "/");
    }
    return true;
}

/* ---- the object ---- */

static int compare_path(const void *path, const void *entry)
{
    return strcmp(path, ((const struct manifest_entry *)entry)->path);
}

const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path)
{
    if (manifest->entry_count == 0)
        return NULL;
    return bsearch(path, manifest->entries, manifest->entry_count, sizeof(*manifest->entries),
                   compare_path);
}

uint64_t manifest_size_bytes(const struct manifest *manifest)
{
    uint64_t size = 0;
    for (size_t i = 0; i < manifest->entry_count; i++)
        size += manifest->entries[i].size_bytes;
    return size;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    for (size_t i = 0; i < manifest->entry_count; i++) {
        free(manifest->entries[i].path);
        free(manifest->entries[i].target);
    }
    for (size_t i = 0; i < manifest->input_count; i++)
        free(manifest->inputs[i].path);
    free(manifest->entries);
    free(manifest->inputs);
    free(manifest->name);
    free(manifest->file);
    free(manifest->salt);
    strv_free(manifest->builder);
    strv_free(manifest->arguments);
    strv_free(manifest->environment);
    strv_free(manifest->warnings);
    free(manifest);
}

void manifest_freep(struct manifest **manifest)
{
    manifest_free(*manifest);
}
