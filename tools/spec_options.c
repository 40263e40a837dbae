#include "tools/spec_options.h"

#include <getopt.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/store/project_conf.h"
#include "tools/command.h"

enum { OPTION_SALT = 256, OPTION_ROOT, OPTION_AS, OPTION_FILE, OPTION_TO, OPTION_JSON };

static const struct option options[] = {
    {"input", required_argument, NULL, 'i'},
    {"exclude", required_argument, NULL, 'x'},
    {"env", required_argument, NULL, 'e'},
    {"name", required_argument, NULL, 'n'},
    {"help", no_argument, NULL, 'h'},
    {"salt", required_argument, NULL, OPTION_SALT},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"as", required_argument, NULL, OPTION_AS},
    {"file", required_argument, NULL, OPTION_FILE},
    {"to", required_argument, NULL, OPTION_TO},
    {"json", no_argument, NULL, OPTION_JSON},
    {NULL, 0, NULL, 0},
};

struct reading {
    struct build_spec *flags;
    const char *root;
    const char *to;
    bool wants_help;
    bool as_json;
    bool has_dashes; /* "--" stood before the operands */
};

static void reading_fini(struct reading *reading)
{
    build_spec_free(reading->flags);
}

static int replace(char **place, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*place);
    *place = copy;
    return 0;
}

static int usage(const char *command, const char *what, const char *argument)
{
    (void)command_usage(command, "%s%s", what, argument);
    return -EINVAL;
}

static int bad_option(char **argv)
{
    (void)command_bad_option(argv[0], "", argv);
    return -EINVAL;
}

static int take_option(struct reading *reading, int option, const char *value)
{
    struct build_spec *flags = reading->flags;
    switch (option) {
    case 'i':
        return strlist_add(&flags->inputs, value);
    case 'x':
        return strlist_add(&flags->excludes, value);
    case 'e':
        return strlist_add(&flags->env, value);
    case 'n':
        return replace(&flags->name, value);
    case OPTION_SALT:
        return replace(&flags->salt, value);
    case OPTION_AS:
        return replace(&flags->as, value);
    case OPTION_FILE:
        return replace(&flags->file, value);
    case OPTION_ROOT:
        reading->root = value;
        return 0;
    case OPTION_TO:
        reading->to = value;
        return 0;
    case OPTION_JSON:
        reading->as_json = true;
        return 0;
    default:
        reading->wants_help = true;
        return 0;
    }
}

static int read_options(int argc, char **argv, struct reading *reading)
{
    opterr = 0;
    optind = 0;
    for (;;) {
        int before = optind ? optind : 1;
        int option = getopt_long(argc, argv, "+:i:x:e:n:h", options, NULL);
        if (option < 0) {
            reading->has_dashes = optind > before && !strcmp(argv[optind - 1], "--");
            return 0;
        }
        if (option == '?')
            return bad_option(argv);
        if (option == ':')
            return usage(argv[0], "a value is missing behind ", argv[optind - 1]);
        int r = take_option(reading, option, optarg);
        if (r < 0)
            return log_errno(r, "%s", argv[0]);
    }
}

/* Moves what the flags say into a spec that mintfs.conf has filled. */
static int merge(struct build_spec *spec, struct build_spec *flags)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < flags->inputs.count; i++)
        r = strlist_add(&spec->inputs, flags->inputs.items[i]);
    for (size_t i = 0; r == 0 && i < flags->excludes.count; i++)
        r = strlist_add(&spec->excludes, flags->excludes.items[i]);
    for (size_t i = 0; r == 0 && i < flags->env.count; i++)
        r = strlist_add(&spec->env, flags->env.items[i]);
    if (r == 0 && flags->name)
        r = replace(&spec->name, flags->name);
    if (r == 0 && flags->salt)
        r = replace(&spec->salt, flags->salt);
    if (r == 0 && flags->file)
        r = replace(&spec->file, flags->file);
    if (r == 0 && flags->as)
        r = replace(&spec->as, flags->as);
    return r < 0 ? log_errno(r, CONF_FILE) : 0;
}

static int read_conf(int argc, char **argv, struct reading *reading, struct build_spec **ret_spec)
{
    if (argc - optind > 1)
        return usage(argv[0], "one template's name at most; a builder goes behind --, before ",
                     argv[optind]);
    const struct project_conf_request request = {.section = optind < argc ? argv[optind] : NULL,
                                                 .root = reading->root};
    AUTO_SPEC struct build_spec *spec = NULL;
    int r = project_conf_read(&request, &spec);
    if (r == 0)
        r = merge(spec, reading->flags);
    if (r == 0)
        *ret_spec = steal_pointer(&spec);
    return r;
}

static int read_builder(int argc, char **argv, struct reading *reading,
                        struct build_spec **ret_spec)
{
    if (optind == argc)
        return usage(argv[0], "no builder behind --", "");
    int r = 0;
    for (int i = optind; r == 0 && i < argc; i++)
        r = strlist_add(&reading->flags->builder, argv[i]);
    if (r < 0)
        return log_errno(r, "%s", argv[0]);
    r = build_spec_set_root(reading->flags, reading->root);
    if (r == 0)
        *ret_spec = steal_pointer(&reading->flags);
    return r;
}

int spec_request_read(int argc, char **argv, unsigned takes, struct spec_request *ret_request)
{
    CLEANUP(reading_fini) struct reading reading = {.flags = build_spec_new()};
    if (!reading.flags)
        return log_errno(ENOMEM, "%s", argv[0]);
    struct spec_request request = {.spec = NULL};
    int r = read_options(argc, argv, &reading);
    if (r == 0 && reading.to && !(takes & SPEC_TAKES_TO))
        r = usage(argv[0], "unknown option --to", "");
    if (r == 0 && reading.as_json && !(takes & SPEC_TAKES_JSON))
        r = usage(argv[0], "unknown option --json", "");
    if (r < 0)
        return r;
    request.to = reading.to;
    request.wants_help = reading.wants_help;
    request.as_json = reading.as_json;
    if (!request.wants_help)
        r = reading.has_dashes ? read_builder(argc, argv, &reading, &request.spec)
                               : read_conf(argc, argv, &reading, &request.spec);
    if (r < 0)
        return r;
    *ret_request = request;
    return 0;
}

void spec_request_fini(struct spec_request *request)
{
    build_spec_free(request->spec);
}
