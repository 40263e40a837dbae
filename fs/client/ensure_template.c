#include "fs/client/ensure_template.h"

#include <stdio.h>

#include "fs/base/interrupt.h"
#include "fs/base/log.h"
#include "fs/client/gc_policy.h"
#include "fs/store/export_file.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/project_conf.h"
#include "fs/store/template.h"

/* -EAGAIN where the template was evicted after it was built. */
static int export_template(const struct store *store, const char *key, const char *path)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return -EAGAIN;
    return r < 0 ? r : export_file(template, path);
}

int ensure_template(struct store *store, const struct build_spec *spec, const char *export_path,
                    struct build_result *ret_result)
{
    enum { TRIES = 5 };
    int r = export_path ? export_check(store, export_path) : 0;
    if (r < 0)
        return r;
    r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
        r = build_template(store, spec, ret_result);
        if (r < 0)
            return r;
        r = export_path ? export_template(store, ret_result->key, export_path) : 0;
    }
    if (r == -EAGAIN)
        return log_fail(ENOENT, "template %s is evicted again and again", ret_result->key);
    if (r == 0 && !ret_result->was_hit)
        gc_policy_after_build(store, ret_result->key);
    return r;
}

int ensure_named_template(struct store *store, const char *text,
                          char ret_key[SHA256_HEX_LENGTH + 1])
{
    const struct project_conf_request request = {.section = text};
    AUTO_SPEC struct build_spec *spec = NULL;
    AUTO_CONF_FOUND struct project_conf_found conf = {.text = NULL};
    struct build_result result;
    char last_built[SHA256_HEX_LENGTH + 1];
    int r = text ? named_section(text, &spec) : project_conf_read(&request, &spec);
    if (r < 0)
        return r;
    /* Where it is neither a section nor a template, the message lists the sections. */
    if (!spec && name_is_valid(text) && project_conf_find(&conf) == 1 &&
        template_key_of_name(store, text, last_built) == -ENOENT)
        return project_conf_read(&request, &spec);
    if (!spec)
        return named_resolve(store, text, ret_key);
    r = ensure_template(store, spec, NULL, &result);
    if (r == -EINTR)
        interrupt_raise();
    if (r == 0)
        (void)snprintf(ret_key, SHA256_HEX_LENGTH + 1, "%s", result.key);
    return r;
}
