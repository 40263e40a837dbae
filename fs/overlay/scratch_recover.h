/*
 * Recovers the sessions that an earlier daemon left in a scratch.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_RECOVER_H
#define MINTFS_OVERLAY_SCRATCH_RECOVER_H

#include "fs/overlay/scratch_internal.h"

/*
 * Recovers them and adds them to the table. No other thread may use the scratch yet. Errors are
 * logged.
 */
MUST_CHECK int scratch_recover_all(struct scratch *scratch);

#endif
