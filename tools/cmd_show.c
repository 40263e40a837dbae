/*
 * mintfs show: prints everything about one template.
 *
 * With --json: the template as in fs/client/listing.h, and also "path", "salt" (or null),
 * "arguments", "environment", "inputs": [{"path", "sha256"}...], "files": [{"path", "type":
 * "file"|"directory"|"link", "mode", "size_bytes", "sha256", "target", "sqlite", "wal"}...] and
 * "warnings" besides; its "sessions" are rows.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/io.h"
#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/base/units.h"
#include "fs/client/listing.h"
#include "fs/store/manifest_file.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

static json_t *list_of(char *const *texts)
{
    json_t *array = json_array();
    for (size_t i = 0; array && texts && texts[i]; i++)
        (void)json_array_append_new(array, json_text(texts[i]));
    return array;
}

static json_t *digest_of(const uint8_t *digest)
{
    char hex[SHA256_HEX_LENGTH + 1];
    sha256_to_hex(digest, hex);
    return json_string(hex);
}

static json_t *inputs_of(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < manifest->input_count; i++)
        (void)json_array_append_new(array, json_pack("{s:o, s:o}", "path",
                                                     json_text(manifest->inputs[i].path), "sha256",
                                                     digest_of(manifest->inputs[i].digest)));
    return array;
}

static json_t *file_of(const struct manifest_entry *entry)
{
    static const char *const types[] = {
        [ENTRY_FILE] = "file", [ENTRY_DIRECTORY] = "directory", [ENTRY_SYMLINK] = "link"};
    bool is_file = entry->type == ENTRY_FILE;
    char mode[8];
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)entry->mode & 07777);
    return json_pack("{s:o, s:s, s:s, s:I, s:o, s:o, s:b, s:b}", "path", json_text(entry->path),
                     "type", types[entry->type], "mode", mode, "size_bytes",
                     (json_int_t)entry->size_bytes, "sha256",
                     is_file ? digest_of(entry->digest) : json_null(), "target",
                     entry->target ? json_text(entry->target) : json_null(), "sqlite",
                     entry->is_sqlite, "wal", entry->starts_in_wal);
}

static json_t *files_of(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < manifest->entry_count; i++)
        (void)json_array_append_new(array, file_of(&manifest->entries[i]));
    return array;
}

static json_t *sessions_of(const struct template_listing *listing, const char *key)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < json_array_size(listing->sessions); i++) {
        json_t *row = json_array_get(listing->sessions, i);
        if (!strcmp(json_string_value(json_object_get(row, "key")), key))
            (void)json_array_append(array, row);
    }
    return array;
}

static int describe(const struct store *store, const char *key, json_t **ret_json)
{
    AUTO_MANIFEST struct manifest *manifest = NULL;
    AUTO_LISTING struct template_listing listing = {.templates = NULL};
    AUTO_FREE char *path = text_format("%s/v1/templates/%s", store->path, key);
    if (!path)
        return -ENOMEM;
    AUTO_FD int fd = io_openat(store->templates_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0)
        return log_errno(fd, "%s", path);
    int r = manifest_read(fd, path, &manifest);
    if (r == -ENOENT)
        return log_fail(EBADMSG, "%s/manifest.json: missing: the template is damaged", path);
    if (r == 0)
        r = template_listing_read(store, &listing);
    if (r < 0)
        return r;
    const json_t *row = template_listing_find(&listing, key);
    if (!row)
        return log_fail(ENOENT, "template %.*s was evicted meanwhile", SHORT_KEY_LENGTH, key);
    json_t *json = json_copy((json_t *)(uintptr_t)row);
    if (!json)
        return -ENOMEM;
    (void)json_object_set_new(json, "path", json_text(path));
    (void)json_object_set_new(json, "builder", list_of(manifest->builder));
    (void)json_object_set_new(json, "salt",
                              manifest->salt ? json_text(manifest->salt) : json_null());
    (void)json_object_set_new(json, "arguments", list_of(manifest->arguments));
    (void)json_object_set_new(json, "environment", list_of(manifest->environment));
    (void)json_object_set_new(json, "inputs", inputs_of(manifest));
    (void)json_object_set_new(json, "files", files_of(manifest));
    (void)json_object_set_new(json, "warnings", list_of(manifest->warnings));
    (void)json_object_set_new(json, "sessions", sessions_of(&listing, key));
    *ret_json = json;
    return 0;
}

/* ---- for people ---- */

static int64_t number(const json_t *json, const char *member)
{
    return json_integer_value(json_object_get(json, member));
}

