/*
 * mintfs evict: removes templates from the store, by key or name.
 */
#include <stdio.h>

#include "fs/base/log.h"
#include "fs/client/gc_policy.h"
#include "fs/client/sessions.h"
#include "fs/client/used_keys.h"
#include "fs/store/gc_evict.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "tools/command.h"

/* 1: a listed session uses one of the templates. */
static int is_used(const struct store *store, const struct strlist *keys)
{
    AUTO_SESSIONS struct session_table table = {0};
    int r = sessions_read(store, &table);
    for (size_t i = 0; r == 0 && i < table.count; i++)
        r = strlist_contains(keys, table.items[i].key);
    return r;
}

static int print_outcomes(const struct strlist *keys, const enum gc_outcome *outcomes)
{
    int first_error = 0;
    for (size_t i = 0; i < keys->count; i++) {
        int r = 0;
        if (outcomes[i] == GC_EVICTED)
            printf("%s\n", keys->items[i]);
        else if (outcomes[i] == GC_GONE)
            r = log_fail(ENOENT, "template %.*s is gone already", SHORT_KEY_LENGTH, keys->items[i]);
        else
            r = log_fail(EBUSY, "template %.*s stays: %s", SHORT_KEY_LENGTH, keys->items[i],
                         gc_policy_describe(outcomes[i]));
        if (first_error == 0)
            first_error = r;
    }
    return first_error;
}

static int run(const struct arguments *arguments)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_STRLIST struct strlist keys = STRLIST_INIT;
    int first_error = 0;
    int r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = 0;
    for (char **operand = arguments->operands; r == 0 && *operand; operand++) {
        char key[SHA256_HEX_LENGTH + 1];
        int one = named_resolve(store, *operand, key);
        if (one < 0 && first_error == 0)
            first_error = one;
        if (one == 0 && !strlist_contains(&keys, key))
            r = strlist_add(&keys, key);
    }
    AUTO_FREE enum gc_outcome *outcomes = calloc(keys.count + 1, sizeof(*outcomes));
    if (r == 0)
        r = outcomes ? gc_evict_wait(store, used_keys_gather, is_used, &keys, outcomes) : -ENOMEM;
    if (r == 0)
        r = print_outcomes(&keys, outcomes);
    return first_error ? first_error : r;
}

const struct command command_evict = {
    .name = "evict",
    .synopsis = "KEY|NAME...",
    .summary = "remove templates from the store",
    .run = run,
    .operands_min = 1,
    .operands_max = OPERANDS_ANY,
    .operands_error = "wants the KEY or NAME of a template; mintfs gc evicts by use",
};
