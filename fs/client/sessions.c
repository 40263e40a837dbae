#include "fs/client/sessions.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/vector.h"
#include "fs/client/copies_list.h"
#include "fs/client/daemon_control.h"
#include "fs/overlay/sessions_at_rest.h"
#include "fs/store/named.h"
#include "fs/store/names.h"

void sessions_fini(struct session_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->items[i].path);
        free(table->items[i].scratch);
    }
    free(table->items);
    *table = (struct session_table){0};
}

/* Takes ownership of the row's path and scratch. */
static int add_row(struct session_table *table, const struct session_row *row)
{
    int r = vector_push(table, *row);
    if (r < 0) {
        free(row->path);
        free(row->scratch);
    }
    return r;
}

static int add_copy(const struct copy *copy, void *context)
{
    struct session_row row = {.backend = BACKEND_COPY, .bytes = -1, .open_files = -1};
    (void)snprintf(row.key, sizeof(row.key), "%s", copy->key);
    (void)snprintf(row.id, sizeof(row.id), "%s", copy->id);
    row.path = strdup(copy->path);
    return row.path ? add_row(context, &row) : -ENOMEM;
}

static int add_mounted(struct session_table *table, const char *mount_point, const json_t *json)
{
    const char *key;
    const char *id;
    json_int_t bytes;
    json_int_t open_files;
    if (json_unpack((json_t *)(uintptr_t)json, "{s:s, s:s, s:I, s:I}", "key", &key, "id", &id,
                    "bytes", &bytes, "open_files", &open_files) < 0)
        return -EBADMSG;
    struct session_row row = {.backend = BACKEND_FUSE, .bytes = bytes, .open_files = open_files};
    (void)snprintf(row.key, sizeof(row.key), "%s", key);
    (void)snprintf(row.id, sizeof(row.id), "%s", id);
    row.path = text_format("%s/sessions/%s/%s", mount_point, key, id);
    return row.path ? add_row(table, &row) : -ENOMEM;
}

static int add_at_rest(const struct session_at_rest *session, void *context)
{
    struct session_row row = {.backend = BACKEND_FUSE, .bytes = -1, .open_files = -1};
    (void)snprintf(row.key, sizeof(row.key), "%s", session->key);
    (void)snprintf(row.id, sizeof(row.id), "%s", session->id);
    row.scratch = strdup(session->scratch);
    return row.scratch ? add_row(context, &row) : -ENOMEM;
}

static int read_mounted(const struct store *store, struct session_table *table)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    int r = daemon_find(store, &found);
    if (r == 0 && found.mount_point)
        log_warning("the mount at %s (process %d) cannot be reached: its sessions are not listed",
                    found.mount_point, found.pid);
    if (r <= 0)
        return r;
    json_t *status;
    json_error_t error;
    r = daemon_read_status(found.mount_point, &status, &error);
    if (r == -ESHUTDOWN || r == -ENOTCONN) {
        log_warning("the mount at %s is about to end: its sessions are not listed",
                    found.mount_point);
        return 0;
    }
    if (r == -EBADMSG)
        return log_fail(EIO, "cannot read %s" MOUNT_STATUS ": %s", found.mount_point, error.text);
    if (r < 0)
        return log_errno(r, "cannot read %s" MOUNT_STATUS, found.mount_point);
    const json_t *rows = json_object_get(status, "sessions");
    for (size_t i = 0; r >= 0 && i < json_array_size(rows); i++)
        r = add_mounted(table, found.mount_point, json_array_get(rows, i));
    json_decref(status);
    return r < 0 ? log_errno(r, "cannot read the sessions in %s" MOUNT_STATUS, found.mount_point)
                 : 0;
}

int sessions_read(const struct store *store, struct session_table *ret_table)
{
    AUTO_SESSIONS struct session_table table = {0};
    int r = read_mounted(store, &table);
    if (r < 0)
        return r;
    r = sessions_each_id_at_rest(store, add_at_rest, &table);
    if (r < 0)
        return r;
    r = copies_sweep_each(store, add_copy, &table);
    if (r < 0)
        return log_errno(r, "cannot list the copies of %s", store->path);
    *ret_table = table;
    table = (struct session_table){0};
    return 0;
}