static void print_field(const char *title, const char *value)
{
    enum { INDENT = 11 };
    AUTO_FREE char *line = text_format("%s%s%*s%s", title, *title ? ":" : " ",
                                       INDENT - 1 - (int)strlen(title), "", value);
    if (!line)
        return;
    /* The spaces after the title stay together: output_wrapped() breaks at single ones. */
    output_wrapped(line, INDENT);
}

static void print_list(const char *title, const json_t *texts)
{
    for (size_t i = 0; i < json_array_size(texts); i++)
        print_field(i ? "" : title, json_string_value(json_array_get(texts, i)));
}

static void print_joined(const char *title, const json_t *texts)
{
    AUTO_FREE char *joined = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&joined, &size);
    for (size_t i = 0; stream && i < json_array_size(texts); i++)
        (void)fprintf(stream, "%s%s", i ? " " : "", json_string_value(json_array_get(texts, i)));
    if (stream && fclose(stream) == 0 && size)
        print_field(title, joined);
}

static void print_time(const char *title, int64_t ns)
{
    char when[UNITS_TEXT_SIZE];
    char age[UNITS_TEXT_SIZE];
    char line[2 * UNITS_TEXT_SIZE + 16];
    (void)snprintf(line, sizeof(line), "%s, %s ago", units_format_time(ns, when),
                   units_format_age(ns, age));
    print_field(title, line);
}

static void print_inputs(const json_t *inputs)
{
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *input = json_array_get(inputs, i);
        AUTO_FREE char *line = text_format("%.*s %s", SHORT_KEY_LENGTH,
                                           json_string_value(json_object_get(input, "sha256")),
                                           json_string_value(json_object_get(input, "path")));
        if (!line)
            return;
        print_field(i ? "" : "inputs", line);
    }
}

static void print_files(const json_t *files)
{
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        char size[UNITS_TEXT_SIZE];
        const char *type = json_string_value(json_object_get(file, "type"));
        bool is_file = !strcmp(type, "file");
        AUTO_FREE char *line = text_format(
            "%s %s %s%s", json_string_value(json_object_get(file, "mode")),
            is_file ? units_format_size((uint64_t)number(file, "size_bytes"), size) : type,
            json_string_value(json_object_get(file, "path")),
            json_is_true(json_object_get(file, "wal"))      ? " (SQLite, WAL)"
            : json_is_true(json_object_get(file, "sqlite")) ? " (SQLite)"
                                                            : "");
        if (!line)
            return;
        print_field(i ? "" : "files", line);
    }
}

static void print_text(const json_t *json)
{
    char text[UNITS_TEXT_SIZE];
    char line[4 * UNITS_TEXT_SIZE];
    print_field("key", json_string_value(json_object_get(json, "key")));
    print_joined("names", json_object_get(json, "names"));
    if (*json_string_value(json_object_get(json, "label")))
        print_field("label", json_string_value(json_object_get(json, "label")));
    print_field("path", json_string_value(json_object_get(json, "path")));
    print_field("size", units_format_size((uint64_t)number(json, "size_bytes"), text));
    print_time("made", number(json, "created_ns"));
    print_field("in", units_format_duration(number(json, "build_time_ns"), text));
    print_time("used", number(json, "last_used_ns"));
    (void)snprintf(line, sizeof(line), "%" PRId64 ", which saved %s", number(json, "hits"),
                   units_format_duration(number(json, "saved_ns"), text));
    print_field("hits", line);
    (void)snprintf(line, sizeof(line), "%zu", json_array_size(json_object_get(json, "sessions")));
    print_field("sessions", line);
    if (json_is_true(json_object_get(json, "pinned")))
        print_field("pinned", "yes");
    print_joined("builder", json_object_get(json, "builder"));
    if (json_is_string(json_object_get(json, "salt")))
        print_field("salt", json_string_value(json_object_get(json, "salt")));
    print_list("env", json_object_get(json, "environment"));
    print_inputs(json_object_get(json, "inputs"));
    print_files(json_object_get(json, "files"));
    print_list("warnings", json_object_get(json, "warnings"));
}

static int run(const struct arguments *arguments)
{
    AUTO_STORE struct store *store = NULL;
    char key[SHA256_HEX_LENGTH + 1];
    json_t *json = NULL;
    int r = store_open_existing(&store);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = named_resolve(store, arguments->operands[0], key);
    if (r == 0)
        r = describe(store, key, &json);
    if (r < 0)
        return r;
    if (arguments->as_json)
        return output_json(json);
    print_text(json);
    json_decref(json);
    return 0;
}

const struct command command_show = {
    .name = "show",
    .synopsis = "[--json] KEY|NAME",
    .summary = "print everything about a template",
    .run = run,
    .operands_min = 1,
    .operands_max = 1,
    .operands_error = "wants the KEY or NAME of one template",
    .takes_json = true,
};
