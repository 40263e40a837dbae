/*
 * mintfs umount: unmounts, and waits until the daemon has ended. Refuses if the mount is in use.
 */
#include "fs/client/daemon_control.h"
#include "fs/store/store_open.h"
#include "tools/command.h"

static int run(const struct arguments *arguments)
{
    const char *place = arguments->operands[0];
    AUTO_STORE struct store *store = NULL;
    /* A named mount point may be that of another store. */
    int r = place ? store_open(&store) : store_open_existing(&store);
    if (r < 0)
        return r;
    return store ? daemon_stop(store, place) : -ENOENT;
}

const struct command command_umount = {
    .name = "umount",
    .synopsis = "[MNT]",
    .summary = "unmount the store and end its daemon",
    .run = run,
    .operands_max = 1,
    .operands_error = "takes one mount point",
};