static const struct session_row *find_path(const struct session_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->items[i].path && !strcmp(table->items[i].path, path))
            return &table->items[i];
    return NULL;
}

/* The path of a session at rest, as it was while it was mounted: .../sessions/KEY/ID. */
static const struct session_row *find_former_path(const struct session_table *table,
                                                  const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct session_row *row = &table->items[i];
        char tail[sizeof("/sessions/") + sizeof(row->key) + sizeof(row->id)];
        (void)snprintf(tail, sizeof(tail), "/sessions/%s/%s", row->key, row->id);
        size_t length = strlen(path);
        if (!row->path && length > strlen(tail) && !strcmp(path + length - strlen(tail), tail))
            return row;
    }
    return NULL;
}

/* The path may contain the link of a name, or other links. */
static const struct session_row *find_real_path(const struct session_table *table, const char *text)
{
    const struct session_row *row = find_path(table, text);
    AUTO_FREE char *real = row ? NULL : realpath(text, NULL);
    return real ? find_path(table, real) : row;
}

static int find_id(const struct session_table *table, const char *key, const char *id,
                   const struct session_row **ret_row)
{
    const struct session_row *found = NULL;
    for (size_t i = 0; i < table->count; i++) {
        const struct session_row *row = &table->items[i];
        if (strcmp(row->id, id) != 0 || (key && strcmp(row->key, key) != 0))
            continue;
        if (found && !strcmp(found->key, row->key))
            return log_fail(ENOTUNIQ,
                            "there are two sessions %" PRI_KEY "/%s: give the path of one: %s, %s",
                            row->key, id, found->path ? found->path : "(at rest)",
                            row->path ? row->path : "(at rest)");
        if (found)
            return log_fail(ENOTUNIQ, "several templates have a session %s: give KEY/%s", id, id);
        found = row;
    }
    if (!found && key)
        return log_fail(ENOENT,
                        "no session %s of the template %" PRI_KEY "; mintfs session ls lists them",
                        id, key);
    if (!found)
        return log_fail(ENOENT, "no session %s; mintfs session ls lists them", id);
    *ret_row = found;
    return 0;
}

int sessions_find(const struct store *store, const struct session_table *table, const char *text,
                  const struct session_row **ret_row)
{
    *ret_row = find_real_path(table, text);
    if (*ret_row)
        return 0;
    if (text[0] == '/')
        *ret_row = find_former_path(table, text);
    if (*ret_row)
        return 0;
    const char *slash = strrchr(text, '/');
    if (!slash)
        return find_id(table, NULL, text, ret_row);
    if (text[0] == '/' || text[0] == '.')
        return log_fail(ENOENT, "no session at %s; mintfs session ls lists them", text);
    AUTO_FREE char *template = strndup(text, (size_t)(slash - text));
    char key[SHA256_HEX_LENGTH + 1];
    if (!template)
        return -ENOMEM;
    int r = named_key(store, template, key);
    return r < 0 ? r : find_id(table, key, slash + 1, ret_row);
}

int sessions_make_id(const char *wanted, char ret_id[SESSION_ID_MAX + 1])
{
    unsigned char random[8];
    if (wanted) {
        if (!session_id_is_valid(wanted))
            return log_fail(EINVAL,
                            "\"%.200s\" is no session ID: 1 to %d of [A-Za-z0-9._-], no leading "
                            "dot",
                            wanted, SESSION_ID_MAX);
        (void)snprintf(ret_id, SESSION_ID_MAX + 1, "%s", wanted);
        return 0;
    }
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return log_errno(errno, "cannot create an ID");
    (void)snprintf(ret_id, SESSION_ID_MAX + 1, "s-");
    for (size_t i = 0; i < sizeof(random); i++)
        (void)snprintf(ret_id + 2 + 2 * i, 3, "%02x", random[i]);
    return 0;
}
