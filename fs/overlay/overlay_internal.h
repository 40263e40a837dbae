/*
 * Inside the overlay: what a session and its nodes are made of. Not for other layers.
 */
#ifndef MINTFS_OVERLAY_OVERLAY_INTERNAL_H
#define MINTFS_OVERLAY_OVERLAY_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "fs/overlay/blockmap.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/directory.h"
#include "fs/overlay/lower.h"
#include "fs/overlay/session.h"

/*
 * Node numbers: 1 is the session's directory, the template's entry i is 2 + i, and what the
 * session makes comes behind those. The inode number is the session's serial and this.
 */
enum { NODE_ROOT = 1, NODE_FIRST_ENTRY = 2 };

struct node {
    struct session *session;
    LIST_ENTRY(node) all; /* session.nodes; guarded by session.names */
    /* A directory's own; of a file that is as in the template, the one it lies in. The root: NULL.
     */
    struct node *parent;
    uint32_t number;
    uint32_t entry; /* entry of the template, LOWER_ROOT for the root, LOWER_NONE for new ones */
    uint64_t refs;  /* of the mount; guarded by session.names */
    uint32_t nlink; /* written under session.names and lock, read under either */
    mode_t type;    /* that of mode; never changes */
    bool named;     /* had a name once: without one it is gone for good. Guarded by session.names */
    atomic_bool changed; /* differs from the template's entry, or is new; never goes back */
    bool unlimited; /* counts against no limit: SQLite's shared memory. Set before it has bytes */
    bool logged;    /* has a name in the log: its changes are recorded. Guarded by lock */

    /* Guards what follows. */
    pthread_rwlock_t lock;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    int64_t atime_ns;
    int64_t mtime_ns;
    int64_t ctime_ns;
    int64_t recorded_mtime_ns; /* as the log tells it */

    uint64_t size_bytes;
    uint64_t lower_limit_bytes; /* absent blocks show the template's bytes below this, else zeros */
    struct blockmap map;
    uint32_t stored_blocks;
    unsigned opens;
    bool opened;  /* since it is in memory: the kernel may have pages of it */
    int lower_fd; /* of the template, while open; else -1 */

    union {
        struct directory *directory; /* guarded by session.names */
        char *target;                /* never changes */
    };
};

/* All sessions of a scratch that are in memory, discarded ones too, and what they share. */
struct session_list {
    uint64_t limit_blocks; /* for all together; 0: none */
    session_name_lost *name_lost;
    void *name_lost_context;
    atomic_uint_least64_t stored_blocks;
    /* Room that is set aside so that removing something can be recorded on a full disk. */
    int reserve_fd;
    pthread_mutex_t mutex; /* innermost; guards what follows */
    bool reserve_spent;
    LIST_HEAD(, session) sessions;
};
/* Takes the reserve; false if it is spent already. */
bool session_list_spend_reserve(struct session_list *list);
/* Sets it aside again, if there is room. */
void session_list_refill_reserve(struct session_list *list);

struct session {
    struct session_list *list;
    LIST_ENTRY(session) all;
    struct lower *lower;
    struct blocks *blocks; /* the scratch's */
    struct changelog *log;
    uint64_t serial;
    uint64_t owner; /* random: in the tags of its blocks, so that a serial may come twice */
    uid_t uid;      /* the user who made it, and who owns the template's files in it */
    gid_t gid;
    uint64_t limit_blocks; /* 0: none */
    atomic_uint_least64_t stored_blocks;
    atomic_uint open_files;
    /* One while it is listed in the scratch, and one for each node that the mount refers to. */
    atomic_uint_least64_t pins;
    atomic_bool discarded;     /* nothing is recorded any more */
    atomic_bool logged_damage; /* of the storage of its files: a message has been logged */
    bool rewrite_log;          /* as soon as recovery is done */
    atomic_int_least64_t used_ns;

    pthread_rwlock_t changes; /* shared by whoever appends to the log; exclusive: compaction */
    pthread_mutex_t names;    /* guards directories, nlink, refs and what follows */
    LIST_HEAD(, node) nodes;
    struct node *root;
    uint32_t next_number;
    struct session_lease lease;
    uint32_t replaced; /* see struct identity_record */
    char boot_id[BOOT_ID_SIZE + 1];
    char id[SESSION_ID_MAX + 1];
};

/* By its name, before it is written to: see struct node, unlimited. */
void node_note_name(struct node *node, const char *name);

/* A time for stamps: coarse, so that several changes in one tick make one flush. */
int64_t node_now_ns(void);

/* A node with nothing in it, listed in the session; session.names held. */
MUST_CHECK int node_new(struct session *session, uint32_t number, uint32_t entry, mode_t mode,
                        struct node **ret_node);
