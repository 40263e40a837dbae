#include "fs/store/store.h"

#include <string.h>
#include <sys/statvfs.h>

#include "fs/base/log.h"

bool store_lacks_inodes(const char *path)
{
    struct statvfs status;
    return statvfs(path, &status) == 0 && status.f_files && status.f_favail == 0;
}

int store_log_error(const char *path, int error, const char *name)
{
    const char *slash = name ? "/" : "";
    name = name ? name : "";
    switch (abs(error)) {
    case EROFS:
        return log_fail(error,
                        "store %s%s%s: the file system is read-only; set MINTFS_STORE to a "
                        "directory that can be written",
                        path, slash, name);
    case ENOSPC:
    case EDQUOT:
        if (store_lacks_inodes(path))
            return log_fail(error,
                            "store %s%s%s: the file system has no more files to give (its inodes "
                            "are used up); make room with: mintfs gc --max-size SIZE, or set "
                            "MINTFS_STORE to another disk",
                            path, slash, name);
        return log_fail(error,
                        "store %s%s%s: the disk is full; make room there, or set "
                        "MINTFS_STORE to another disk",
                        path, slash, name);
    case ENOENT: /* HOME does not exist, as that of a service's user */
    case ENOTDIR:
    case EACCES:
    case EPERM:
        return log_fail(error, "store %s%s%s: %s; set MINTFS_STORE to a directory of your own",
                        path, slash, name, strerror(abs(error)));
    case EMFILE:
        return log_fail(error,
                        "store %s%s%s: %s (ulimit -n); run mintfs where that limit is higher, as "
                        "with: ulimit -n 1024",
                        path, slash, name, strerror(EMFILE));
    default:
        return log_errno(error, "store %s%s%s", path, slash, name);
    }
}
