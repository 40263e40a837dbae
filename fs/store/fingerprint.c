#include "fs/store/fingerprint.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "fs/base/sha256.h"

/* Of fixed widths and without padding, since it is hashed. */
struct file_state {
    uint64_t inode;
    int64_t changed_s;
    int64_t changed_ns;
    uint64_t size_bytes;
    uint64_t type;
    uint64_t mode;
    uint64_t flags;
};

/* FUSE and overlayfs may assign new inode numbers at each mount; the times of change do not
 * change. */
static bool has_lasting_inodes(int fd)
{
    struct statfs status;
    return fstatfs(fd, &status) == 0 && (unsigned)status.f_type != FUSE_SUPER_MAGIC &&
           (unsigned)status.f_type != OVERLAYFS_SUPER_MAGIC;
}

static int read_state(int files_fd, const struct manifest_entry *entry, bool has_inode,
                      struct file_state *ret_state)
{
    static const mode_t types[] = {
        [ENTRY_FILE] = S_IFREG, [ENTRY_DIRECTORY] = S_IFDIR, [ENTRY_SYMLINK] = S_IFLNK};
    struct stat status;
    if (fstatat(files_fd, entry->path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? -EBADMSG : -errno;
    if ((status.st_mode & S_IFMT) != types[entry->type] ||
        (entry->type == ENTRY_FILE && (uint64_t)status.st_size != entry->size_bytes))
        return -EBADMSG;
    *ret_state = (struct file_state){
        .inode = has_inode ? status.st_ino : 0,
        .changed_s = status.st_ctim.tv_sec,
        .changed_ns = status.st_ctim.tv_nsec,
        .size_bytes = entry->size_bytes,
        .type = entry->type,
        .mode = entry->mode,
        .flags = (uint64_t)entry->is_sqlite | (uint64_t)entry->starts_in_wal << 1,
    };
    return 0;
}

static int add_entry(struct sha256 *hash, const struct manifest_entry *entry,
                     const struct file_state *state)
{
    const char *target = entry->target ? entry->target : "";
    int r = sha256_update(hash, entry->path, strlen(entry->path) + 1);
    if (r == 0)
        r = sha256_update(hash, target, strlen(target) + 1);
    if (r == 0)
        r = sha256_update(hash, entry->digest, sizeof(entry->digest));
    return r == 0 ? sha256_update(hash, state, sizeof(*state)) : r;
}

int fingerprint_take(int files_fd, const struct manifest *manifest, int64_t *ret_fingerprint)
{
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    bool has_inodes = has_lasting_inodes(files_fd);
    int r = hash ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < manifest->entry_count; i++) {
        struct file_state state;
        r = read_state(files_fd, &manifest->entries[i], has_inodes, &state);
        if (r == 0)
            r = add_entry(hash, &manifest->entries[i], &state);
    }
    uint8_t digest[SHA256_SIZE_BYTES];
    if (r == 0)
        r = sha256_final(hash, digest);
    if (r < 0)
        return r;
    uint64_t number;
    memcpy(&number, digest, sizeof(number));
    *ret_fingerprint = (int64_t)(number >> 2) + 2;
    return 0;
}
