#include "fs/store/named.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/store/foreign.h"
#include "fs/store/key.h"
#include "fs/store/names.h"
#include "fs/store/project_conf.h"
#include "fs/store/template.h"

int named_section(const char *text, struct build_spec **ret_spec)
{
    return name_is_valid(text) ? project_conf_look(text, ret_spec) : 0;
}

/* 1: the key is that of a section; 0: it is that of a template in the store. */
static int find(const struct store *store, const char *text, char ret_key[SHA256_HEX_LENGTH + 1])
{
    AUTO_SPEC struct build_spec *spec = NULL;
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    int r = named_section(text, &spec);
    if (r < 0)
        return r;
    if (r > 0) {
        r = key_compute(spec, &key);
        if (r == 0)
            memcpy(ret_key, key.hex, sizeof(key.hex));
        return r < 0 ? r : 1;
    }
    r = template_resolve(store, text, ret_key);
    if (r == 0 && name_is_valid(text))
        log_info("%s: no " CONF_FILE " here has a section [%s]: this is the last template built "
                 "under that name (%" PRI_KEY ")",
                 text, text, ret_key);
    return r;
}

int named_key(const struct store *store, const char *text, char ret_key[SHA256_HEX_LENGTH + 1])
{
    int r = find(store, text, ret_key);
    return r < 0 ? r : 0;
}

int named_resolve(const struct store *store, const char *text, char ret_key[SHA256_HEX_LENGTH + 1])
{
    char key[SHA256_HEX_LENGTH + 1];
    char last[SHA256_HEX_LENGTH + 1];
    struct foreign foreign = {.count = 1};
    int r = find(store, text, key);
    if (r < 0)
        return r;
    if (r == 0 || template_exists(store, key)) {
        memcpy(ret_key, key, sizeof(key));
        return 0;
    }
    memcpy(foreign.key, key, sizeof(key));
    if (foreign_is(store, key, &foreign.uid))
        return foreign_log(store, &foreign);
    if (template_key_of_name(store, text, last) < 0)
        return log_fail(ENOENT,
                        "%s: what " CONF_FILE " describes now (%" PRI_KEY
                        ") is not built; type: mintfs "
                        "build %s",
                        text, key, text);
    return log_fail(ENOENT,
                    "%s: what " CONF_FILE " describes now (%" PRI_KEY
                    ") is not built; type: mintfs build "
                    "%s. The last template built under that name is %" PRI_KEY,
                    text, key, text, last);
}
