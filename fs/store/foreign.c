#include "fs/store/foreign.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/log.h"
#include "fs/store/names.h"

static bool is_denied(const struct store *store, const char *key, const char *part, int mode)
{
    char path[SHA256_HEX_LENGTH + 32];
    (void)snprintf(path, sizeof(path), "%.64s%s", key, part);
    return faccessat(store->templates_fd, path, mode, AT_EACCESS) < 0 && errno == EACCES;
}

bool foreign_is(const struct store *store, const char *key, uid_t *ret_uid)
{
    struct stat status;
    if (!sha256_is_hex(key) ||
        fstatat(store->templates_fd, key, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
        status.st_uid == geteuid() || !S_ISDIR(status.st_mode))
        return false;
    *ret_uid = status.st_uid;
    return is_denied(store, key, "", R_OK | X_OK) ||
           is_denied(store, key, "/manifest.json", R_OK) ||
           is_denied(store, key, "/files", R_OK | X_OK);
}

struct search {
    const struct store *store;
    const char *prefix;
    struct foreign found;
};

static int look(int dirfd UNUSED, const char *name, unsigned char type UNUSED, void *context)
{
    struct search *search = context;
    uid_t uid;
    if (strncasecmp(name, search->prefix, strlen(search->prefix)) != 0 ||
        !foreign_is(search->store, name, &uid))
        return 0;
    if (search->found.count++ == 0) {
        memcpy(search->found.key, name, sizeof(search->found.key));
        search->found.uid = uid;
    }
    return 0;
}

int foreign_find(const struct store *store, const char *prefix, struct foreign *ret_foreign)
{
    struct search search = {.store = store, .prefix = prefix};
    int r = dir_each(store->templates_fd, look, &search);
    if (r < 0)
        return store_log_error(store->path, r, "v1/templates");
    *ret_foreign = search.found;
    return 0;
}

int foreign_log(const struct store *store, const struct foreign *foreign)
{
    char others[48] = "";
    if (foreign->count > 1)
        (void)snprintf(others, sizeof(others), " and %zu more", foreign->count - 1);
    return log_fail(EACCES,
                    "template %" PRI_KEY
                    "%s in %s/v1/templates belong%s to user %u and cannot be read by "
                    "you (%u); take it over with: sudo chown -R %u:%u '%s/v1/templates'",
                    foreign->key, others, store->path, others[0] ? "" : "s", foreign->uid,
                    geteuid(), geteuid(), getegid(), store->path);
}

int foreign_log_path(const char *path, uid_t uid, const char *template_path)
{
    return log_fail(
        EACCES,
        "%s belongs to user %u, and you (%u) may not change it; take it over with: sudo "
        "chown -R %u:%u '%s'",
        path, uid, geteuid(), geteuid(), getegid(), template_path);
}
