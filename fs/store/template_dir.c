#include "fs/store/template_dir.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/base/strlist.h"
#include "fs/base/text.h"
#include "fs/store/manifest_file.h"

char *template_path(const struct store *store, const char *key)
{
    return text_format("%s/v1/templates/%s", store->path, key);
}

bool template_exists(const struct store *store, const char *key)
{
    char path[SHA256_HEX_LENGTH + sizeof("/manifest.json")];
    if (!sha256_is_hex(key))
        return false;
    (void)snprintf(path, sizeof(path), "%s/manifest.json", key);
    return faccessat(store->templates_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int template_read_manifest(const struct store *store, const char *key,
                           struct manifest **ret_manifest)
{
    AUTO_FREE char *path = template_path(store, key);
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (!path)
        return -ENOMEM;
    AUTO_FD int fd = io_openat(store->templates_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return fd;
    int r = manifest_read(fd, path, &manifest);
    if (r < 0)
        return r;
    if (strcmp(manifest->key, key) != 0)
        return -EBADMSG;
    *ret_manifest = steal_pointer(&manifest);
    return 0;
}

struct key_listing {
    const struct store *store;
    struct strlist keys;
};

static int collect_key(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    struct key_listing *listing = context;
    return template_exists(listing->store, name) ? strlist_add(&listing->keys, name) : 0;
}

static void key_listing_fini(struct key_listing *listing)
{
    strlist_fini(&listing->keys);
}

int template_each_key(const struct store *store, template_visitor *visit, void *context)
{
    CLEANUP(key_listing_fini)
    struct key_listing listing = {.store = store, .keys = STRLIST_INIT};
    int r = dir_each(store->templates_fd, collect_key, &listing);
    if (r < 0)
        return log_errno(r, "%s/v1/templates", store->path);
    strlist_sort(&listing.keys);
    for (size_t i = 0; r == 0 && i < listing.keys.count; i++)
        r = visit(listing.keys.items[i], listing.keys.items[i], context);
    return r;
}
