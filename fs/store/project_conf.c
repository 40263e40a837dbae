#include "fs/store/project_conf.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/base/shell_words.h"
#include "fs/base/text.h"
#include "fs/store/names.h"
#include "fs/store/rootpath.h"

struct parser {
    const char *shown;       /* the file, for messages */
    const char *wanted;      /* the section, or NULL */
    struct build_spec *spec; /* of the wanted section, or of the first */
    struct strlist sections;
    char *section;  /* the current one, or NULL before the first */
    char *key;      /* the key that an indented line continues, or NULL */
    char *root;     /* of the whole file, or NULL */
    char *own_root; /* of the section that goes into spec, or NULL */
    bool taken;     /* the current section goes into spec */
    bool found;
    unsigned line;
};

static void parser_fini(struct parser *parser)
{
    build_spec_free(parser->spec);
    strlist_fini(&parser->sections);
    free(parser->section);
    free(parser->key);
    free(parser->root);
    free(parser->own_root);
}

static int fault(const struct parser *parser, const char *format, ...) PRINTF_LIKE(2, 3);

static int fault(const struct parser *parser, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    AUTO_FREE char *text = text_vformat(format, arguments);
    va_end(arguments);
    return log_fail(EINVAL, "%s:%u: %s", parser->shown, parser->line, text ? text : "error");
}

static int begin_section(struct parser *parser, char *text)
{
    char *end = strchr(text, ']');
    if (!end || *text_trim(end + 1))
        return fault(parser, "a section is [NAME] and nothing else");
    *end = '\0';
    const char *name = text_trim(text + 1);
    if (!name_is_valid(name))
        return fault(parser, "[%s]: a name is " NAME_RULES, name);
    if (strlist_contains(&parser->sections, name))
        return fault(parser, "there are two sections [%s]", name);
    int r = strlist_add(&parser->sections, name);
    if (r < 0)
        return r;
    free(parser->section);
    free(parser->key);
    parser->key = NULL;
    parser->section = strdup(name);
    if (!parser->section)
        return -ENOMEM;
    parser->taken = parser->wanted ? !strcmp(parser->wanted, name) : parser->sections.count == 1;
    if (!parser->taken)
        return 0;
    parser->found = true;
    parser->spec->name = strdup(name);
    return parser->spec->name ? 0 : -ENOMEM;
}

static int set_once(const struct parser *parser, char **place, const char *value)
{
    if (*place)
        return fault(parser, "\"%s\" has one value", parser->key);
    *place = strdup(value);
    return *place ? 0 : -ENOMEM;
}

/* Adds a value to parser->key. Sections that are not wanted are checked as well. */
static int add_value(struct parser *parser, const char *value)
{
    AUTO_SPEC struct build_spec *unwanted = parser->taken ? NULL : build_spec_new();
    struct build_spec *spec = parser->taken ? parser->spec : unwanted;
    const char *key = parser->key;
    if (!spec)
        return -ENOMEM;
    if (!strcmp(key, "salt"))
        return set_once(parser, &spec->salt, value);
    if (!*value)
        return 0;
    if (!strcmp(key, "root"))
        return parser->taken     ? set_once(parser, &parser->own_root, value)
               : parser->section ? 0
                                 : set_once(parser, &parser->root, value);
    if (!strcmp(key, "input"))
        return strlist_add(&spec->inputs, value);
    if (!strcmp(key, "exclude"))
        return strlist_add(&spec->excludes, value);
    if (!strcmp(key, "env"))
        return strlist_add(&spec->env, value);
    if (!strcmp(key, "file"))
        return set_once(parser, &spec->file, value);
    if (!strcmp(key, "as"))
        return set_once(parser, &spec->as, value);
    if (!strcmp(key, "builder")) {
        int r = shell_words_split(value, &spec->builder);
        return r == -EINVAL ? fault(parser, "a quote is not closed: %s", value) : r;
    }
    return fault(parser,
                 "unknown key \"%s\": known are input, exclude, env, salt, file, as, root, "
                 "builder",
                 key);
}

static int add_line(struct parser *parser, char *line)
{
    bool indented = isspace((unsigned char)line[0]);
    char *text = text_trim(line);
    if (!*text || *text == '#' || *text == ';')
        return 0;
    if (indented && parser->key)
        return add_value(parser, text);
    if (*text == '[')
        return begin_section(parser, text);
    char *equals = strchr(text, '=');
    bool is_root = !strncmp(text, "root", 4) && text + 4 + strspn(text + 4, " \t") == equals;
    if (!parser->section && !is_root)
        return fault(parser, "before the first [NAME]: %s", text);
    if (!equals)
        return fault(parser, "neither [NAME] nor KEY = VALUE: %s", text);
    *equals = '\0';
    free(parser->key);
    parser->key = strdup(text_trim(text));
    return parser->key ? add_value(parser, text_trim(equals + 1)) : -ENOMEM;
}

