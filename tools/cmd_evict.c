/*
 * mintfs evict: takes templates out of the store, by key or name.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/log.h"
#include "fs/client/gc_policy.h"
#include "fs/client/sessions.h"
#include "fs/client/used_keys.h"
#include "fs/store/named.h"
#include "tools/command.h"
#include "tools/output.h"

enum { REST_TRIES = 30, REST_NS = 100 * 1000 * 1000 };

static bool has_session(const struct session_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (!strcmp(table->rows[i].key, key))
            return true;
    return false;
}

/*
 * A daemon lets go of a template a moment after its last session: worth to wait for, if no session
 * is listed. 1: try again.
 */
static int may_rest(const struct store *store, const struct strlist *keys,
                    const enum gc_fate *fates)
{
    AUTO_SESSIONS struct session_table table = {0};
    bool any = false;
    for (size_t i = 0; i < keys->count; i++)
        any |= fates[i] == GC_IN_USE || fates[i] == GC_BUILDING;
    int r = any ? sessions_read(store, &table) : 0;
    for (size_t i = 0; r == 0 && i < keys->count; i++)
        if ((fates[i] == GC_IN_USE || fates[i] == GC_BUILDING) &&
            has_session(&table, keys->items[i]))
            return 0;
    return r < 0 ? r : any;
}

static int evict(const struct store *store, const struct strlist *keys, enum gc_fate *fates)
{
    const struct gc_options options = {.uses = used_keys_gather};
    int r = gc_evict(store, &options, keys, fates);
    for (int i = 0; r == 0 && i < REST_TRIES; i++) {
        AUTO_STRLIST struct strlist again = STRLIST_INIT;
        size_t of = 0;
        r = may_rest(store, keys, fates);
        if (r <= 0)
            return r;
        (void)nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        r = 0;
        enum gc_fate *results = calloc(keys->count, sizeof(*results));
        size_t *places = calloc(keys->count, sizeof(*places));
        if (!results || !places)
            r = -ENOMEM;
        for (size_t j = 0; r == 0 && j < keys->count; j++)
            if (fates[j] == GC_IN_USE || fates[j] == GC_BUILDING) {
                places[of++] = j;
                r = strlist_add(&again, keys->items[j]);
            }
        if (r == 0)
            r = gc_evict(store, &options, &again, results);
        for (size_t j = 0; r == 0 && j < of; j++)
            fates[places[j]] = results[j];
        free(results);
        free(places);
    }
    return r;
}

static int tell(const struct strlist *keys, const enum gc_fate *fates)
{
    int first_error = 0;
    for (size_t i = 0; i < keys->count; i++) {
        int r = 0;
        if (fates[i] == GC_EVICTED)
            printf("%s\n", keys->items[i]);
        else if (fates[i] == GC_GONE)
            r = log_fail(ENOENT, "template %.*s is gone already", SHOWN_KEY, keys->items[i]);
        else
            r = log_fail(EBUSY, "template %.*s stays: %s", SHOWN_KEY, keys->items[i],
                         gc_policy_fate(fates[i]));
        if (first_error == 0)
            first_error = r;
    }
    return first_error;
}

int cmd_evict(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        return command_bad_option(argv[0], "", argv);
    }
    if (optind == argc)
        return command_usage(argv[0], "wants the KEY or NAME of a template; mintfs gc goes by use");
    AUTO_STORE struct store *store = NULL;
    AUTO_STRLIST struct strlist keys = STRLIST_INIT;
    int first_error = 0;
    int r = store_open_existing(&store);
    if (r == 0)
        return EXIT_MISSING;
    r = r < 0 ? r : 0;
    for (int i = optind; r == 0 && i < argc; i++) {
        char key[SHA256_HEX_LENGTH + 1];
        int one = named_resolve(store, argv[i], key);
        if (one < 0 && first_error == 0)
            first_error = one;
        if (one == 0 && !strlist_contains(&keys, key))
            r = strlist_add(&keys, key);
    }
    AUTO_FREE enum gc_fate *fates = calloc(keys.count + 1, sizeof(*fates));
    if (r == 0)
        r = fates ? evict(store, &keys, fates) : -ENOMEM;
    if (r == 0)
        r = tell(&keys, fates);
    (void)fflush(stdout);
    return first_error || r < 0 ? command_status(first_error ? first_error : r) : command_flush();
}
