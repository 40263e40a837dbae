#include "fs/store/manifest_file.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/json_bounds.h"
#include "fs/base/log.h"
#include "fs/base/strlist.h"

static const char file_name[] = "manifest.json";
/*
 * A file takes about 180 bytes, 6 values and an object: 250,000 files are within these limits, and
 * reading a manifest within them takes at most about 300 MB of memory.
 */
enum { FORMAT_VERSION = 1, MANIFEST_LIMIT_BYTES = 64 << 20 };
static const struct json_bounds bounds = {.values = 3 << 20, .objects = 300000, .arrays = 64};
static const char *const type_names[] = {
    [ENTRY_FILE] = "file", [ENTRY_DIRECTORY] = "directory", [ENTRY_SYMLINK] = "symlink"};

static void put_json(json_t **json)
{
    json_decref(*json);
}
#define AUTO_JSON CLEANUP(put_json)

/* ---- writing ---- */

static json_t *text_to_json(const char *text)
{
    json_t *string = json_string(text);
    if (string)
        return string;
    /* Not UTF-8. */
    size_t length = strlen(text);
    AUTO_FREE char *hex = malloc(2 * length + 1);
    if (!hex)
        return NULL;
    hex[0] = '\0';
    for (size_t i = 0; i < length; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)text[i]);
    return json_pack("{s:s}", "hex", hex);
}

static json_t *digest_to_json(const uint8_t digest[SHA256_SIZE_BYTES])
{
    char hex[SHA256_HEX_LENGTH + 1];
    sha256_to_hex(digest, hex);
    return json_string(hex);
}

