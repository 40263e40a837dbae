#include "fs/overlay/blockmap.h"

#include <stdbool.h>
#include <string.h>

/* Small, since a test changes few blocks, far apart: each costs a leaf and a branch or two. */
enum { FANOUT_BITS = 4, FANOUT = 1 << FANOUT_BITS };

struct leaf {
    block_t block[FANOUT];
};

struct branch {
    void *child[FANOUT];
};

/* How many blocks of the file a tree of that height covers. */
static uint64_t span(unsigned height)
{
    return (uint64_t)1 << (FANOUT_BITS * height);
}

static unsigned slot_of(fileblock_t at, unsigned level)
{
    return at >> (FANOUT_BITS * (level - 1)) & (FANOUT - 1);
}

static void free_level(void *place, unsigned level)
{
    if (!place)
        return;
    if (level > 1) {
        struct branch *branch = place;
        for (int i = 0; i < FANOUT; i++)
            free_level(branch->child[i], level - 1);
    }
    free(place);
}

void blockmap_free(struct blockmap *map)
{
    free_level(map->root, map->height);
    *map = (struct blockmap){0};
}

/* The leaf, or NULL if there is none; *ret_end is the first block after it, or after the gap. */
static struct leaf *find_leaf(const struct blockmap *map, fileblock_t at, uint64_t *ret_end)
{
    *ret_end = UINT64_MAX;
    if (!map->height || at >= span(map->height))
        return NULL;
    void *place = map->root;
    unsigned level = map->height;
    for (; level > 1 && place; level--)
        place = ((struct branch *)place)->child[slot_of(at, level)];
    *ret_end = (at / span(level) + 1) * span(level);
    return place;
}

block_t blockmap_get(const struct blockmap *map, fileblock_t at)
{
    uint64_t end;
    const struct leaf *leaf = find_leaf(map, at, &end);
    return leaf ? leaf->block[at % FANOUT] : BLOCK_ABSENT;
}

static bool continues(block_t first, block_t block, uint32_t distance)
{
    return first >= BLOCK_LIMIT ? block == first : block == first + distance;
}

uint32_t blockmap_run(const struct blockmap *map, fileblock_t at, uint32_t limit,
                      block_t *ret_block)
{
    block_t first = blockmap_get(map, at);
    uint64_t end = (uint64_t)at + limit;
    uint64_t next = at;
    *ret_block = first;
    while (next < end) {
        uint64_t stop;
        const struct leaf *leaf = find_leaf(map, (fileblock_t)next, &stop);
        if (!leaf && first != BLOCK_ABSENT)
            break;
        if (stop > end)
            stop = end;
        if (!leaf)
            next = stop;
        while (next < stop && continues(first, leaf->block[next % FANOUT], (uint32_t)(next - at)))
            next++;
        if (next < stop)
            break;
    }
    return (uint32_t)(next - at);
}

static void *new_leaf(void)
{
    struct leaf *leaf = malloc(sizeof(*leaf));
    if (leaf)
        memset(leaf, 0xff, sizeof(*leaf)); /* BLOCK_ABSENT everywhere */
    return leaf;
}

static int raise_height(struct blockmap *map, fileblock_t last)
{
    if (!map->height) {
        map->root = new_leaf();
        if (!map->root)
            return -ENOMEM;
        map->height = 1;
    }
    while (last >= span(map->height)) {
        struct branch *branch = calloc(1, sizeof(*branch));
        if (!branch)
            return -ENOMEM;
        branch->child[0] = map->root;
        map->root = branch;
        map->height++;
    }
    return 0;
}

static int reserve_leaf(struct blockmap *map, fileblock_t at)
{
    void **place = &map->root;
    for (unsigned level = map->height; level > 1; level--) {
        struct branch *branch = *place;
        place = &branch->child[slot_of(at, level)];
        if (!*place)
            *place = level == 2 ? new_leaf() : calloc(1, sizeof(struct branch));
        if (!*place)
            return -ENOMEM;
    }
    return 0;
}

int blockmap_reserve(struct blockmap *map, fileblock_t at, uint32_t count)
{
    uint64_t end = (uint64_t)at + count;
    int r = raise_height(map, (fileblock_t)(end - 1));
    for (uint64_t i = at; r == 0 && i < end; i += FANOUT - i % FANOUT)
        r = reserve_leaf(map, (fileblock_t)i);
    return r;
}

void blockmap_set(struct blockmap *map, fileblock_t at, uint32_t count, block_t block)
{
    uint64_t end = (uint64_t)at + count;
    for (uint64_t next = at; next < end;) {
        uint64_t stop;
        struct leaf *leaf = find_leaf(map, (fileblock_t)next, &stop);
        if (stop > end)
            stop = end;
        if (!leaf) /* already absent, and only BLOCK_ABSENT may be set unreserved */
            next = stop;
        for (; next < stop; next++)
            leaf->block[next % FANOUT] =
                block >= BLOCK_LIMIT ? block : block + (block_t)(next - at);
    }
}

/* Frees what is wholly past `from`, a block number within this subtree, and cuts the rest. */
static void cut_level(void *place, unsigned level, uint64_t from)
{
    if (!place)
        return;
    if (level == 1) {
        struct leaf *leaf = place;
        for (uint64_t i = from; i < FANOUT; i++)
            leaf->block[i] = BLOCK_ABSENT;
        return;
    }
    struct branch *branch = place;
    uint64_t child_span = span(level - 1);
    for (uint64_t i = from / child_span; i < FANOUT; i++) {
        if (i * child_span >= from) {
            free_level(branch->child[i], level - 1);
            branch->child[i] = NULL;
        } else {
            cut_level(branch->child[i], level - 1, from - i * child_span);
        }
    }
}

void blockmap_cut(struct blockmap *map, fileblock_t from)
{
    if (from == 0)
        blockmap_free(map);
    else if (map->height && from < span(map->height))
        cut_level(map->root, map->height, from);
}

struct walk {
    blockmap_visitor *visit;
    void *context;
    fileblock_t at;
    uint32_t count; /* of the current run */
    block_t block;
};

static void walk_flush(struct walk *walk)
{
    if (walk->count)
        walk->visit(walk->at, walk->count, walk->block, walk->context);
    walk->count = 0;
}

static void walk_leaf(struct walk *walk, const struct leaf *leaf, fileblock_t base,
                      fileblock_t from)
{
    for (unsigned i = 0; i < FANOUT; i++) {
        block_t block = leaf->block[i];
        fileblock_t at = base + i;
        if (block == BLOCK_ABSENT || at < from)
            continue;
        if (walk->count && walk->at + walk->count == at &&
            continues(walk->block, block, walk->count)) {
            walk->count++;
            continue;
        }
        walk_flush(walk);
        walk->at = at;
        walk->count = 1;
        walk->block = block;
    }
}

static void walk_level(struct walk *walk, const void *place, unsigned level, fileblock_t base,
                       fileblock_t from)
{
    if (!place || base + (span(level) - 1) < from)
        return;
    if (level == 1) {
        walk_leaf(walk, place, base, from);
        return;
    }
    const struct branch *branch = place;
    for (unsigned i = 0; i < FANOUT; i++)
        walk_level(walk, branch->child[i], level - 1, base + (fileblock_t)(i * span(level - 1)),
                   from);
}

void blockmap_each(const struct blockmap *map, fileblock_t from, blockmap_visitor *visit,
                   void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    if (map->height)
        walk_level(&walk, map->root, map->height, 0, from);
    walk_flush(&walk);
}
