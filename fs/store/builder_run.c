#include "fs/store/builder_run.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/names.h"
#include "fs/store/placeholder.h"

/* Each key is followed by a colon. */
static const char building_variable[] = "MINTFS_BUILDING";

int builder_run_check(const char *key)
{
    const char *outer = getenv(building_variable);
    if (outer && strstr(outer, key))
        return log_fail(
            EDEADLK, "the builder of %" PRI_KEY " asks for the very template that it makes", key);
    return 0;
}

static int fill_arguments(const struct build_work *work, const struct build_spec *spec,
                          struct strlist *arguments, bool *ret_has_out)
{
    const struct placeholders places = {.out = work->out_path, .dir = work->files_path};
    int r = 0;
    *ret_has_out = false;
    for (size_t i = 0; r == 0 && i < spec->builder.count; i++)
        r = strlist_take(arguments,
                         placeholders_fill(&places, spec->builder.items[i], ret_has_out));
    return r;
}

static int add_variable(struct strlist *environment, const char *name, const char *value)
{
    return strlist_take(environment, text_format("%s=%s", name, value));
}

static int fill_environment(const struct build_work *work, const struct build_spec *spec,
                            const char *key, struct strlist *environment)
{
    const char *outer = getenv(building_variable);
    const char *store = getenv("MINTFS_STORE");
    int r = add_variable(environment, "MINTFS_OUT", work->out_path);
    if (r == 0)
        r = add_variable(environment, "MINTFS_DIR", work->files_path);
    if (r == 0)
        r = strlist_take(environment,
                         text_format("%s=%s%s:", building_variable, outer ? outer : "", key));
    if (r == 0 && spec->directory)
        r = add_variable(environment, "PWD", spec->directory);
    if (r == 0 && spec->directory && store && *store && *store != '/')
        r = add_variable(environment, "MINTFS_STORE", work->store->path);
    return r;
}

static int log_failure(const char *program, const struct builder *builder, int status)
{
    if (builder->signal)
        return log_fail(ECHILD, "builder %s was ended by signal %d (%s); nothing is published",
                        program, builder->signal, strsignal(builder->signal));
    /* A failure to run it has been logged already. */
    return status == RUN_CANNOT_RUN || status == RUN_NOT_FOUND
               ? -ECHILD
               : log_fail(ECHILD, "builder %s exited with %d; nothing is published", program,
                          status);
}

int builder_run(const struct build_work *work, const struct build_spec *spec, const char *key,
                struct builder *ret_builder, int *ret_status, bool *ret_names_file)
{
    AUTO_STRLIST struct strlist arguments = STRLIST_INIT;
    AUTO_STRLIST struct strlist environment = STRLIST_INIT;
    bool has_out = false;
    int r = fill_arguments(work, spec, &arguments, &has_out);
    if (r == 0)
        r = fill_environment(work, spec, key, &environment);
    if (r < 0 || !arguments.items)
        return log_errno(r, "builder");
    const struct builder_command command = {
        .argv = arguments.items, .environment = environment.items, .directory = spec->directory};
    const char *program = arguments.items[0];
    *ret_names_file = spec->file || has_out;
    r = builder_start(&command, ret_builder);
    if (r == 0)
        r = builder_wait(ret_builder, program, ret_status);
    return r < 0 || *ret_status == 0 ? r : log_failure(program, ret_builder, *ret_status);
}
