/*
 * The key: the schema hash over a builder, its inputs and its declared environment.
 */
#ifndef MINTFS_STORE_KEY_H
#define MINTFS_STORE_KEY_H

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/base/strlist.h"
#include "fs/store/build_spec.h"
#include "fs/store/inputs.h"

struct key {
    char hex[SHA256_HEX_LENGTH + 1];
    struct input_list inputs;
    struct strlist arguments;   /* as they count in the key */
    struct strlist environment; /* "NAME=value", or "NAME" if unset; sorted */
};

/*
 * Reads the inputs and the environment and computes the key. A warning names each argument that
 * gives other machines another key. Errors are logged.
 */
MUST_CHECK int key_compute(const struct build_spec *spec, struct key *ret_key);
void key_fini(struct key *key);
#define AUTO_KEY CLEANUP(key_fini)

#endif
