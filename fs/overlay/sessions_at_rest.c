#include "fs/overlay/sessions_at_rest.h"

#include <fcntl.h>
#include <string.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/sha256.h"
#include "fs/base/text.h"
#include "fs/overlay/changelog.h"
#include "fs/overlay/changelog_replay.h"
#include "fs/overlay/roster.h"
#include "fs/overlay/scratch_registry.h"

struct reading {
    const struct store *store;
    session_at_rest_visitor *visit;
    void *context;
    const char *scratch; /* the directory */
    char boot_id[BOOT_ID_SIZE + 1];
    bool at_rest;  /* only scratches that no daemon has open */
    bool ids_only; /* without leases */
};

static int visit_log(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    const struct reading *reading = context;
    if (!changelog_name_is_valid(name))
        return 0;
    AUTO_FD int fd = changelog_open_to_read(dirfd, name);
    if (fd == -ENOENT)
        return 0;
    struct log_summary summary;
    /* The key never changes, so the header is enough. */
    int r = fd < 0             ? fd
            : reading->at_rest ? changelog_summarize(fd, &summary)
                               : changelog_summarize_header(fd, &summary);
    if (r == -EPROTONOSUPPORT)
        return log_fail(r, "%s/logs/%s was written by a later mintfs; use that one",
                        reading->scratch, name);
    /* Recovery could not read this log either. */
    if (r == -EBADMSG)
        return 0;
    if (r < 0)
        return log_errno(r, "cannot read %s/logs/%s", reading->scratch, name);
    if (strcmp(summary.header.boot_id, reading->boot_id) != 0 || !sha256_is_hex(summary.header.key))
        return 0;
    const struct session_at_rest session = {.key = summary.header.key,
                                            .id = summary.header.id,
                                            .scratch = reading->scratch,
                                            .lease = summary.lease};
    return reading->visit(&session, reading->context);
}

static int visit_listed(const struct roster_line *line, void *context)
{
    const struct reading *reading = context;
    const struct session_at_rest session = {
        .key = line->key, .id = line->id, .scratch = reading->scratch};
    return reading->visit(&session, reading->context);
}

static int visit_scratch(const char *path, void *context)
{
    struct reading *reading = context;
    char text[64];
    AUTO_FD int fd = io_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOENT || fd == -ENOTDIR) /* as after a reboot, on a tmpfs */
        return scratch_registry_remove(reading->store, path);
    if (fd < 0)
        return log_errno(fd, "cannot look for sessions in %s", path);
    if (reading->at_rest && lock_holder(fd, "lock", text, sizeof(text)) == 1)
        return 0;
    AUTO_FD int logs = io_openat(fd, "logs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (logs < 0)
        return logs == -ENOENT ? 0 : log_errno(logs, "cannot look for sessions in %s/logs", path);
    reading->scratch = path;
    int answer;
    int r = reading->ids_only
                ? roster_each(fd, logs, reading->boot_id, visit_listed, reading, &answer)
                : -ENOENT;
    return r == -ENOENT ? dir_each(logs, visit_log, reading) : r < 0 ? r : answer;
}

static int read_all(struct reading *reading)
{
    AUTO_FREE char *own = text_format("%s/v1/sessions", reading->store->path);
    if (!own)
        return -ENOMEM;
    int r = boot_read_id(reading->boot_id);
    if (r == 0)
        r = visit_scratch(own, reading);
    return r ? r : scratch_registry_each(reading->store, visit_scratch, reading);
}

int sessions_each_recorded(const struct store *store, session_at_rest_visitor *visit, void *context)
{
    struct reading reading = {.store = store, .visit = visit, .context = context};
    return read_all(&reading);
}

int sessions_each_at_rest(const struct store *store, session_at_rest_visitor *visit, void *context)
{
    struct reading reading = {.store = store, .visit = visit, .context = context, .at_rest = true};
    return read_all(&reading);
}

int sessions_each_id_at_rest(const struct store *store, session_at_rest_visitor *visit,
                             void *context)
{
    struct reading reading = {
        .store = store, .visit = visit, .context = context, .at_rest = true, .ids_only = true};
    return read_all(&reading);
}
