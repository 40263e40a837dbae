#include "fs/store/settings.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/home.h"
#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/base/text.h"
#include "fs/base/units.h"

enum { FILE_LIMIT_BYTES = 1 << 16 };

enum kind { KIND_PATH, KIND_BACKEND, KIND_TIME, KIND_SIZE, KIND_NUMBER };

static const struct {
    const char *name;
    const char *variable;
    const char *fallback;
    enum kind kind;
    const char *meaning;
} settings[SETTING_COUNT] = {
    [SETTING_STORE] = {"store", "MINTFS_STORE", NULL, KIND_PATH, "where templates are stored"},
    [SETTING_MOUNT] = {"mount", "MINTFS_MOUNT", NULL, KIND_PATH, "where the store is mounted"},
    [SETTING_BACKEND] = {"backend", "MINTFS_BACKEND", "auto", KIND_BACKEND,
                         "sessions on a mount or as copies: auto, fuse, copy"},
    [SETTING_IDLE] = {"idle", "MINTFS_IDLE", "10m", KIND_TIME,
                      "a mount that session new started ends when unused for so long"},
    [SETTING_MAX_SIZE] = {"max-size", "MINTFS_MAX_SIZE", "5G", KIND_SIZE,
                          "limit for all templates, enforced after each build"},
    [SETTING_MAX_AGE] = {"max-age", "MINTFS_MAX_AGE", "30d", KIND_TIME,
                         "limit since a template's last use, enforced after each build"},
    [SETTING_KEEP] = {"keep", "MINTFS_KEEP", "0", KIND_NUMBER,
                      "how many of each name are kept, whatever the limits"},
    [SETTING_TRUST] = {"trust", "MINTFS_TRUST", "", KIND_PATH,
                       "directories whose mintfs.conf may be another user's, separated by colons"},
};

static struct {
    bool is_read;
    int result; /* of reading it: -ENOMEM */
    char *path;
    struct strlist faults; /* in the file, each with its line */
    bool are_faults_taken; /* or logged */
    bool is_refused;       /* for its faults */
    char *values[SETTING_COUNT];
    int lines[SETTING_COUNT];
} file;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

const char *settings_name(enum setting setting)
{
    return settings[setting].name;
}

const char *settings_variable(enum setting setting)
{
    return settings[setting].variable;
}

const char *settings_meaning(enum setting setting)
{
    return settings[setting].meaning;
}

/* ---- values ---- */

static const char *wanted_of(enum kind kind)
{
    switch (kind) {
    case KIND_PATH:
        return "a path";
    case KIND_BACKEND:
        return "one of auto, fuse, copy";
    case KIND_TIME:
        return "a time such as 90s, 15m, 24h or 14d, or none";
    case KIND_SIZE:
        return "a size such as 500M or 2G, or none";
    default:
        return "a number";
    }
}

static int parse_number(enum kind kind, const char *text, uint64_t *ret_number)
{
    if (kind != KIND_NUMBER && !strcmp(text, "none")) {
        *ret_number = UINT64_MAX;
        return 0;
    }
    int r = kind == KIND_SIZE   ? units_parse_size(text, ret_number)
            : kind == KIND_TIME ? units_parse_duration(text, ret_number)
                                : units_parse_number(text, ret_number);
    return r == 0 && *ret_number > INT64_MAX / 1000000000 && kind == KIND_TIME ? -ERANGE : r;
}

static int check(enum setting setting, const char *text)
{
    uint64_t number;
    switch (settings[setting].kind) {
    case KIND_PATH:
        return 0;
    case KIND_BACKEND:
        return !strcmp(text, "auto") || !strcmp(text, "fuse") || !strcmp(text, "copy") ? 0
                                                                                       : -EINVAL;
    default:
        return parse_number(settings[setting].kind, text, &number);
    }
}

/* ---- the file ---- */

static char *find_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    if (config && config[0] == '/')
        return text_format("%s/mintfs/mintfs.conf", config);
    AUTO_FREE char *home = home_directory();
    return home ? text_format("%s/.config/mintfs/mintfs.conf", home) : NULL;
}

static int note_fault(const char *format, ...) PRINTF_LIKE(1, 2);

static int note_fault(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = text_vformat(format, arguments);
    va_end(arguments);
    return strlist_take(&file.faults, text);
}

/* A copy with the home directory in place of a leading ~/, since no shell has expanded it. NULL:
 * there is no home directory. */
