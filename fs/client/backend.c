#include "fs/client/backend.h"

#include <stdbool.h>
#include <string.h>

#include "fs/base/log.h"
#include "fs/client/copy_roots.h"
#include "fs/client/daemon_control.h"
#include "fs/store/settings.h"
#include "fs/store/template.h"

const char *backend_name(enum backend backend)
{
    return backend == BACKEND_FUSE ? "fuse" : "copy";
}

int backend_read_preference(enum backend_preference *ret_preference)
{
    static const char *const words[] = {
        [PREFER_AUTO] = "auto", [PREFER_FUSE] = "fuse", [PREFER_COPY] = "copy"};
    struct setting_value wanted;
    int r = settings_get(SETTING_BACKEND, &wanted);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (!strcmp(wanted.text, words[i])) {
            *ret_preference = (enum backend_preference)i;
            return 0;
        }
    return -EINVAL; /* not reached: settings_get() accepts only these words */
}

/*
 * Copies on tmpfs cost about 1 ms a MiB; a view costs the same for each template, some 3 ms with
 * io_uring and 8 ms without (scripts/bench). A small template is not worth a daemon.
 */
uint64_t backend_mount_threshold_bytes(void)
{
    enum { WITH_URING_BYTES = 2 << 20, WITHOUT_URING_BYTES = 8 << 20 };
    /* A builder starts no mount, since everything that it starts ends with it. */
    if (access("/dev/fuse", R_OK | W_OK) < 0 || getenv("MINTFS_BUILDING"))
        return UINT64_MAX;
    char uring = 'N';
    AUTO_FILE FILE *file = fopen("/sys/module/fuse/parameters/enable_uring", "re");
    if (file && fread(&uring, 1, 1, file) != 1)
        uring = 'N';
    return uring == 'Y' ? WITH_URING_BYTES : WITHOUT_URING_BYTES;
}

/* NULL, or the reason not to start a mount for the template. */
static const char *why_not_mount(const struct store *store, const char *key)
{
    uint64_t threshold = backend_mount_threshold_bytes();
    if (threshold == UINT64_MAX)
        return getenv("MINTFS_BUILDING")
                   ? "the store is not mounted, and a builder starts no mount"
                   : "the store is not mounted, and /dev/fuse cannot be opened";
    AUTO_TEMPLATE struct template *template = NULL;
    if (template_open(store, key, &template) < 0)
        return "the store is not mounted";
    return manifest_size_bytes(template->manifest) > threshold
               ? NULL
               : "the store is not mounted, and a copy of so small a template is cheaper";
}

int backend_choose(const struct store *store, const char *key, struct serve_found *ret_found,
                   struct backend_choice *ret_choice)
{
    enum backend_preference preference;
    int r = backend_read_preference(&preference);
    if (r < 0)
        return r;
    if (preference == PREFER_COPY) {
        *ret_choice = (struct backend_choice){BACKEND_COPY, "MINTFS_BACKEND asks for copies"};
        return 0;
    }
    const char *why = "the store is mounted";
    r = preference == PREFER_FUSE ? daemon_await(store, ret_found) : daemon_find(store, ret_found);
    if (r < 0)
        return r;
    if (r == 0 && ret_found->mount_point) {
        *ret_choice =
            (struct backend_choice){BACKEND_COPY, "the store's mount cannot be reached from here"};
        return preference == PREFER_FUSE ? daemon_log_unreachable(store, ret_found) : 0;
    }
    const char *why_copy = r == 0 && preference != PREFER_FUSE ? why_not_mount(store, key) : NULL;
    if (r == 0 && !why_copy) {
        /* The messages were printed with the first copy of the store. */
        bool is_explained = preference == PREFER_AUTO && copy_root_was_made(store);
        why = "the store was not mounted: it is now";
        r = daemon_start(store, is_explained ? DAEMON_LOG_NOTHING : DAEMON_LOG_FAILURE, ret_found);
        if (r < 0)
            return r;
        why_copy = "the store cannot be mounted; mintfs doctor explains why";
    }
    if (r == 0 && preference == PREFER_FUSE)
        return log_fail(EIO,
                        "the store %s cannot be mounted, and MINTFS_BACKEND asks for a mount; "
                        "mintfs doctor explains why",
                        store->path);
    *ret_choice = r ? (struct backend_choice){BACKEND_FUSE, why}
                    : (struct backend_choice){BACKEND_COPY, why_copy};
    return 0;
}
