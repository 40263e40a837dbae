#include "fs/mount/store_listing.h"

#include <string.h>
#include <sys/stat.h>

#include "fs/base/hash.h"
#include "fs/base/sha256.h"
#include "fs/overlay/cookies.h"
#include "fs/store/template.h"

/* For d_ino only; outside the range of all other inode numbers (tree.h). */
#define LISTED_INO ((uint64_t)1 << 63)

struct listed {
    struct cookie cookie;
    mode_t type;     /* S_IFDIR: a key, S_IFLNK: a name */
    uint64_t synced; /* the number of the last sync that found it */
    UT_hash_handle hh;
    char text[SHA256_HEX_LENGTH + 1];
};

struct listing {
    const struct store *store;
    /*
     * Guards the fields below. Held while the store is read, so that one sync does not overtake
     * another. Of other locks, only the catalog's is taken while it is held.
     */
    pthread_mutex_t mutex;
    struct listed *by_text;
    struct cookies order;
    uint64_t syncs;
};

int listing_new(const struct store *store, struct listing **ret_listing)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    if (!listing)
        return -ENOMEM;
    listing->store = store;
    pthread_mutex_init(&listing->mutex, NULL);
    cookies_init(&listing->order, 0);
    *ret_listing = listing;
    return 0;
}

void listing_free(struct listing *listing)
{
    if (!listing)
        return;
    HASH_CLEAR(hh, listing->by_text);
    for (size_t i = 0; i < listing->order.listed.count; i++)
        free(listing->order.listed.items[i]);
    cookies_fini(&listing->order);
    pthread_mutex_destroy(&listing->mutex);
    free(listing);
}

static int note(struct listing *listing, const char *text, mode_t type)
{
    struct listed *listed;
    HASH_FIND_STR(listing->by_text, text, listed);
    if (!listed) {
        int r = cookies_reserve(&listing->order, 1);
        if (r < 0)
            return r;
        listed = calloc(1, sizeof(*listed));
        if (!listed)
            return -ENOMEM;
        (void)snprintf(listed->text, sizeof(listed->text), "%s", text);
        listed->type = type;
        HASH_ADD_STR(listing->by_text, text, listed);
        if (!HASH_ADDED(listed)) {
            free(listed);
            return -ENOMEM;
        }
        cookies_add(&listing->order, &listed->cookie);
    }
    listed->synced = listing->syncs;
    return 0;
}

static int note_key(const char *text, const char *key UNUSED, void *context)
{
    return note(context, text, S_IFDIR);
}

static int note_name(const char *text, const char *key UNUSED, void *context)
{
    return note(context, text, S_IFLNK);
}

/* On an error, entries that were known before stay. */
static int sync_with_store(struct listing *listing)
{
    listing->syncs++;
    int r = template_each_name(listing->store, note_name, listing);
    if (r == 0)
        r = template_each_key(listing->store, note_key, listing);
    if (r < 0)
        return r;
    for (size_t i = listing->order.listed.count; i-- > 0;) {
        struct listed *listed = (struct listed *)listing->order.listed.items[i];
        if (listed->synced == listing->syncs)
            continue;
        HASH_DEL(listing->by_text, listed);
        cookies_remove(&listing->order, &listed->cookie);
        free(listed);
    }
    return 0;
}

int listing_readdir(struct listing *listing, uint64_t cookie, session_visitor *visit, void *context)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&listing->mutex);
    int r = cookie <= COOKIE_PARENT ? sync_with_store(listing) : 0;
    for (uint32_t i = cookies_after(&listing->order, cookie); r == 0 && i-- > 0;) {
        const struct listed *listed = (struct listed *)listing->order.listed.items[i];
        if (!visit(listed->text, LISTED_INO + listed->cookie.value, listed->type,
                   listed->cookie.value, context))
            break;
    }
    return r;
}