static char *expand(enum kind kind, const char *value)
{
    if (kind != KIND_PATH || (strcmp(value, "~") != 0 && strncmp(value, "~/", 2) != 0))
        return strdup(value);
    AUTO_FREE char *home = home_directory();
    return home ? text_format("%s%s", home, value + 1) : NULL;
}

static int take_value(enum setting setting, const char *value, int number)
{
    enum kind kind = settings[setting].kind;
    const char *name = settings[setting].name;
    if (check(setting, value) < 0 || !*value)
        return note_fault("%s:%d: %s is \"%s\", not %s", file.path, number, name, value,
                          wanted_of(kind));
    AUTO_FREE char *copy = expand(kind, value);
    if (!copy || (kind == KIND_PATH && *copy == '~'))
        return note_fault(
            "%s:%d: %s is \"%s\", but there is no home directory for ~: write the path out",
            file.path, number, name, value);
    free(file.values[setting]);
    file.values[setting] = steal_pointer(&copy);
    file.lines[setting] = number;
    return 0;
}

static int take_line(char *line, int number)
{
    char *text = text_trim(line);
    if (!*text || *text == '#' || *text == ';')
        return 0;
    char *equals = strchr(text, '=');
    if (!equals)
        return note_fault("%s:%d: not NAME = VALUE: %s", file.path, number, text);
    *equals = '\0';
    const char *name = text_trim(text);
    const char *value = text_trim(equals + 1);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (!strcmp(name, settings[i].name))
            return take_value((enum setting)i, value, number);
    return note_fault("%s:%d: no setting \"%s\"; mintfs config lists them", file.path, number,
                      name);
}

static int read_file(void)
{
    file.path = find_path();
    if (!file.path)
        return 0;
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    AUTO_FREE char *real = realpath(file.path, NULL);
    int r = real ? dir_read_file(AT_FDCWD, real, FILE_LIMIT_BYTES, &text, &size) : -errno;
    if (r == -ENOENT || r == -ENOTDIR || r == -EACCES)
        return 0;
    if (r < 0 || !text)
        return note_fault("%s: %s", file.path, strerror(-r));
    if (!text || strlen(text) != size)
        return note_fault("%s: not a text file", file.path);
    int number = 0;
    char *rest = text;
    for (char *line; r == 0 && (line = strsep(&rest, "\n"));)
        r = take_line(line, ++number);
    return r;
}

static int ensure_read(void)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    if (!file.is_read) {
        file.is_read = true;
        file.result = read_file();
    }
    return file.result;
}

const struct strlist *settings_take_faults(void)
{
    (void)ensure_read();
    file.are_faults_taken = true;
    return &file.faults;
}

/* Logs all of them, once, so that the user can correct the file in one go. */
static int check_faults(void)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    if (!file.are_faults_taken && file.faults.count) {
        file.are_faults_taken = file.is_refused = true;
        for (size_t i = 0; i < file.faults.count; i++)
            log_error("%s", file.faults.items[i]);
    }
    return file.is_refused ? -EINVAL : 0;
}

const char *settings_path(void)
{
    (void)ensure_read();
    return file.path;
}

int settings_get(enum setting setting, struct setting_value *ret_value)
{
    int r = ensure_read();
    if (r == 0)
        r = check_faults();
    if (r < 0)
        return r;
    const char *variable = getenv(settings[setting].variable);
    if (variable && *variable) {
        if (check(setting, variable) < 0)
            return log_fail(EINVAL, "%s is \"%s\", not %s: unset the variable, or correct it",
                            settings[setting].variable, variable,
                            wanted_of(settings[setting].kind));
        *ret_value = (struct setting_value){.text = variable, .origin = ORIGIN_VARIABLE};
    } else if (file.values[setting]) {
        *ret_value = (struct setting_value){
            .text = file.values[setting], .origin = ORIGIN_FILE, .line = file.lines[setting]};
    } else {
        *ret_value = (struct setting_value){.text = settings[setting].fallback};
    }
    return 0;
}

int settings_get_number(enum setting setting, uint64_t *ret_number)
{
    struct setting_value value = {.text = ""};
    int r = settings_get(setting, &value);
    return r < 0 ? r : parse_number(settings[setting].kind, value.text, ret_number);
}

int settings_parse_number(enum setting setting, const char *what, const char *text,
                          uint64_t *ret_number)
{
    int r = parse_number(settings[setting].kind, text, ret_number);
    return r < 0 ? log_fail(EINVAL, "%s is \"%s\", not %s", what, text,
                            wanted_of(settings[setting].kind))
                 : 0;
}
