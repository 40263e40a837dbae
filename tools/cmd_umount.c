/*
 * mintfs umount: a plain unmount, and the end of its daemon. A mount in use stays.
 */
#include <getopt.h>

#include "fs/client/daemon_control.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"
#include "tools/command.h"

int cmd_umount(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) >= 0;) {
        if (option == 'h')
            return command_help(argv[0]);
        return command_bad_option(argv[0], "", argv);
    }
    if (argc - optind > 1)
        return command_usage(argv[0], "takes one mount point, not also %s", argv[optind + 1]);
    AUTO_STORE struct store *store = NULL;
    /* What is named may be another store's mount. */
    int r = optind < argc ? store_open(&store) : store_open_existing(&store);
    if (r == 0 && !store)
        return EXIT_MISSING;
    if (r >= 0)
        r = daemon_take_away(store, optind < argc ? argv[optind] : NULL);
    return command_status(r);
}
