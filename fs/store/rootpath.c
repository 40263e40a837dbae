#include "fs/store/rootpath.h"

#include <string.h>

#include "fs/base/text.h"

void rootpath_normalise(char *path)
{
    bool is_absolute = path[0] == '/';
    char *start = path + is_absolute;
    char *end = start; /* of the parts that are kept */
    size_t depth = 0;  /* kept parts that a ".." removes */
    for (const char *part = start; *part;) {
        size_t length = strcspn(part, "/");
        const char *next = part + length + (part[length] == '/');
        bool is_up = length == 2 && part[0] == '.' && part[1] == '.';
        if (is_up && depth > 0) {
            depth--;
            while (end > start && *--end != '/')
                ;
        } else if (length > 0 && !(length == 1 && part[0] == '.') && !(is_up && is_absolute)) {
            depth += !is_up;
            if (end > start)
                *end++ = '/';
            memmove(end, part, length);
            end += length;
        }
        part = next;
    }
    if (end == start && !is_absolute)
        *end++ = '.';
    *end = '\0';
}

char *rootpath_join(const char *directory, const char *path)
{
    char *joined = text_format("%s/%s", directory, path);
    if (joined)
        rootpath_normalise(joined);
    return joined;
}

const char *rootpath_below(const char *directory, const char *path)
{
    size_t length = strlen(directory);
    if (length == 1)
        return path[1] ? path + 1 : ".";
    if (strncmp(directory, path, length) != 0)
        return NULL;
    if (!path[length])
        return ".";
    return path[length] == '/' ? path + length + 1 : NULL;
}

/* The path with the part of it that exists resolved; NULL if there is none, or no memory. */
static char *resolve_existing(const char *path)
{
    AUTO_FREE char *head = strdup(path);
    while (head && head[0]) {
        AUTO_FREE char *real = realpath(head, NULL);
        if (real) {
            return text_format("%s%s", !strcmp(real, "/") ? "" : real, path + strlen(head));
        }
        char *slash = strrchr(head, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    return NULL;
}

int rootpath_relative(const struct build_spec *spec, const char *path, char **ret_path)
{
    AUTO_FREE char *normal = strdup(path);
    if (!normal)
        return -ENOMEM;
    rootpath_normalise(normal);
    const char *below = rootpath_below(spec->root, normal);
    if (!below)
        below = rootpath_below(spec->root_as_typed, normal);
    AUTO_FREE char *resolved = below ? NULL : resolve_existing(normal);
    if (!below && resolved)
        below = rootpath_below(spec->root, resolved);
    *ret_path = NULL;
    if (!below)
        return 0;
    *ret_path = strdup(below);
    return *ret_path ? 0 : -ENOMEM;
}
