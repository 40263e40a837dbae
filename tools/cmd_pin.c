/*
 * mintfs pin and unpin: protect templates from gc and evict.
 */
#include "fs/base/log.h"
#include "fs/store/catalog_pin.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "tools/command.h"

typedef int pin_function(struct catalog *catalog, const char *key);

static int set_one(const struct store *store, const char *text, pin_function *set)
{
    char key[SHA256_HEX_LENGTH + 1];
    int r = named_resolve(store, text, key);
    if (r < 0)
        return r;
    r = set(store->catalog, key);
    if (r != -ENOENT)
        return r;
    /* The catalog may have no row for it yet. */
    r = catalog_reconcile(store->catalog);
    if (r == 0)
        r = set(store->catalog, key);
    return r == -ENOENT
               ? log_fail(ENOENT, "template %" PRI_KEY " does not exist any more, or is damaged",
                          key)
               : r;
}

static int set_all(const struct arguments *arguments, pin_function *set)
{
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    int first_error = 0;
    for (char **operand = arguments->operands; *operand; operand++) {
        r = set_one(store, *operand, set);
        first_error = first_error ? first_error : r;
    }
    return first_error;
}

static int pin(const struct arguments *arguments)
{
    return set_all(arguments, catalog_pin);
}

static int unpin(const struct arguments *arguments)
{
    return set_all(arguments, catalog_unpin);
}

static const char operands_error[] = "wants the KEY or NAME of a template";

const struct command command_pin = {
    .name = "pin",
    .synopsis = "KEY|NAME...",
    .summary = "protect templates from gc and evict",
    .run = pin,
    .operands_min = 1,
    .operands_max = OPERANDS_ANY,
    .operands_error = operands_error,
};

const struct command command_unpin = {
    .name = "unpin",
    .synopsis = "KEY|NAME...",
    .summary = "end the protection of pinned templates",
    .run = unpin,
    .operands_min = 1,
    .operands_max = OPERANDS_ANY,
    .operands_error = operands_error,
};
