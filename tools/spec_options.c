#include "tools/spec_options.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/store/project_conf.h"

int spec_add_value(const char *value, void *list)
{
    return strlist_add(list, value);
}

static int add_all(struct strlist *list, const struct strlist *more)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < more->count; i++)
        r = strlist_add(list, more->items[i]);
    return r;
}

static int replace(char **field, const char *value)
{
    if (!value)
        return 0;
    free(*field);
    *field = strdup(value);
    return *field ? 0 : -ENOMEM;
}

static int apply_flags(const struct spec_request *request, struct build_spec *spec)
{
    int r = add_all(&spec->inputs, &request->inputs);
    if (r == 0)
        r = add_all(&spec->excludes, &request->excludes);
    if (r == 0)
        r = add_all(&spec->env, &request->env);
    if (r == 0)
        r = replace(&spec->name, request->name);
    if (r == 0)
        r = replace(&spec->salt, request->salt);
    if (r == 0)
        r = replace(&spec->file, request->file);
    return r < 0 ? r : replace(&spec->as, request->as);
}

static int read_conf(const struct arguments *arguments, struct build_spec **ret_spec)
{
    const struct spec_request *request = arguments->request;
    if (arguments->operand_count > 1)
        return usage_error(arguments,
                           "takes the name of one template; for a builder put -- before %s",
                           arguments->operands[0]);
    const struct project_conf_request section = {.section = arguments->operands[0],
                                                 .root = request->root};
    return project_conf_read(&section, ret_spec);
}

static int read_builder(const struct arguments *arguments, struct build_spec **ret_spec)
{
    if (arguments->operand_count == 0)
        return usage_error(arguments, "no builder after --");
    *ret_spec = build_spec_new();
    int r = *ret_spec ? 0 : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < arguments->operand_count; i++)
        r = strlist_add(&(*ret_spec)->builder, arguments->operands[i]);
    return r;
}

int spec_request_read(const struct arguments *arguments, struct build_spec **ret_spec)
{
    struct spec_request *request = arguments->request;
    AUTO_SPEC struct build_spec *spec = NULL;
    int r = arguments->has_dashes ? read_builder(arguments, &spec) : read_conf(arguments, &spec);
    if (r == 0 && spec) {
        r = apply_flags(request, spec);
        if (r < 0)
            (void)log_errno(r, "%s", arguments->command->name);
    }
    if (r == 0 && arguments->has_dashes)
        r = build_spec_set_root(spec, request->root);
    strlist_fini(&request->inputs);
    strlist_fini(&request->excludes);
    strlist_fini(&request->env);
    if (r == 0)
        *ret_spec = steal_pointer(&spec);
    return r;
}
