#include "fs/overlay/lower_cache.h"

#include "fs/base/hash.h"

struct listed_lower {
    struct lower *lower; /* one reference */
    UT_hash_handle hh;   /* by key */
    char key[SHA256_HEX_LENGTH + 1];
};

void lower_cache_init(struct lower_cache *cache, const struct store *store)
{
    *cache = (struct lower_cache){.store = store};
    pthread_mutex_init(&cache->mutex, NULL);
}

/*
 * Returns the listed template with a reference, or NULL. If none is listed and `fresh` is given,
 * lists and takes over *fresh; when out of memory, returns NULL and leaves *fresh to the caller.
 */
static struct lower *find_lower(struct lower_cache *cache, const char *key,
                                struct listed_lower **fresh)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&cache->mutex);
    struct listed_lower *listed;
    HASH_FIND_STR(cache->listed, key, listed);
    if (!listed && fresh) {
        listed = steal_pointer(fresh);
        HASH_ADD_STR(cache->listed, key, listed);
        if (!HASH_ADDED(listed)) {
            *fresh = listed;
            return NULL;
        }
    }
    return listed ? lower_ref(listed->lower) : NULL;
}

/* Also drops the caller's reference. */
static void unlist_lower(struct lower_cache *cache, struct lower *lower)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&cache->mutex);
    struct listed_lower *listed;
    HASH_FIND_STR(cache->listed, lower_key(lower), listed);
    if (listed && listed->lower == lower) {
        HASH_DEL(cache->listed, listed);
        lower_unref(listed->lower);
        free(listed);
    }
    lower_unref(lower);
}

int lower_cache_get(struct lower_cache *cache, const char *key, struct lower **ret_lower)
{
    *ret_lower = find_lower(cache, key, NULL);
    if (*ret_lower && lower_is_current(*ret_lower))
        return 0;
    /* It was evicted since. The old object exists as long as it has references. */
    if (*ret_lower)
        unlist_lower(cache, *ret_lower);
    /* Opened without the lock, since its manifest may be long. */
    struct listed_lower *fresh = calloc(1, sizeof(*fresh));
    if (!fresh)
        return -ENOMEM;
    int r = lower_open(cache->store, key, &fresh->lower);
    if (r == 0) {
        (void)snprintf(fresh->key, sizeof(fresh->key), "%s", key);
        *ret_lower = find_lower(cache, key, &fresh);
        r = *ret_lower ? 0 : -ENOMEM;
        if (fresh)
            lower_unref(fresh->lower);
    }
    free(fresh);
    return r;
}

static void drop(struct lower_cache *cache, struct listed_lower *listed)
{
    HASH_DEL(cache->listed, listed);
    lower_unref(listed->lower);
    free(listed);
}

void lower_cache_drop_unused(struct lower_cache *cache)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&cache->mutex);
    struct listed_lower *listed;
    struct listed_lower *next;
    HASH_ITER (hh, cache->listed, listed, next) {
        lower_rest(listed->lower);
        if (lower_refs(listed->lower) == 1)
            drop(cache, listed);
    }
}

void lower_cache_fini(struct lower_cache *cache)
{
    struct listed_lower *listed;
    struct listed_lower *next;
    HASH_ITER (hh, cache->listed, listed, next) {
        lower_rest(listed->lower);
        drop(cache, listed);
    }
    pthread_mutex_destroy(&cache->mutex);
}