static json_t *vector_to_json(char *const *vector)
{
    json_t *array = json_array();
    for (size_t i = 0; array && vector && vector[i]; i++)
        if (json_array_append_new(array, text_to_json(vector[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *inputs_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < manifest->input_count; i++) {
        const struct manifest_input *input = &manifest->inputs[i];
        json_t *row = json_pack("{s:o, s:o}", "path", text_to_json(input->path), "sha256",
                                digest_to_json(input->digest));
        if (json_array_append_new(array, row) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *entry_to_json(const struct manifest_entry *entry)
{
    char mode[8];
    (void)snprintf(mode, sizeof(mode), "%04o", (unsigned)entry->mode & 07777);
    AUTO_JSON json_t *row = json_pack("{s:o, s:s, s:s}", "path", text_to_json(entry->path), "type",
                                      type_names[entry->type], "mode", mode);
    int r = row ? 0 : -1;
    if (r == 0 && entry->type == ENTRY_FILE) {
        r = json_object_set_new(row, "size_bytes", json_integer((json_int_t)entry->size_bytes));
        r |= json_object_set_new(row, "sha256", digest_to_json(entry->digest));
        if (entry->is_sqlite)
            r |= json_object_set_new(row, "sqlite", json_true());
        if (entry->starts_in_wal)
            r |= json_object_set_new(row, "wal", json_true());
    } else if (r == 0 && entry->type == ENTRY_SYMLINK) {
        r = json_object_set_new(row, "target", text_to_json(entry->target));
    }
    return r == 0 ? steal_pointer(&row) : NULL;
}

static json_t *entries_to_json(const struct manifest *manifest)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < manifest->entry_count; i++)
        if (json_array_append_new(array, entry_to_json(&manifest->entries[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *manifest_to_json(const struct manifest *manifest)
{
    AUTO_JSON json_t *root = json_pack(
        "{s:s, s:i, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "format", "mintfs-template",
        "version", FORMAT_VERSION, "key", manifest->key, "file", text_to_json(manifest->file),
        "created_ns", (json_int_t)manifest->created_ns, "build_time_ns",
        (json_int_t)manifest->build_time_ns, "builder", vector_to_json(manifest->builder),
        "arguments", vector_to_json(manifest->arguments), "environment",
        vector_to_json(manifest->environment), "inputs", inputs_to_json(manifest), "warnings",
        vector_to_json(manifest->warnings), "entries", entries_to_json(manifest));
    int r = root ? 0 : -1;
    if (r == 0 && manifest->name)
        r = json_object_set_new(root, "name", text_to_json(manifest->name));
    if (r == 0 && manifest->salt)
        r = json_object_set_new(root, "salt", text_to_json(manifest->salt));
    return r == 0 ? steal_pointer(&root) : NULL;
}

int manifest_write(int template_fd, const struct manifest *manifest)
{
    AUTO_JSON json_t *root = manifest_to_json(manifest);
    AUTO_FREE char *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
    if (!text)
        return -ENOMEM;
    size_t size = strlen(text);
    if (size > MANIFEST_LIMIT_BYTES || !json_is_within(text, size, &bounds))
        return log_fail(E2BIG,
                        "builder left too much for a template: %zu files, directories and links, "
                        "and %zu inputs; some 250,000 in all fit in",
                        manifest->entry_count, manifest->input_count);
    return dir_write_file(template_fd, file_name, text, size, 0444);
}

/* ---- reading: each get_ function reads one member, and names a faulty one in *ret_fault ---- */

static int decode_hex(const char *hex, char **ret_text)
{
    size_t length = strlen(hex);
    if (length % 2)
        return -EBADMSG;
    AUTO_FREE char *text = malloc(length / 2 + 1);
    if (!text)
        return -ENOMEM;
    for (size_t i = 0; i < length / 2; i++) {
        unsigned byte = 0;
        if (strspn(hex + 2 * i, "0123456789abcdef") < 2 || sscanf(hex + 2 * i, "%2x", &byte) != 1 ||
            byte == 0)
            return -EBADMSG;
        text[i] = (char)byte;
    }
    text[length / 2] = '\0';
    *ret_text = steal_pointer(&text);
    return 0;
}

static int text_from_json(const json_t *json, char **ret_text)
{
    const char *hex = json_string_value(json_object_get(json, "hex"));
    if (hex)
        return decode_hex(hex, ret_text);
    if (!json_is_string(json) || strlen(json_string_value(json)) != json_string_length(json))
        return -EBADMSG;
    char *text = strdup(json_string_value(json));
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    return 0;
}

static int get_text(const json_t *object, const char *member, bool required, char **ret_text,
                    const char **ret_fault)
{
    const json_t *json = json_object_get(object, member);
    if (!json && !required)
        return 0;
    *ret_fault = member;
    return text_from_json(json, ret_text);
}

static int get_integer(const json_t *object, const char *member, int64_t *ret_number,
                       const char **ret_fault)
{
    const json_t *json = json_object_get(object, member);
    *ret_fault = member;
    if (!json_is_integer(json))
        return -EBADMSG;
    *ret_number = json_integer_value(json);
    return 0;
}

static int get_number(const json_t *object, const char *member, int64_t *ret_number,
                      const char **ret_fault)
{
    int64_t number = 0;
    int r = get_integer(object, member, &number, ret_fault);
    if (r < 0 || number < 0)
        return -EBADMSG;
    *ret_number = number;
    return 0;
}

static int get_digest(const json_t *object, uint8_t ret_digest[SHA256_SIZE_BYTES],
                      const char **ret_fault)
{
    const char *hex = json_string_value(json_object_get(object, "sha256"));
    *ret_fault = "sha256";
    return hex && sha256_from_hex(hex, ret_digest) == 0 ? 0 : -EBADMSG;
}

static int get_vector(const json_t *object, const char *member, char ***ret_vector,
                      const char **ret_fault)
{
    const json_t *array = json_object_get(object, member);
    *ret_fault = member;
    if (!json_is_array(array))
        return -EBADMSG;
    size_t count = json_array_size(array);
    char **vector = calloc(count + 1, sizeof(*vector));
    int r = vector ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = text_from_json(json_array_get(array, i), &vector[i]);
    if (r < 0) {
        strv_free(vector);
        return r;
    }
    *ret_vector = vector;
    return 0;
}

static int get_inputs(const json_t *root, struct manifest *manifest, const char **ret_fault)
{
    const json_t *array = json_object_get(root, "inputs");
    *ret_fault = "inputs";
    if (!json_is_array(array))
        return -EBADMSG;
    size_t count = json_array_size(array);
    manifest->inputs = calloc(count + 1, sizeof(*manifest->inputs));
    if (!manifest->inputs)
        return -ENOMEM;
    manifest->input_count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(array, i);
        int r = get_text(row, "path", true, &manifest->inputs[i].path, ret_fault);
        if (r == 0)
            r = get_digest(row, manifest->inputs[i].digest, ret_fault);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_mode(const json_t *row, mode_t *ret_mode)
{
    const char *text = json_string_value(json_object_get(row, "mode"));
    if (!text || strlen(text) != 4 || strspn(text, "01234567") != 4)
        return -EBADMSG;
    *ret_mode = (mode_t)strtoul(text, NULL, 8);
    return 0;
}

static int get_type(const json_t *row, enum entry_type *ret_type)
{
    const char *text = json_string_value(json_object_get(row, "type"));
    for (size_t i = 0; text && i < ARRAY_LENGTH(type_names); i++)
        if (!strcmp(text, type_names[i])) {
            *ret_type = (enum entry_type)i;
            return 0;
        }
    return -EBADMSG;
}

static int get_entry(const json_t *row, struct manifest_entry *entry, const char **ret_fault)
{
    int r = get_text(row, "path", true, &entry->path, ret_fault);
    if (r == 0 && !manifest_path_is_valid(entry->path))
        r = -EBADMSG;
    if (r < 0)
        return r;
    *ret_fault = "mode";
    r = get_mode(row, &entry->mode);
    if (r < 0)
        return r;
    *ret_fault = "type";
    r = get_type(row, &entry->type);
    if (r < 0 || entry->type == ENTRY_DIRECTORY)
        return r;
    if (entry->type == ENTRY_SYMLINK) {
        r = get_text(row, "target", true, &entry->target, ret_fault);
        return r == 0 && !manifest_link_is_inside(entry->path, entry->target) ? -EBADMSG : r;
    }
    int64_t size = 0;
    r = get_number(row, "size_bytes", &size, ret_fault);
    if (r < 0)
        return r;
    entry->size_bytes = (uint64_t)size;
    entry->is_sqlite = json_is_true(json_object_get(row, "sqlite"));
    entry->starts_in_wal = json_is_true(json_object_get(row, "wal"));
    r = get_digest(row, entry->digest, ret_fault);
    if (r < 0)
        return r;
    *ret_fault = "wal";
    /* A session patches bytes 18 and 19 of a database's header. */
    return entry->starts_in_wal && (!entry->is_sqlite || size < 20) ? -EBADMSG : 0;
}

/* Whether the directory above an entry is an entry as well. */
static bool has_parent(const struct manifest *manifest, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return true;
    AUTO_FREE char *parent = strndup(path, (size_t)(slash - path));
    const struct manifest_entry *entry = parent ? manifest_find(manifest, parent) : NULL;
    return entry && entry->type == ENTRY_DIRECTORY;
}

static int get_entries(const json_t *root, struct manifest *manifest, const char **ret_fault)
{
    const json_t *array = json_object_get(root, "entries");
    *ret_fault = "entries";
    if (!json_is_array(array))
        return -EBADMSG;
    size_t count = json_array_size(array);
    manifest->entries = calloc(count + 1, sizeof(*manifest->entries));
    if (!manifest->entries)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct manifest_entry *entry = &manifest->entries[i];
        manifest->entry_count = i + 1;
        int r = get_entry(json_array_get(array, i), entry, ret_fault);
        if (r < 0)
            return r;
        manifest->entry_count = i;
        *ret_fault = "entries";
        bool in_order = i == 0 || strcmp(entry[-1].path, entry->path) < 0;
        bool ok = in_order && has_parent(manifest, entry->path);
        manifest->entry_count = i + 1;
        if (!ok)
            return -EBADMSG;
    }
    return 0;
}

static int get_all(const json_t *root, struct manifest *manifest, const char **ret_fault)
{
    const char *key = json_string_value(json_object_get(root, "key"));
    *ret_fault = "key";
    if (!key || !sha256_is_hex(key))
        return -EBADMSG;
    memcpy(manifest->key, key, sizeof(manifest->key));
    int r = get_text(root, "name", false, &manifest->name, ret_fault);
    if (r == 0)
        r = get_text(root, "file", true, &manifest->file, ret_fault);
    if (r == 0 && !manifest_path_is_valid(manifest->file))
        r = -EBADMSG;
    if (r == 0)
        r = get_text(root, "salt", false, &manifest->salt, ret_fault);
    if (r == 0)
        r = get_integer(root, "created_ns", &manifest->created_ns, ret_fault);
    if (r == 0)
        r = get_number(root, "build_time_ns", &manifest->build_time_ns, ret_fault);
    if (r == 0)
        r = get_vector(root, "builder", &manifest->builder, ret_fault);
    if (r == 0)
        r = get_vector(root, "arguments", &manifest->arguments, ret_fault);
    if (r == 0)
        r = get_vector(root, "environment", &manifest->environment, ret_fault);
    if (r == 0)
        r = get_vector(root, "warnings", &manifest->warnings, ret_fault);
    if (r == 0)
        r = get_inputs(root, manifest, ret_fault);
    if (r == 0)
        r = get_entries(root, manifest, ret_fault);
    return r;
}

static int check_format(const json_t *root, const char *shown_path)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *version = json_object_get(root, "version");
    if (!format || strcmp(format, "mintfs-template") != 0 || !json_is_integer(version) ||
        json_integer_value(version) < 1)
        return log_fail(EBADMSG, "%s/%s: not a manifest of mintfs", shown_path, file_name);
    if (json_integer_value(version) > FORMAT_VERSION)
        return log_fail(EPROTONOSUPPORT,
                        "%s/%s: made by a later mintfs (format %lld, this one reads %d); update "
                        "mintfs, or use another store",
                        shown_path, file_name, (long long)json_integer_value(version),
                        FORMAT_VERSION);
    return 0;
}

/* Entries are read last: if there are any, the fault is in the last of them. */
static int log_fault(const struct manifest *manifest, const char *shown_path, const char *fault)
{
    size_t count = manifest->entry_count;
    const char *path = count ? manifest->entries[count - 1].path : NULL;
    return log_fail(EBADMSG, "%s/%s: damaged: \"%s\"%s%s is missing or invalid", shown_path,
                    file_name, fault, path ? " of " : "", path ? path : "");
}

int manifest_read(int template_fd, const char *shown_path, struct manifest **ret_manifest)
{
    AUTO_FREE char *text = NULL;
    size_t size = 0;
    int r = dir_read_file(template_fd, file_name, MANIFEST_LIMIT_BYTES, &text, &size);
    if (r == -ENOENT)
        return r;
    if (r == -EINVAL || r == -ELOOP)
        return log_fail(EBADMSG, "%s/%s: not a manifest: not a regular file", shown_path,
                        file_name);
    bool is_too_large = r == -EFBIG || (r == 0 && !json_is_within(text, size, &bounds));
    if (is_too_large)
        return log_fail(EBADMSG, "%s/%s: damaged: larger than a manifest can be", shown_path,
                        file_name);
    if (r < 0)
        return log_errno(r, "%s/%s", shown_path, file_name);
    json_error_t error;
    AUTO_JSON json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return log_fail(EBADMSG, "%s/%s: damaged: line %d: %s", shown_path, file_name, error.line,
                        error.text);
    r = check_format(root, shown_path);
    if (r < 0)
        return r;
    AUTO_MANIFEST struct manifest *manifest = calloc(1, sizeof(*manifest));
    const char *fault = "";
    r = manifest ? get_all(root, manifest, &fault) : -ENOMEM;
    if (r == -EBADMSG)
        return log_fault(manifest, shown_path, fault);
    if (r < 0)
        return log_errno(r, "%s/%s", shown_path, file_name);
    *ret_manifest = steal_pointer(&manifest);
    return 0;
}
