#include "fs/client/used_keys.h"

#include "fs/client/copies_list.h"
#include "fs/overlay/sessions_at_rest.h"

static int add_key(const struct session_at_rest *session, void *context)
{
    return strlist_add(context, session->key);
}

static int add_copy(const struct copy *copy, void *context)
{
    return strlist_add(context, copy->key);
}

int used_keys_gather(const struct store *store, struct strlist *keys)
{
    int r = sessions_each_recorded(store, add_key, keys);
    return r < 0 ? r : copies_each(store, add_copy, keys);
}
