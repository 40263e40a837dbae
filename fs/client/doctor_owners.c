/*
 * The check for files in the store that belong to another user, as a step that ran as root leaves
 * them.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/text.h"
#include "fs/client/doctor.h"

struct owners {
    const char *directory; /* below the store, where entries are checked now */
    size_t count;
    uid_t uid; /* of the first one */
    char *first;
    bool is_denied; /* one of them cannot be read or written as is needed */
};

static void owners_fini(struct owners *owners)
{
    free(owners->first);
}

static int check_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    struct owners *owners = context;
    struct stat status;
    if (fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_uid == geteuid())
        return 0;
    if (owners->count++ == 0) {
        owners->uid = status.st_uid;
        owners->first = text_format("%s/%s", owners->directory, name);
    }
    int needed = S_ISDIR(status.st_mode) ? R_OK | X_OK : R_OK | W_OK;
    owners->is_denied |= faccessat(dirfd, name, needed, AT_EACCESS) < 0;
    return 0;
}

void doctor_check_owners(struct doctor *doctor)
{
    static const char *const places[] = {"v1", "v1/templates", "v1/pins", "v1/locks"};
    CLEANUP(owners_fini) struct owners owners = {.count = 0};
    if (geteuid() == 0)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
        AUTO_FREE char *path = text_format("%s/%s", doctor->store_path, places[i]);
        AUTO_FD int fd =
            path ? io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0) : -1;
        owners.directory = places[i];
        if (fd >= 0)
            (void)!dir_each(fd, check_entry, &owners);
    }
    if (!owners.count)
        return;
    AUTO_FREE char *command =
        text_format("sudo chown -R %u:%u '%s'", geteuid(), getegid(), doctor->store_path);
    char others[48] = "";
    if (owners.count > 1)
        (void)snprintf(others, sizeof(others), " and %zu more", owners.count - 1);
    doctor_add(
        doctor, owners.is_denied ? FINDING_BAD : FINDING_HINT, "store", command,
        "%s%s in it belong%s to user %u and not to you, perhaps because a step ran as root%s",
        owners.first ? owners.first : "?", others, others[0] ? "" : "s", owners.uid,
        owners.is_denied ? ": it cannot be used" : "");
}
