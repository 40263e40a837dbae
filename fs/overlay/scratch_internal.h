/*
 * Inside the scratch: what its parts share. scratch.c holds templates and sessions, scratch_worker.c the
 * thread that tidies up, scratch_open.c the directory, scratch_recover.c the recovery of sessions.
 */
#ifndef MINTFS_OVERLAY_SCRATCH_INTERNAL_H
#define MINTFS_OVERLAY_SCRATCH_INTERNAL_H

#include "fs/base/hash.h"
#include "fs/base/lock.h"
#include "fs/overlay/blocks.h"
#include "fs/overlay/cookies.h"
#include "fs/overlay/overlay_internal.h"
#include "fs/overlay/scratch.h"

enum { LOG_NAME_LENGTH = 16 };

struct listed_session {
    struct cookie cookie; /* stays with the ID when another session takes it over */
    struct session *session;
    UT_hash_handle hh; /* by "KEY/ID" */
    char path[];
};

struct listed_lower {
    struct lower *lower; /* one reference */
    UT_hash_handle hh;   /* by key */
    char key[SHA256_HEX_LENGTH + 1];
};

struct scratch {
    const struct store *store;
    char *path;
    int dirfd;
    int logs_fd;
    bool has_kept_logs; /* of sessions that are not shown, since their template cannot be read */
    bool is_recorded;   /* in the store, since it lies elsewhere (scratch_registry.h) */
    struct lock lock;
    struct blocks *blocks;
    uint64_t session_limit_blocks;
    char boot_id[BOOT_ID_SIZE + 1];
    struct session_list all;

    pthread_mutex_t mutex;           /* guards what follows; taken before any session's lock */
    struct listed_session *sessions; /* in order of serials */
    struct cookies order;            /* of the same, as readdir shows them */
    struct listed_lower *lowers;
    uint64_t next_serial;
    uint64_t serials_end; /* up to here they are set aside */
    int serials_fd;
    uint64_t sessions_made;

    pthread_t worker;
    bool worker_runs;
    pthread_mutex_t work_mutex; /* innermost: guards the two below */
    pthread_cond_t work_wanted;
    bool wanted;
    bool stopping;
    atomic_bool closing; /* the same, for a trim under way */
};

/* A log's file name, from a session's serial. */
void scratch_fill_log_name(char name[LOG_NAME_LENGTH + 1], uint64_t serial);

/* With the mutex held, or before there are other threads. */
struct listed_session *scratch_find_listed(struct scratch *scratch, const char *key,
                                           const char *id);
MUST_CHECK int scratch_list_session(struct scratch *scratch, struct session *session);
/* Takes it off the list and discards it; its log is gone by now. */
void scratch_unlist_session(struct scratch *scratch, struct listed_session *listed);

/* Lets go of templates that no session stands on and that nobody else refers to; with `all`, of
 * every one. Takes the mutex. */
void scratch_drop_lowers(struct scratch *scratch, bool all);

/* scratch_open.c: one that no session of this scratch had before; with the mutex held. */
MUST_CHECK int scratch_take_serial(struct scratch *scratch, uint64_t *ret_serial);

/* scratch_recover.c: lists the sessions that a former daemon left. Errors are logged. */
MUST_CHECK int scratch_recover_all(struct scratch *scratch);

/* scratch_worker.c */
MUST_CHECK int scratch_start_worker(struct scratch *scratch);
void scratch_stop_worker(struct scratch *scratch);

#endif
