#include "fs/client/listing.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/client/sessions.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/template.h"

void template_listing_fini(struct template_listing *listing)
{
    json_decref(listing->templates);
    json_decref(listing->sessions);
    *listing = (struct template_listing){.templates = NULL};
}

struct reading {
    const struct store *store;
    struct template_listing *listing;
    json_t *by_key; /* the same templates */
};

static void reading_fini(struct reading *reading)
{
    json_decref(reading->by_key);
}

/* The catalog may still have a template that was just evicted. */
static int add_template(const struct catalog_row *row, void *context)
{
    struct reading *reading = context;
    if (!template_exists(reading->store, row->key))
        return 0;
    json_t *json = json_pack(
        "{s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:b, s:b, s:i, s:i, s:i}",
        "key", row->key, "names", json_words(row->names), "label", row->label, "file",
        json_text(row->file), "size_bytes", (json_int_t)row->size_bytes, "file_count",
        (json_int_t)row->file_count, "created_ns", (json_int_t)row->created_ns, "builder",
        json_text(row->made_by), "build_time_ns", (json_int_t)row->build_time_ns, "last_used_ns",
        (json_int_t)row->last_used_ns, "hits", (json_int_t)row->hits, "saved_ns",
        (json_int_t)row->saved_ns, "pinned", row->pinned, "verified", row->verified, "sessions", 0,
        "shared_bytes", 0, "own_bytes", 0);
    if (!json || json_object_set(reading->by_key, row->key, json) < 0 ||
        json_array_append_new(reading->listing->templates, json) < 0)
        return log_errno(ENOMEM, "template %s", row->key);
    return 0;
}

static int sum_entry(int dirfd, const char *name, unsigned char type UNUSED, void *context)
{
    *(uint64_t *)context += listing_disk_bytes(dirfd, name);
    return 0;
}

uint64_t listing_disk_bytes(int dirfd, const char *path)
{
    struct stat status;
    if (fstatat(dirfd, path, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    uint64_t sum = (uint64_t)status.st_blocks * 512;
    if (!S_ISDIR(status.st_mode))
        return sum;
    AUTO_FD int fd = io_openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd >= 0 && dir_each(fd, sum_entry, &sum) < 0)
        log_warning("cannot read all of %s", path);
    return sum;
}

static void add_to(json_t *json, const char *member, int64_t number)
{
    (void)json_object_set_new(
        json, member, json_integer(json_integer_value(json_object_get(json, member)) + number));
}

static int add_at_rest(struct reading *reading, const struct session_row *row)
{
    json_t *template = json_object_get(reading->by_key, row->key);
    if (template)
        add_to(template, "sessions", 1);
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:n, s:n}", "id", row->id, "key",
                             row->key, "backend", "fuse", "state", "at rest", "path",
                             "shared_bytes", "own_bytes", "open_files");
    return json_array_append_new(reading->listing->sessions, json) < 0 ? -ENOMEM : 0;
}

static int add_session(struct reading *reading, const struct session_row *row)
{
    if (!row->path)
        return add_at_rest(reading, row);
    json_t *template = json_object_get(reading->by_key, row->key);
    bool is_copy = row->backend == BACKEND_COPY;
    int64_t size = json_integer_value(json_object_get(template, "size_bytes"));
    int64_t own = is_copy ? (int64_t)listing_disk_bytes(AT_FDCWD, row->path) : row->bytes;
    int64_t shared = is_copy ? 0 : size;
    if (template) {
        add_to(template, "sessions", 1);
        add_to(template, "shared_bytes", shared);
        add_to(template, "own_bytes", own);
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:o}", "id", row->id, "key", row->key, "backend",
        backend_name(row->backend), "state", is_copy ? "copy" : "live", "path",
        json_text(row->path), "shared_bytes", (json_int_t)shared, "own_bytes", (json_int_t)own,
        "open_files", row->open_files < 0 ? json_null() : json_integer(row->open_files));
    return json_array_append_new(reading->listing->sessions, json) < 0
               ? log_errno(ENOMEM, "session %s", row->id)
               : 0;
}

static int read_sessions(struct reading *reading)
{
    AUTO_SESSIONS struct session_table table = {0};
    int r = sessions_read(reading->store, &table);
    for (size_t i = 0; r == 0 && i < table.count; i++)
        r = add_session(reading, &table.items[i]);
    return r;
}

int template_listing_read(const struct store *store, struct template_listing *ret_listing)
{
    AUTO_LISTING struct template_listing listing = {.templates = json_array(),
                                                    .sessions = json_array()};
    CLEANUP(reading_fini)
    struct reading reading = {.store = store, .listing = &listing, .by_key = json_object()};
    if (!listing.templates || !listing.sessions || !reading.by_key)
        return log_errno(ENOMEM, "listing");
    int r = store ? catalog_reconcile(store->catalog) : 0;
    if (r == 0 && store)
        r = catalog_each(store->catalog, add_template, &reading);
    if (r == 0 && store)
        r = read_sessions(&reading);
    if (r < 0)
        return r;
    *ret_listing = listing;
    listing = (struct template_listing){.templates = NULL};
    return 0;
}

const json_t *template_listing_find(const struct template_listing *listing, const char *key)
{
    for (size_t i = 0; i < json_array_size(listing->templates); i++) {
        const json_t *row = json_array_get(listing->templates, i);
        if (!strcmp(json_string_value(json_object_get(row, "key")), key))
            return row;
    }
    return NULL;
}
