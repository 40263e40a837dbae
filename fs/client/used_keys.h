/*
 * Which templates are in use by sessions that no running daemon holds: sessions in a scratch
 * without a daemon, after an unmount or a kill, and plain copies, which need their template for a
 * reset.
 */
#ifndef MINTFS_CLIENT_USED_KEYS_H
#define MINTFS_CLIENT_USED_KEYS_H

#include "fs/base/cleanup.h"
#include "fs/base/strlist.h"
#include "fs/store/store.h"

/*
 * Appends the keys; some may be appended twice. A caller that holds a template's use lock
 * exclusively sees all sessions of it: a daemon writes a session's log before it releases its
 * shared lock. Errors are logged: -EPROTONOSUPPORT where a later mintfs wrote a log. Its type is
 * that of gc_uses.
 */
MUST_CHECK int used_keys_gather(const struct store *store, struct strlist *keys);

#endif
