/*
 * mintfs pin and unpin: templates that gc leaves alone, and evict too.
 */
#include <getopt.h>

#include "fs/base/log.h"
#include "fs/store/catalog_pin.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/named.h"
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
    return r == -ENOENT ? log_fail(ENOENT, "template %.12s is gone, or damaged", key) : r;
}

static int set_all(int argc, char **argv, pin_function *set)
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
        return command_usage(argv[0], "wants the KEY or NAME of a template");
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    if (r == 0)
        return EXIT_MISSING;
    int first_error = r < 0 ? r : 0;
    for (int i = optind; r > 0 && i < argc; i++) {
        int one = set_one(store, argv[i], set);
        if (first_error == 0)
            first_error = one;
    }
    return command_status(first_error);
}

int cmd_pin(int argc, char **argv)
{
    return set_all(argc, argv, catalog_pin);
}

int cmd_unpin(int argc, char **argv)
{
    return set_all(argc, argv, catalog_unpin);
}