/* As the template's entry has it, without a place in a directory; session.names held. */
MUST_CHECK int node_from_entry(struct session *session, uint32_t entry, struct node **ret_node);
/* The child of that name, made from the template if need be; -ENOENT. session.names held. */
MUST_CHECK int node_child(struct node *directory, const char *name, struct node **ret_node);
bool node_is_directory(const struct node *node);
uint64_t node_ino(const struct node *node);
/* Sets nlink, and whether changes are recorded; session.names held. */
void node_set_nlink(struct node *node, uint32_t nlink);
/* Gives its blocks back unless the daemon is going (`keep`), and frees it. session.names held. */
void node_free(struct node *node, bool keep_blocks);
/* Frees the node if nothing needs it: no name, no reference; or unchanged and unreferenced. */
void node_drop_if_unused(struct node *node);
/* A reference for the mount; session.names held. */
void node_ref_held(struct node *node);

/* Cuts or lengthens the file as a truncation; what is cut off is given back. node.lock held. */
void file_apply_size(struct node *node, uint64_t size_bytes, uint64_t lower_limit_bytes);
/* Gives all of its blocks back. node.lock held, or nobody else there. */
void file_release_all(struct node *node);
/* Zeroes what stored blocks hold behind the end, before the file grows. node.lock held. */
MUST_CHECK int file_zero_tail(struct node *node, uint64_t new_size_bytes);

/*
 * Records the time of its last change, if the log tells it with an error of more than that. Where
 * that fails (a full disk), only the time is lost. session.changes and node.lock held.
 */
void file_record_time(struct node *node, int64_t tolerance_ns);
/* Lengthens it, with zeros, and records that. node.lock held. */
MUST_CHECK int file_grow(struct node *node, uint64_t size_bytes);
/*
 * Stores [offset, end), with these bytes or (NULL) as it is; the size becomes at least size_bytes.
 * session.changes and node.lock held.
 */
MUST_CHECK int file_store_range(struct node *node, const char *bytes, uint64_t offset, uint64_t end,
                                uint64_t size_bytes);
/* Gives the storage of a run back, if it has any; a blockmap_visitor. The map is the caller's. */
void file_release_run(fileblock_t at, uint32_t count, block_t block, void *node);

/* For recovery and compaction: the attributes as a record. node.lock or session.changes held. */
void node_fill_record(const struct node *node, struct node_record *ret_record);
/* The tag of the file's blocks from `at` on. */
struct block_tag node_tag(const struct node *node, fileblock_t at);
/* Adds the node and all its extents to a frame. */
void node_add_whole(const struct node *node, struct frame *frame);

/* Appends unless the session is discarded. session.changes held, shared. */
MUST_CHECK int session_record(struct session *session, const struct frame *frame);
/* To be called with no lock held after changes: compacts the log when it is long, and rests it. */
void session_after_change(struct session *session);
/* Writes the log anew, if it is long; with `force`, however long it is. */
MUST_CHECK int session_compact(struct session *session, bool force);
void session_add_header(const struct session *session, struct frame *frame);
/* Notes that somebody uses it. */
void session_touch(struct session *session);
/* Takes an ID, with a lease: that of the session of that serial, whose place it takes (0: of none).
 * Recorded. */
MUST_CHECK int session_take_id(struct session *session, const char *id, uint64_t replaced,
                               const struct session_lease *lease);

/*
 * For scratch.c and session_replay.c: a session with its root and without a log, pinned once for the
 * scratch that lists it. A reference to the lower is kept, and it is held.
 */
struct session_place {
    struct session_list *list;
    struct blocks *blocks;
    struct lower *lower;
    const char *id;
    uid_t uid;
    gid_t gid;
    uint64_t serial;
    uint64_t owner;
    uint64_t limit_blocks;
};
/* For a new one. Never the owner of a log of an older version, which is its serial. */
MUST_CHECK int session_make_owner(uint64_t *ret_owner);
MUST_CHECK int session_new(const struct session_place *place, struct session **ret_session);
/* For a new one: begins the log, whose file is NAME below dirfd. */
MUST_CHECK int session_begin_log(struct session *session, int dirfd, const char *name,
                                 const char *boot_id);
/* Removes the log: from then on there is no such session. Nothing has happened on an error. */
MUST_CHECK int session_retire(struct session *session);
/* Of a retired one: all that nobody refers to is freed, the rest when that ends. */
void session_discard(struct session *session);
/* One pin less; the last one frees the session. What a log still tells keeps its blocks. */
void session_unpin(struct session *session);
/* At the end, when nobody comes back: whatever pins it. */
void session_free(struct session *session);

/* session_replay.c: the session that a log tells of. */
struct recovery {
    struct session_list *list;
    int dirfd; /* of the logs */
    const char *name;
    struct blocks *blocks;
    uint64_t limit_blocks;
    const char *boot_id;
    int (*find_lower)(const char *key, struct lower **ret_lower, void *context);
    void *context;
    uint64_t rival; /* set where an old log's block is another's: the owner; else left alone */
};
/*
 * -ESTALE: of another boot; -ENOENT: its template is gone; -EXDEV: another was built under its key
 * since; -EBADMSG: damaged, or it names blocks that are not its own any more; -EPROTONOSUPPORT. 1: it
 * is there, but for its last change, which was damaged.
 */
MUST_CHECK int session_recover(struct recovery *recovery, struct session **ret_session);
/* Of a log that cannot be recovered now: what it tells of is kept from use, where it is free. */
MUST_CHECK int session_keep_blocks(struct recovery *recovery);

#endif
