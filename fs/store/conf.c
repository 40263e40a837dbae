#include "fs/store/conf.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/log.h"
#include "fs/store/template.h"
#include "fs/store/words.h"

enum { CONF_LIMIT_BYTES = 1 << 20 };

struct parser {
    const char *wanted;      /* the section, or NULL */
    struct build_spec *spec; /* what is filled: the wanted section, or the first */
    struct strlist sections;
    char *section; /* where we are, or NULL before the first */
    char *key;     /* whose value an indented line goes on with, or NULL */
    bool taken;    /* this section goes into spec */
    bool found;
    unsigned line;
};

static void parser_fini(struct parser *parser)
{
    spec_free(parser->spec);
    strlist_fini(&parser->sections);
    free(parser->section);
    free(parser->key);
}

static int fault(const struct parser *parser, const char *format, ...) PRINTF_LIKE(2, 3);

static int fault(const struct parser *parser, const char *format, ...)
{
    AUTO_FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return log_fail(EINVAL, CONF_FILE ":%u: %s", parser->line, text ? text : "error");
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    for (size_t length = strlen(text); length && isspace((unsigned char)text[length - 1]); length--)
        text[length - 1] = '\0';
    return text;
}

static int begin_section(struct parser *parser, char *text)
{
    char *end = strchr(text, ']');
    if (!end || *trim(end + 1))
        return fault(parser, "a section is [NAME] and nothing else");
    *end = '\0';
    const char *name = trim(text + 1);
    if (!template_name_is_valid(name))
        return fault(parser,
                     "[%s]: a name is 1 to 64 of [A-Za-z0-9._-], no leading dot, and not "
                     "only hexadecimal digits from four on",
                     name);
    if (strlist_contains(&parser->sections, name))
        return fault(parser, "[%s] stands twice", name);
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

/* Adds a value to parser->key; sections that are not wanted are checked all the same. */
static int add_value(struct parser *parser, const char *value)
{
    struct build_spec *scratch = parser->taken ? NULL : spec_new();
    AUTO_SPEC struct build_spec *dropped = scratch;
    struct build_spec *spec = parser->taken ? parser->spec : dropped;
    const char *key = parser->key;
    if (!spec)
        return -ENOMEM;
    if (!strcmp(key, "salt"))
        return set_once(parser, &spec->salt, value);
    if (!*value)
        return 0;
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
        int r = words_split(value, &spec->builder);
        return r == -EINVAL ? fault(parser, "a quote is not closed: %s", value) : r;
    }
    return fault(parser,
                 "unknown key \"%s\": known are input, exclude, env, salt, file, as, "
                 "builder",
                 key);
}

static int add_line(struct parser *parser, char *line)
{
    bool indented = isspace((unsigned char)line[0]);
    char *text = trim(line);
    if (!*text || *text == '#' || *text == ';')
        return 0;
    if (indented && parser->key)
        return add_value(parser, text);
    if (*text == '[')
        return begin_section(parser, text);
    if (!parser->section)
        return fault(parser, "before the first [NAME]: %s", text);
    char *equals = strchr(text, '=');
    if (!equals)
        return fault(parser, "neither [NAME] nor KEY = VALUE: %s", text);
    *equals = '\0';
    free(parser->key);
    parser->key = strdup(trim(text));
    return parser->key ? add_value(parser, trim(equals + 1)) : -ENOMEM;
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

static int check_found(const struct parser *parser)
{
    AUTO_FREE char *list = join_sections(parser);
    if (parser->sections.count == 0)
        return log_fail(EINVAL, CONF_FILE ": no [NAME] section in it");
    if (!parser->wanted && parser->sections.count > 1)
        return log_fail(EINVAL, CONF_FILE " has several templates, say which: %s",
                        list ? list : "");
    if (!parser->found)
        return log_fail(ENOENT, CONF_FILE " has no [%s]; there is: %s", parser->wanted,
                        list ? list : "");
    return 0;
}

static int read_text(const char *section, char **ret_text)
{
    size_t size = 0;
    AUTO_FREE char *text = NULL;
    int r = dir_read_file(AT_FDCWD, CONF_FILE, CONF_LIMIT_BYTES, &text, &size);
    if (r == -ELOOP) {
        /* A link is fine here: the file is the user's own, and typing the command is consent. */
        AUTO_FREE char *resolved = realpath(CONF_FILE, NULL);
        r = resolved ? dir_read_file(AT_FDCWD, resolved, CONF_LIMIT_BYTES, &text, &size) : -errno;
    }
    if (r == -ENOENT && section)
        return log_fail(ENOENT,
                        "no " CONF_FILE " here that could say what \"%s\" is; a builder "
                        "goes behind --",
                        section);
    if (r == -ENOENT)
        return log_fail(ENOENT, "no builder behind --, and no " CONF_FILE " here that names one");
    if (r < 0)
        return log_errno(r, CONF_FILE);
    if (strlen(text) != size)
        return log_fail(EINVAL, CONF_FILE ": not a text file");
    *ret_text = steal_pointer(&text);
    return 0;
}

int conf_read(const char *section_or_null, struct build_spec **ret_spec)
{
    AUTO_FREE char *text = NULL;
    int r = read_text(section_or_null, &text);
    if (r < 0 || !text)
        return r;
    CLEANUP(parser_fini)
    struct parser parser = {.wanted = section_or_null, .spec = spec_new()};
    r = parser.spec ? parse(&parser, text) : -ENOMEM;
    if (r == -ENOMEM)
        return log_errno(r, CONF_FILE);
    if (r == 0)
        r = check_found(&parser);
    if (r == 0)
        r = spec_set_root(parser.spec, NULL);
    if (r < 0)
        return r;
    if (parser.spec->builder.count == 0)
        return log_fail(EINVAL, CONF_FILE ": [%s] names no builder", parser.spec->name);
    *ret_spec = steal_pointer(&parser.spec);
    return 0;
}
