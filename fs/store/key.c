/*
 * A key is the SHA-256 of these lines. They never change without another first line: the golden
 * vectors in tests/unit/test_store_key.c check that.
 *
 *     mintfs-key-1 LF
 *     "salt " TEXT                 if there is one; an empty salt is one
 *     "file " TEXT
 *     "as " TEXT                   with --as; else
 *     "place " TEXT                the builder's directory relative to the root, if it is below it
 *     "argument " TEXT             for each argument, the program first
 *     "set " TEXT | "unset " TEXT  NAME=value or NAME, for each declared variable; by name, once
 *     "input " TEXT                the path, then its content's digest: "sha256 " 64 digits LF;
 *                                  by path
 *
 * TEXT is the length in bytes (decimal), ":", the bytes, LF, so that different fields never give
 * the same bytes. Everything is sorted as bytes, whatever the locale.
 *
 * An argument that is a path below the root counts by its relative path, also after the first "="
 * ("--config=/checkout/alembic.ini"); the program by its last part. Relative arguments count as
 * typed: they are relative to the builder's directory, which is the "place".
 */
#include "fs/store/key.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/base/text.h"
#include "fs/store/rootpath.h"

static int add_raw(struct sha256 *hash, const char *text)
{
    return sha256_update(hash, text, strlen(text));
}

static int add_field(struct sha256 *hash, const char *tag, const char *text)
{
    char length[32];
    (void)snprintf(length, sizeof(length), " %zu:", strlen(text));
    int r = add_raw(hash, tag);
    if (r == 0)
        r = add_raw(hash, length);
    if (r == 0)
        r = add_raw(hash, text);
    return r == 0 ? add_raw(hash, "\n") : r;
}

static int add_input(struct sha256 *hash, const struct manifest_input *input)
{
    char hex[SHA256_HEX_LENGTH + 1];
    char line[SHA256_HEX_LENGTH + 16];
    sha256_to_hex(input->digest, hex);
    (void)snprintf(line, sizeof(line), "sha256 %s\n", hex);
    int r = add_field(hash, "input", input->path);
    return r == 0 ? add_raw(hash, line) : r;
}

static bool mentions(const char *text, const char *path)
{
    size_t length = strlen(path);
    for (const char *at = text; (at = strstr(at, path)); at += length)
        if (length > 1 && (!at[length] || strchr("/'\": ", at[length])))
            return true;
    return false;
}

/* Whether the text contains the path of the checkout, as in "sqlite:////home/me/x.db". */
static bool mentions_root(const struct build_spec *spec, const char *text)
{
    return mentions(text, spec->root) || mentions(text, spec->root_as_typed);
}

/* Adds an argument as it counts in the key; a path that gives another checkout another key is a
 * warning. */
static int add_argument(struct strlist *arguments, const struct build_spec *spec,
                        const char *argument)
{
    const char *equals = strchr(argument, '=');
    const char *path = argument[0] == '/' ? argument : equals ? equals + 1 : "";
    if (path[0] != '/') {
        if (mentions_root(spec, argument))
            log_warning("the builder's argument \"%s\" contains the path of this checkout: "
                        "another one has another key; --as TEXT replaces the arguments in the key",
                        argument);
        return strlist_add(arguments, argument);
    }
    AUTO_FREE char *relative = NULL;
    int r = rootpath_relative(spec, path, &relative);
    if (r < 0)
        return r;
    if (!relative) {
        log_warning("the builder's argument \"%s\" is a path outside the root: it counts as typed, "
                    "so another path has another key; --as TEXT replaces the arguments in the key",
                    argument);
        return strlist_add(arguments, argument);
    }
    return strlist_take(arguments,
                        text_format("%.*s%s", (int)(path - argument), argument, relative));
}

static int count_arguments(const struct build_spec *spec, struct strlist *arguments)
{
    const char *program = spec->builder.items[0];
    const char *slash = strrchr(program, '/');
    int r = strlist_add(arguments, slash && slash[1] ? slash + 1 : program);
    for (size_t i = 1; r == 0 && i < spec->builder.count; i++)
        r = add_argument(arguments, spec, spec->builder.items[i]);
    return r;
}

static int add_arguments(struct sha256 *hash, const struct build_spec *spec,
                         struct strlist *arguments)
{
    if (spec->as) {
        int r = strlist_add(arguments, spec->as);
        return r == 0 ? add_field(hash, "as", spec->as) : r;
    }
    AUTO_FREE char *here = realpath(spec->directory ? spec->directory : ".", NULL);
    const char *place = here ? rootpath_below(spec->root, here) : NULL;
    int r = place && strcmp(place, ".") != 0 ? add_field(hash, "place", place) : 0;
    if (r == 0)
        r = count_arguments(spec, arguments);
    for (size_t i = 0; r == 0 && i < arguments->count; i++)
        r = add_field(hash, "argument", arguments->items[i]);
    return r;
}

static int add_environment(struct sha256 *hash, const struct build_spec *spec,
                           struct strlist *environment)
{
    AUTO_STRLIST struct strlist names = STRLIST_INIT;
    int r = 0;
    for (size_t i = 0; r == 0 && i < spec->env.count; i++)
        if (!strlist_contains(&names, spec->env.items[i]))
            r = strlist_add(&names, spec->env.items[i]);
    strlist_sort(&names);
    for (size_t i = 0; r == 0 && i < names.count; i++) {
        const char *value = getenv(names.items[i]);
        char *text = text_format("%s%s%s", names.items[i], value ? "=" : "", value ? value : "");
        r = strlist_take(environment, text);
        if (r == 0)
            r = add_field(hash, value ? "set" : "unset", text);
    }
    return r;
}

static int compute(const struct build_spec *spec, struct key *key)
{
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    uint8_t digest[SHA256_SIZE_BYTES];
    int r = hash ? add_raw(hash, "mintfs-key-1\n") : -ENOMEM;
    if (r == 0 && spec->salt)
        r = add_field(hash, "salt", spec->salt);
    if (r == 0)
        r = add_field(hash, "file", build_spec_file(spec));
    if (r == 0)
        r = add_arguments(hash, spec, &key->arguments);
    if (r == 0)
        r = add_environment(hash, spec, &key->environment);
    for (size_t i = 0; r == 0 && i < key->inputs.count; i++)
        r = add_input(hash, &key->inputs.items[i]);
    if (r == 0)
        r = sha256_final(hash, digest);
    if (r == 0)
        sha256_to_hex(digest, key->hex);
    return r;
}

int key_compute(const struct build_spec *spec, struct key *ret_key)
{
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT, .environment = STRLIST_INIT};
    int r = build_spec_check(spec);
    if (r == 0)
        r = inputs_read(spec, &key.inputs);
    if (r < 0)
        return r;
    r = compute(spec, &key);
    if (r < 0)
        return log_errno(r, "key");
    *ret_key = key;
    key = (struct key){.arguments = STRLIST_INIT};
    return 0;
}

void key_fini(struct key *key)
{
    inputs_fini(&key->inputs);
    strlist_fini(&key->arguments);
    strlist_fini(&key->environment);
}
