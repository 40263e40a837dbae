#include "fs/overlay/prefetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/search.h"

enum {
    PROMISE_FIRST = 8, /* sessions */
    PROMISE_LAST = 128,
    SOON_SESSIONS = 2,    /* read again within this many sessions: nearly every session reads it */
    LONG_READ_BLOCKS = 8, /* longer reads are scans, and are ignored */
};

struct expected_block {
    fileblock_t block;
    uint32_t until;   /* the last session that it is handed to, or that read it */
    uint32_t promise; /* for how many sessions it is handed out; 0: read once */
};

struct prefetch {
    pthread_mutex_t mutex; /* innermost; guards what follows */
    uint32_t session;
    uint32_t count;
    struct expected_block blocks[PREFETCH_BLOCKS_MAX]; /* in order */
};

struct prefetch *prefetch_new(void)
{
    struct prefetch *prefetch = calloc(1, sizeof(*prefetch));
    if (prefetch)
        pthread_mutex_init(&prefetch->mutex, NULL);
    return prefetch;
}

void prefetch_free(struct prefetch *prefetch)
{
    if (!prefetch)
        return;
    pthread_mutex_destroy(&prefetch->mutex);
    free(prefetch);
}

static bool is_over(const struct prefetch *prefetch, const struct expected_block *known)
{
    return prefetch->session > known->until && prefetch->session - known->until > SOON_SESSIONS;
}

static void drop_old(struct prefetch *prefetch)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < prefetch->count; i++)
        if (!is_over(prefetch, &prefetch->blocks[i]))
            prefetch->blocks[kept++] = prefetch->blocks[i];
    prefetch->count = kept;
}

struct search {
    const struct expected_block *blocks;
    fileblock_t block;
};

static bool is_before(size_t index, const void *context)
{
    const struct search *search = context;
    return search->blocks[index].block < search->block;
}

/* The index of the block, or where it would be inserted. */
static uint32_t place_of(const struct prefetch *prefetch, fileblock_t block)
{
    struct search search = {.blocks = prefetch->blocks, .block = block};
    return (uint32_t)lower_bound(0, prefetch->count, is_before, &search);
}

static void note_one(struct prefetch *prefetch, fileblock_t block)
{
    uint32_t at = place_of(prefetch, block);
    if (at < prefetch->count && prefetch->blocks[at].block == block) {
        struct expected_block *known = &prefetch->blocks[at];
        if (prefetch->session <= known->until)
            return; /* handed out without effect, or read twice */
        if (is_over(prefetch, known))
            known->promise = 0;
        else if (known->promise < PROMISE_LAST)
            known->promise = known->promise ? known->promise * 2 : PROMISE_FIRST;
        known->until = prefetch->session + known->promise;
        return;
    }
    if (prefetch->count == PREFETCH_BLOCKS_MAX) {
        drop_old(prefetch);
        at = place_of(prefetch, block);
        if (prefetch->count == PREFETCH_BLOCKS_MAX)
            return;
    }
    memmove(prefetch->blocks + at + 1, prefetch->blocks + at,
            (prefetch->count - at) * sizeof(*prefetch->blocks));
    prefetch->blocks[at] = (struct expected_block){.block = block, .until = prefetch->session};
    prefetch->count++;
}

void prefetch_note(struct prefetch *prefetch, fileblock_t first, uint32_t count)
{
    if (!prefetch || count > LONG_READ_BLOCKS)
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&prefetch->mutex);
    for (uint32_t i = 0; i < count; i++)
        note_one(prefetch, first + i);
}

size_t prefetch_pick(struct prefetch *prefetch, fileblock_t ret_blocks[PREFETCH_BLOCKS_MAX])
{
    size_t count = 0;
    if (!prefetch)
        return 0;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&prefetch->mutex);
    prefetch->session++;
    for (uint32_t i = 0; i < prefetch->count; i++)
        if (prefetch->blocks[i].promise && prefetch->session <= prefetch->blocks[i].until)
            ret_blocks[count++] = prefetch->blocks[i].block;
    return count;
}
