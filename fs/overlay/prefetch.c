#include "fs/overlay/prefetch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/cleanup.h"

enum {
    PROMISE_FIRST = 8, /* sessions */
    PROMISE_LAST = 128,
    SOON_SESSIONS = 2,    /* asked for again within so many: nearly every session does */
    LONG_READ_BLOCKS = 8, /* a scan is no hint */
};

struct hot_block {
    fileblock_t block;
    uint32_t until;   /* the last session that it is handed to, or that asked for it */
    uint32_t promise; /* for how many sessions it was; 0: asked for once */
};

struct prefetch {
    pthread_mutex_t mutex; /* guards what follows */
    uint32_t session;
    uint32_t count;
    struct hot_block blocks[HOT_BLOCKS_MAX]; /* in order */
};

struct prefetch *prefetch_new(void)
{
    struct prefetch *hot = calloc(1, sizeof(*hot));
    if (hot)
        pthread_mutex_init(&hot->mutex, NULL);
    return hot;
}

void prefetch_free(struct prefetch *hot)
{
    if (!hot)
        return;
    pthread_mutex_destroy(&hot->mutex);
    free(hot);
}

static bool is_over(const struct prefetch *hot, const struct hot_block *known)
{
    return hot->session > known->until && hot->session - known->until > SOON_SESSIONS;
}

static void drop_old(struct prefetch *hot)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < hot->count; i++)
        if (!is_over(hot, &hot->blocks[i]))
            hot->blocks[kept++] = hot->blocks[i];
    hot->count = kept;
}

/* Where the block is, or where it belongs. */
static uint32_t place_of(const struct prefetch *hot, fileblock_t block)
{
    uint32_t low = 0;
    uint32_t high = hot->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (hot->blocks[middle].block < block)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void note_one(struct prefetch *hot, fileblock_t block)
{
    uint32_t at = place_of(hot, block);
    if (at < hot->count && hot->blocks[at].block == block) {
        struct hot_block *known = &hot->blocks[at];
        if (hot->session <= known->until)
            return; /* handed over in vain, or asked for twice */
        if (is_over(hot, known))
            known->promise = 0;
        else if (known->promise < PROMISE_LAST)
            known->promise = known->promise ? known->promise * 2 : PROMISE_FIRST;
        known->until = hot->session + known->promise;
        return;
    }
    if (hot->count == HOT_BLOCKS_MAX) {
        drop_old(hot);
        at = place_of(hot, block);
        if (hot->count == HOT_BLOCKS_MAX)
            return;
    }
    memmove(hot->blocks + at + 1, hot->blocks + at, (hot->count - at) * sizeof(*hot->blocks));
    hot->blocks[at] = (struct hot_block){.block = block, .until = hot->session};
    hot->count++;
}

void prefetch_note(struct prefetch *hot, fileblock_t first, uint32_t count)
{
    if (!hot || count > LONG_READ_BLOCKS)
        return;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&hot->mutex);
    for (uint32_t i = 0; i < count; i++)
        note_one(hot, first + i);
}

size_t prefetch_pick(struct prefetch *hot, fileblock_t ret_blocks[HOT_BLOCKS_MAX])
{
    size_t count = 0;
    if (!hot)
        return 0;
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&hot->mutex);
    hot->session++;
    for (uint32_t i = 0; i < hot->count; i++)
        if (hot->blocks[i].promise && hot->session <= hot->blocks[i].until)
            ret_blocks[count++] = hot->blocks[i].block;
    return count;
}
