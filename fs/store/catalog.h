/*
 * The catalog: what the store knows of its templates beyond their own files: which are known to be
 * whole, names, use, time saved. An SQLite database, v1/catalog.db.
 *
 * It is a convenience, never the truth about what exists: that is templates/ itself. Missing,
 * truncated or damaged, it is rebuilt from the manifests, and one line says so; what has its name and
 * is not a file is put aside before (fs/store/catalog_place.h). One of a later
 * mintfs is refused and left alone: -EPROTONOSUPPORT, said, by every function here.
 *
 * On a full disk, where its journal cannot be written, that is kept in memory: who is killed then
 * may leave a damaged catalog, and who waits for room could not even evict.
 *
 * One that another process keeps locked is waited for, with a line, and at last refused: -EBUSY, said.
 *
 * Safe from several threads and processes at once; the catalog may be rebuilt by another process
 * at any moment. Its connection is opened with the first use and never carried over fork().
 */
#ifndef MINTFS_STORE_CATALOG_H
#define MINTFS_STORE_CATALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/age.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"

struct catalog;

/* For store.c. `store` is borrowed for the life of the catalog. */
MUST_CHECK int catalog_new(struct store *store, struct catalog **ret_catalog);
void catalog_free(struct catalog *catalog);

/* Closes the database until its next use: some file systems keep a file that is open when it is
 * removed, so that its directory cannot go. */
void catalog_close(struct catalog *catalog);

/*
 * What ages are counted to now (fs/store/age.h); nothing is written. catalog_note_time() records
 * the reading, as each use of a template does.
 */
MUST_CHECK int catalog_age_now(struct catalog *catalog, struct age_reading *ret_reading);
MUST_CHECK int catalog_note_time(struct catalog *catalog);

enum catalog_state {
    CATALOG_GOOD,
    CATALOG_ABSENT,     /* the next use makes it */
    CATALOG_REPAIRABLE, /* the next use repairs or rebuilds it */
    CATALOG_UNUSABLE,   /* all uses fail */
};

/*
 * For `mintfs doctor`: looks at the catalog and repairs nothing. `ret_text`, the caller's, is set for
 * the last two: what is wrong, and for the last one the way out; NULL where there is no memory. Not
 * while this process has the catalog open, whose locks it would free.
 */
enum catalog_state catalog_inspect(const struct store *store, char **ret_text);
/* Reads it all, so that it is repaired now if need be. */
MUST_CHECK int catalog_repair(struct catalog *catalog);

/* SQLite's, as the one that runs says. */
const char *catalog_library_version(void);

/*
 * 1: the template's files, as they were at that fingerprint, were found to match its manifest; 0: not
 * known, or not known yet.
 */
MUST_CHECK int catalog_is_verified(struct catalog *catalog, const char *key, int64_t fingerprint);
/* The same of whatever files it once had: no file has to be looked at for that. */
MUST_CHECK int catalog_was_verified(struct catalog *catalog, const char *key);

/*
 * Enters a template whose files matched its manifest at that fingerprint. `built_now`: this process made it, so it
 * counts as a miss and a build, and was used now; else it came from elsewhere. `name`, if not NULL,
 * follows it.
 */
MUST_CHECK int catalog_add(struct catalog *catalog, const struct manifest *manifest,
                           int64_t fingerprint, bool built_now, const char *name);

/* Sets what the row says of the template anew from its manifest and its pin; its use stays. */
MUST_CHECK int catalog_refresh(struct catalog *catalog, const struct manifest *manifest);

/*
 * Counts a hit: last use, the time saved, the name, which follows. 1, or 0 where the template is
 * not known to be whole: then nothing is counted.
 */
MUST_CHECK int catalog_hit(struct catalog *catalog, const char *key, const char *name);

/* An ask for a template that was not there and that the builder then failed to make. */
MUST_CHECK int catalog_count_failure(struct catalog *catalog);

/* What a daemon, or a command that makes a copy, has done since it last told. */
MUST_CHECK int catalog_count_use(struct catalog *catalog, uint64_t sessions, uint64_t requests);

