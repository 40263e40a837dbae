#include "fs/overlay/cookies.h"

#include <errno.h>
#include <string.h>

#include "fs/base/search.h"

/* Far more than fit in memory, far fewer than there are cookies. */
enum { LISTED_MAX = 1 << 29 };

void cookies_init(struct cookies *cookies, uint32_t above)
{
    *cookies = (struct cookies){.end = COOKIE_LAST + 1 - above, .next = COOKIE_LAST - above};
}

void cookies_fini(struct cookies *cookies)
{
    vector_fini(&cookies->listed);
    *cookies = (struct cookies){0};
}

int cookies_reserve(struct cookies *cookies, uint32_t more)
{
    size_t needed = cookies->listed.count + more;
    if (needed > LISTED_MAX || needed > cookies->end - COOKIE_FIRST)
        return -ENOSPC;
    return vector_reserve(&cookies->listed, more);
}

static void renumber(struct cookies *cookies)
{
    cookies->next = cookies->end - 1;
    for (size_t i = 0; i < cookies->listed.count; i++)
        cookies->listed.items[i]->value = cookies->next--;
}

void cookies_add(struct cookies *cookies, struct cookie *cookie)
{
    if (cookies->next < COOKIE_FIRST)
        renumber(cookies);
    cookie->value = cookies->next--;
    cookies->listed.items[cookies->listed.count++] = cookie;
}

struct search {
    const struct cookies *cookies;
    uint64_t position;
};

static bool is_after(size_t index, const void *context)
{
    const struct search *search = context;
    return search->cookies->listed.items[index]->value > search->position;
}

uint32_t cookies_after(const struct cookies *cookies, uint64_t position)
{
    struct search search = {.cookies = cookies, .position = position};
    return (uint32_t)lower_bound(0, cookies->listed.count, is_after, &search);
}

void cookies_replace(struct cookies *cookies, const struct cookie *old, struct cookie *cookie)
{
    cookie->value = old->value;
    cookies->listed.items[cookies_after(cookies, old->value)] = cookie;
}

void cookies_remove(struct cookies *cookies, const struct cookie *cookie)
{
    uint32_t at = cookies_after(cookies, cookie->value);
    struct cookie **place = cookies->listed.items + at;
    cookies->listed.count--;
    memmove(place, place + 1, (cookies->listed.count - at) * sizeof(struct cookie *));
}
