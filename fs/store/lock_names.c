#include "fs/store/lock_names.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"

static const char build_prefix[] = "build-";
static const char use_prefix[] = "use-";

void lock_name_for_build(const char *key, char ret_name[KEY_LOCK_NAME_SIZE])
{
    (void)snprintf(ret_name, KEY_LOCK_NAME_SIZE, "%s%.64s", build_prefix, key);
}

void lock_name_for_use(const char *key, char ret_name[KEY_LOCK_NAME_SIZE])
{
    (void)snprintf(ret_name, KEY_LOCK_NAME_SIZE, "%s%.64s", use_prefix, key);
}

static const char *key_after(const char *prefix, const char *name)
{
    size_t length = strlen(prefix);
    return !strncmp(name, prefix, length) && sha256_is_hex(name + length) ? name + length : NULL;
}

const char *lock_name_build_key(const char *name)
{
    return key_after(build_prefix, name);
}

const char *lock_name_use_key(const char *name)
{
    return key_after(use_prefix, name);
}

bool lock_name_is_known(const char *name)
{
    static const char *const names[] = {LOCK_NAME_MOUNT, LOCK_NAME_MOUNTING, LOCK_NAME_GC,
                                        LOCK_NAME_CATALOG, LOCK_NAME_PINS};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        if (!strcmp(name, names[i]))
            return true;
    return lock_name_build_key(name) || lock_name_use_key(name);
}
