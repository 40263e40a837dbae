/*
 * Inside the overlay: what a session and its nodes are made of. Data only: each module declares its
 * functions in its own header. Not for other layers.
 */
#ifndef MINTFS_OVERLAY_OVERLAY_INTERNAL_H
#define MINTFS_OVERLAY_OVERLAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/base/process.h"
#include "fs/overlay/blockmap.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/directory.h"
#include "fs/overlay/lower.h"
#include "fs/store/session_id.h"
#include "fs/store/session_lease.h"

/*
 * Node numbers: 1 is the session's directory, the template's entry i is 2 + i, and the nodes that
 * the session creates follow. The inode number is made of the session's serial and this number.
 */
enum { NODE_ROOT = 1, NODE_FIRST_ENTRY = 2 };

struct node {
    struct session *session;
    LIST_ENTRY(node) all; /* session.nodes; guarded by session.names */
    /* Set in a directory, and in a file that is as in the template. NULL in the root. */
    struct node *parent;
    uint32_t number;
    uint32_t entry; /* in the template; LOWER_ROOT for the root, LOWER_NONE for new nodes */
    uint64_t refs;  /* references of the mount; guarded by session.names */
    uint32_t nlink; /* written under session.names and lock, read under either */
    mode_t type;    /* the type bits of mode; never changes */
    bool named; /* has had a name; cannot be linked again without one. Guarded by session.names */
    atomic_bool changed; /* differs from the template's entry, or is new; never reset */
    bool unlimited;      /* exempt from limits: SQLite's shared memory. Set before it has bytes */
    bool logged;         /* has a name in the log, so its changes are recorded. Guarded by lock */

    /* Guards what follows. */
    pthread_rwlock_t lock;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
    int64_t recorded_mtime_ns; /* the one in the log */

    uint64_t size_bytes;
    uint64_t lower_limit_bytes; /* absent blocks show the template below this, zeros above */
    struct blockmap map;
    uint32_t stored_blocks;
    unsigned opens;
    bool opened;  /* has been opened: the kernel may have cached pages of it */
    int lower_fd; /* of the template, while open; else -1 */

    union {
        struct directory *directory; /* guarded by session.names */
        char *target;                /* never changes */
    };
};

/* All sessions of a scratch that are in memory, including discarded ones, and what they share. */
struct session_list {
    uint64_t limit_blocks; /* for all together; 0: none */
    bool (*name_lost)(struct node *directory, const char *name, void *context); /* scratch.h */
    void *name_lost_context;
    atomic_uint_least64_t stored_blocks;
    /* Space that is set aside so that a removal can be recorded on a full disk. */
    int reserve_fd;
    pthread_mutex_t mutex; /* innermost; guards what follows */
    bool reserve_spent;
    LIST_HEAD(, session) sessions;
};

struct session {
    struct session_list *list;
    LIST_ENTRY(session) all;
    struct lower *lower;
    struct blocks *blocks; /* the scratch's */
    struct changelog *log;
    uint64_t serial;
    uint64_t owner; /* random, for the tags of its blocks: serials repeat if their file is lost */
    uid_t uid;      /* the user who made the session and owns the template's files in it */
    gid_t gid;
    uint64_t limit_blocks; /* 0: none */
    atomic_uint_least64_t stored_blocks;
    atomic_uint open_files;
    /* One while the scratch lists it, and one for each node with references. */
    atomic_uint_least64_t pins;
    atomic_bool discarded;     /* changes are no longer recorded */
    atomic_bool logged_damage; /* a message about damaged storage has been logged */
    bool rewrite_log;          /* recovery will rewrite the log at its end */
    atomic_int_least64_t used_ns;

    /* In the order in which they are taken, then node.lock: see session.h. */
    pthread_rwlock_t changes; /* shared: a change that appends to the log; exclusive: compaction */
    pthread_mutex_t names;    /* guards directories, nlink, refs and what follows */
    LIST_HEAD(, node) nodes;
    struct node *root;
    uint32_t next_number;
    struct session_lease lease;
    uint32_t replaced; /* see struct identity_record */
    char boot_id[BOOT_ID_SIZE + 1];
    char id[SESSION_ID_MAX + 1];
};

#endif
