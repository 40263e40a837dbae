/*
 * MNT/.mintfs/status.json:
 *
 *     version, pid, mount, scratch   strings and a number
 *     options      allow_other, strict, writeback, io_uring: in effect, not as requested
 *     stopping     the daemon was asked to stop and refuses new opens
 *     open_files   their number
 *     verifying    restored templates that are being compared with their manifests, or wait for it
 *     counters     sessions_made, stored_bytes, requests: {OPCODE: count}
 *     sessions     [{id, key, bytes, open_files}]
 */
#include "fs/mount/status.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/base/text.h"
#include "fs/mount/verifier.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/session.h"

/*
 * JSON requires UTF-8, and a path may be any bytes. (Mount points that are not UTF-8 are refused.)
 */
static const char *text_of(const char *path)
{
    json_t *probe = json_string(path);
    json_decref(probe);
    return probe ? path : "(not UTF-8)";
}

static bool add_session(const struct session *session, void *context)
{
    json_t *list = context;
    json_t *row = json_pack("{s:s, s:s, s:I, s:I}", "id", session_id(session), "key",
                            session_key(session), "bytes", (json_int_t)session_bytes(session),
                            "open_files", (json_int_t)session_open_files(session));
    return row && json_array_append_new(list, row) == 0;
}

static json_t *request_counts(struct server *server)
{
    static const char *const names[] = {
#define X(name) #name,
        REQUEST_KINDS(X)
#undef X
    };
    json_t *counts = json_object();
    for (size_t i = 0; counts && i < ARRAY_LENGTH(names); i++)
        (void)json_object_set_new(counts, names[i],
                                  json_integer((json_int_t)atomic_load(&server->requests[i])));
    return counts;
}

char *status_text(struct server *server)
{
    const struct serve_options *options = server->options;
    struct scratch_counts counts;
    scratch_count(server->scratch, &counts);
    json_t *sessions = json_array();
    if (!sessions)
        return NULL;
    scratch_each(server->scratch, 0, add_session, sessions);
    json_t *status = json_pack(
        "{s:s, s:i, s:s, s:s, s:{s:b, s:b, s:b, s:b}, s:b, s:I, s:i, s:{s:I, s:I, s:o}, s:o}",
        "version", MINTFS_VERSION, "pid", (int)getpid(), "mount", options->mount_point, "scratch",
        text_of(scratch_path(server->scratch)), "options", "allow_other", options->allow_other,
        "strict", options->strict, "writeback", server->writeback, "io_uring",
        atomic_load(&server->uses_uring), "stopping", atomic_load(&server->stopping), "open_files",
        (json_int_t)atomic_load(&server->open_files), "verifying", (int)verifier_count(server),
        "counters", "sessions_made", (json_int_t)counts.sessions_made, "stored_bytes",
        (json_int_t)counts.stored_bytes, "requests", request_counts(server), "sessions", sessions);
    if (!status)
        return NULL;
    AUTO_FREE char *dumped = json_dumps(status, JSON_INDENT(2));
    json_decref(status);
    return dumped ? text_format("%s\n", dumped) : NULL;
}