static int parse(struct parser *parser, char *text)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    if (!strncmp(text, byte_order_mark, strlen(byte_order_mark)))
        text += strlen(byte_order_mark);
    for (char *line; (line = strsep(&text, "\n"));) {
        parser->line++;
        int r = add_line(parser, line);
        if (r < 0)
            return r;
    }
    return 0;
}

static char *join_sections(const struct parser *parser)
{
    char *list = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&list, &size);
    for (size_t i = 0; stream && i < parser->sections.count; i++)
        (void)fprintf(stream, "%s%s", i ? ", " : "", parser->sections.items[i]);
    if (stream && fclose(stream) == 0)
        return list;
    free(list);
    return NULL;
}

static int log_missing(const struct parser *parser)
{
    AUTO_FREE char *list = join_sections(parser);
    if (parser->sections.count == 0)
        return log_fail(EINVAL, "%s: no [NAME] section in it", parser->shown);
    if (!parser->wanted)
        return log_fail(EINVAL, "%s has several templates; name one: %s", parser->shown,
                        list ? list : "");
    return log_fail(ENOENT, "%s has no [%s]; there is: %s", parser->shown, parser->wanted,
                    list ? list : "");
}

/* Sets root, base and directory. */
static int set_places(struct parser *parser, const struct project_conf_found *found,
                      const char *root_flag)
{
    struct build_spec *spec = parser->spec;
    const char *wanted = parser->own_root ? parser->own_root : parser->root;
    AUTO_FREE char *joined = NULL;
    if (found->directory && !(spec->directory = strdup(found->directory)))
        return -ENOMEM;
    if (found->directory && wanted && wanted[0] != '/') {
        joined = text_format("%s/%s", found->directory, wanted);
        if (!joined)
            return -ENOMEM;
        wanted = joined;
    }
    wanted = root_flag ? root_flag : wanted;
    int r = build_spec_set_root(spec, wanted ? wanted : found->directory);
    if (r < 0 || !wanted)
        return r;
    AUTO_FREE char *real = realpath(found->directory ? found->directory : ".", NULL);
    if (!real)
        return log_errno(errno, "%s", parser->shown);
    const char *below = rootpath_below(spec->root, real);
    if (!below)
        return log_fail(EINVAL, "%s: the root %s must be its directory, or one above it",
                        parser->shown, wanted);
    if (strcmp(below, ".") != 0 && !(spec->base = strdup(below)))
        return -ENOMEM;
    return 0;
}

/* 1: filled; 0: no such section. */
static int read_section(const struct project_conf_found *found,
                        const struct project_conf_request *request, struct parser *parser)
{
    if (!parser->spec)
        return -ENOMEM;
    int r = parse(parser, found->text);
    if (r < 0)
        return r;
    if (!parser->found || (!request->section && parser->sections.count > 1))
        return 0;
    r = set_places(parser, found, request->root);
    if (r == 0 && parser->spec->builder.count == 0)
        return log_fail(EINVAL, "%s: [%s] names no builder", parser->shown, parser->spec->name);
    return r < 0 ? r : 1;
}

int project_conf_read(const struct project_conf_request *request, struct build_spec **ret_spec)
{
    AUTO_CONF_FOUND struct project_conf_found found = {.text = NULL};
    int r = project_conf_find(&found);
    if (r == 0 && request->section)
        return log_fail(ENOENT,
                        "no " CONF_FILE " here that describes \"%s\"; a builder "
                        "goes after --",
                        request->section);
    if (r == 0)
        return log_fail(ENOENT, "no builder after --, and no " CONF_FILE
                                " here or in a directory above; mintfs(7), "
                                "\"MINTFS.CONF\", shows one");
    if (r < 0)
        return r;
    CLEANUP(parser_fini)
    struct parser parser = {
        .shown = found.shown, .wanted = request->section, .spec = build_spec_new()};
    r = read_section(&found, request, &parser);
    if (r == -ENOMEM)
        return log_errno(r, "%s", found.shown);
    if (r == 0)
        return log_missing(&parser);
    if (r > 0)
        *ret_spec = steal_pointer(&parser.spec);
    return r < 0 ? r : 0;
}

int project_conf_look(const char *section, struct build_spec **ret_spec)
{
    const struct project_conf_request request = {.section = section};
    AUTO_CONF_FOUND struct project_conf_found found = {.text = NULL};
    int r = project_conf_find(&found);
    if (r <= 0)
        return r;
    CLEANUP(parser_fini)
    struct parser parser = {.shown = found.shown, .wanted = section, .spec = build_spec_new()};
    r = read_section(&found, &request, &parser);
    if (r == -ENOMEM)
        return log_errno(r, "%s", found.shown);
    if (r > 0)
        *ret_spec = steal_pointer(&parser.spec);
    return r;
}
