#include "fs/store/build_spec.h"

#include <string.h>
#include <sys/stat.h>

#include "fs/base/here.h"
#include "fs/base/log.h"
#include "fs/store/manifest.h"
#include "fs/store/names.h"
#include "fs/store/template.h"

struct build_spec *build_spec_new(void)
{
    return calloc(1, sizeof(struct build_spec));
}

void build_spec_free(struct build_spec *spec)
{
    if (!spec)
        return;
    strlist_fini(&spec->inputs);
    strlist_fini(&spec->excludes);
    strlist_fini(&spec->env);
    strlist_fini(&spec->builder);
    free(spec->root);
    free(spec->root_as_typed);
    free(spec->base);
    free(spec->directory);
    free(spec->salt);
    free(spec->file);
    free(spec->as);
    free(spec->name);
    free(spec);
}

void build_spec_freep(struct build_spec **spec)
{
    build_spec_free(*spec);
}

const char *build_spec_file(const struct build_spec *spec)
{
    return spec->file ? spec->file : SPEC_DEFAULT_FILE;
}

static void strip_trailing_slashes(char *path)
{
    for (size_t length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
}

int build_spec_set_root(struct build_spec *spec, const char *path)
{
    const char *shown = path ? path : ".";
    char *root = realpath(shown, NULL);
    if (!root)
        return log_errno(errno, "root %s", shown);
    free(spec->root);
    spec->root = root;
    struct stat status;
    if (stat(root, &status) < 0)
        return log_errno(errno, "root %s", shown);
    if (!S_ISDIR(status.st_mode))
        return log_errno(ENOTDIR, "root %s", shown);
    free(spec->root_as_typed);
    spec->root_as_typed = !path || !strcmp(path, ".") ? here_path()
                          : path[0] == '/'            ? strdup(path)
                                                      : strdup(root);
    if (!spec->root_as_typed)
        return log_errno(errno, "root %s", shown);
    strip_trailing_slashes(spec->root_as_typed);
    return 0;
}

int build_spec_check(const struct build_spec *spec)
{
    if (spec->name && !name_is_valid(spec->name))
        return log_fail(EINVAL, "\"%s\" cannot be a name: " NAME_RULES, spec->name);
    if (!manifest_path_is_valid(build_spec_file(spec)))
        return log_fail(EINVAL,
                        "--file %s: must be a relative path inside the template, such as "
                        "app.db or data/app.db",
                        build_spec_file(spec));
    for (size_t i = 0; i < spec->env.count; i++)
        if (!spec->env.items[i][0] || strchr(spec->env.items[i], '='))
            return log_fail(EINVAL,
                            "--env \"%s\": give the variable's name alone; its value is "
                            "read from the environment",
                            spec->env.items[i]);
    if (spec->builder.count == 0 || !spec->builder.items[0][0])
        return log_fail(EINVAL, "no builder: put the command that makes the database after --, "
                                "or into mintfs.conf");
    return 0;
}