/* The template was used now: gc goes by that. */
MUST_CHECK int catalog_touch(struct catalog *catalog, const char *key);

/* What gc reads; see fs/store/pin.h. -ENOENT, unsaid, where the catalog knows no such template. */
MUST_CHECK int catalog_pin(struct catalog *catalog, const char *key, bool pinned);

/* The name stands for the template from now on, or with key NULL for none (-ENOENT: it did not). */
MUST_CHECK int catalog_name(struct catalog *catalog, const char *name, const char *key);

/*
 * Takes templates out of the catalog and out of the store in one step that no hit can come
 * between: each row that nobody has used, pinned or changed since it was read (by its last_used_ns)
 * is deleted with its names, and `move` takes the template away; where move fails the row stays.
 * `result` tells of each. Whoever calls holds the templates' locks (fs/store/gc.c). Nothing of this
 * takes room: a full disk is where it is needed most.
 */
typedef int catalog_mover(const char *key, void *context);
struct catalog_eviction {
    const char *key;
    int64_t last_used_ns; /* as it was read; -1: whatever it is */
    int result; /* 0: gone; -EAGAIN: used or pinned meanwhile; else what `move` answered */
};
MUST_CHECK int catalog_evict(struct catalog *catalog, struct catalog_eviction *evictions,
                             size_t count, catalog_mover *move, void *context);

/* What an eviction took away, once its room is there again: the day's row may need some. */
MUST_CHECK int catalog_count_evicted(struct catalog *catalog, uint64_t templates, uint64_t bytes);

/*
 * Brings the catalog in line with the store: rows of templates that are gone go, and templates
 * that it has not met are entered as not yet checked. *ret_entered and *ret_gone may be NULL.
 */
MUST_CHECK int catalog_reconcile(struct catalog *catalog, size_t *ret_entered, size_t *ret_gone);

/* The template is gone, and with it the names that stood for it. */
MUST_CHECK int catalog_forget(struct catalog *catalog, const char *key);

/* -ENOENT, unsaid, where the name stands for nothing. */
MUST_CHECK int catalog_key_of_name(struct catalog *catalog, const char *name,
                                   char ret_key[SHA256_HEX_LENGTH + 1]);

/* Each name in order; stops at the first non-zero answer and returns it. */
typedef int catalog_name_visitor(const char *name, const char *key, void *context);
MUST_CHECK int catalog_each_name(struct catalog *catalog, catalog_name_visitor *visit,
                                 void *context);

struct catalog_row {
    char key[SHA256_HEX_LENGTH + 1];
    char *file;    /* borrowed while visited, as the next */
    char *names;   /* in order, with a space between; "" if there is none */
    char *label;   /* the name at its build, or "" */
    char *made_by; /* the builder's words */
    uint64_t size_bytes;
    uint64_t file_count;
    int64_t created_ns;
    int64_t build_time_ns;
    int64_t last_used_ns;
    int64_t saved_ns;
    int64_t hits;
    bool pinned;
    bool verified;
};

/* Each template, the one used last first; as catalog_each_name. */
typedef int catalog_visitor(const struct catalog_row *row, void *context);
MUST_CHECK int catalog_each(struct catalog *catalog, catalog_visitor *visit, void *context);

/* Bytes of all templates, and when the one that has not been used for longest was used. */
MUST_CHECK int catalog_totals(struct catalog *catalog, uint64_t *ret_bytes, int64_t *ret_oldest_ns);

/* Sums over a day; as SQLite spells it, YYYY-MM-DD in local time. */
struct catalog_day {
    char day[16];
    int64_t hits;
    int64_t misses; /* asks that found nothing: builds, and builders that failed */
    int64_t builds;
    int64_t build_time_ns;
    int64_t saved_ns;
    int64_t built_bytes;
    int64_t evicted;
    int64_t evicted_bytes;
    int64_t sessions;
    int64_t requests;
};
/* In order; as catalog_each_name. */
typedef int catalog_day_visitor(const struct catalog_day *day, void *context);
MUST_CHECK int catalog_each_day(struct catalog *catalog, catalog_day_visitor *visit, void *context);

#endif
