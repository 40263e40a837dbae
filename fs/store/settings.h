/*
 * A user's settings. In order of precedence: a flag on the command line, a MINTFS_* variable, the
 * user's file, the default. Commands read the flags; the rest is here.
 *
 * The user's file is $XDG_CONFIG_HOME/mintfs/mintfs.conf, else ~/.config/mintfs/mintfs.conf, with
 * lines NAME = VALUE:
 *
 *     # a comment
 *     max-size = 20G
 *     max-age  = 90d
 *
 * A path may begin with ~/, the home directory. The file is read once, when a setting is first
 * asked for. An empty variable counts as unset.
 */
#ifndef MINTFS_STORE_SETTINGS_H
#define MINTFS_STORE_SETTINGS_H

#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"

enum setting {
    SETTING_STORE,
    SETTING_MOUNT,
    SETTING_BACKEND,
    SETTING_IDLE,
    SETTING_MAX_SIZE,
    SETTING_MAX_AGE,
    SETTING_KEEP,
    SETTING_TRUST,
    SETTING_COUNT,
};

enum setting_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_VARIABLE };

struct setting_value {
    const char *text; /* borrowed; NULL where the default is computed (store, mount) */
    enum setting_origin origin;
    int line; /* of the file */
};

const char *settings_name(enum setting setting);     /* "max-size" */
const char *settings_variable(enum setting setting); /* "MINTFS_MAX_SIZE" */
const char *settings_meaning(enum setting setting);  /* one line for people */

/* -EINVAL, logged with file and line, or with the variable. A file with a fault is refused,
 * whichever setting is asked for. */
MUST_CHECK int settings_get(enum setting setting, struct setting_value *ret_value);

/* The faults in the user's file, each with file and line, for a caller that reports them itself. To
 * be called before settings_get(), which then ignores the faulty lines. */
const struct strlist *settings_take_faults(void);

/* The path of the user's file, whether or not it exists; NULL without a home directory. */
const char *settings_path(void);

/* A size in bytes, a time in seconds or a number; the value `none` is UINT64_MAX. */
MUST_CHECK int settings_get_number(enum setting setting, uint64_t *ret_number);
/* The same for a text from the command line; -EINVAL, logged with `what`, the flag. */
MUST_CHECK int settings_parse_number(enum setting setting, const char *what, const char *text,
                                     uint64_t *ret_number);

#endif
