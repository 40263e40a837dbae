#include "fs/store/explain.h"

#include <string.h>

#include "fs/base/log.h"
#include "fs/base/vector.h"
#include "fs/store/catalog_list.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/names.h"
#include "fs/store/template_dir.h"

/* CANDIDATES_MAX: how many manifests are read, those of the templates used last. */
enum { CANDIDATES_MAX = 50, NAMED_MAX = 2 };

void explanation_fini(struct explanation *explanation)
{
    for (size_t i = 0; i < explanation->count; i++)
        free(explanation->items[i].what);
    vector_fini(explanation);
    *explanation = (struct explanation){.items = NULL};
}

/* Takes `what`, which may be NULL: -ENOMEM. */
static int add(struct explanation *explanation, const char *kind, const char *change, char *what)
{
    struct difference difference = {.kind = kind, .change = change, .what = what};
    int r = what ? vector_push(explanation, difference) : -ENOMEM;
    if (r < 0)
        free(what);
    return r;
}

/* Both are sorted by path. */
static int compare_inputs(const struct key *key, const struct manifest *manifest,
                          struct explanation *explanation)
{
    size_t i = 0;
    size_t j = 0;
    int r = 0;
    while (r == 0 && i < key->inputs.count && j < manifest->input_count) {
        const struct manifest_input *now = &key->inputs.items[i];
        const struct manifest_input *then = &manifest->inputs[j];
        int order = strcmp(now->path, then->path);
        if (order < 0)
            r = add(explanation, "input", "added", strdup(now->path));
        else if (order > 0)
            r = add(explanation, "input", "removed", strdup(then->path));
        else if (memcmp(now->digest, then->digest, sizeof(now->digest)) != 0)
            r = add(explanation, "input", "changed", strdup(now->path));
        i += order <= 0;
        j += order >= 0;
    }
    for (; r == 0 && i < key->inputs.count; i++)
        r = add(explanation, "input", "added", strdup(key->inputs.items[i].path));
    for (; r == 0 && j < manifest->input_count; j++)
        r = add(explanation, "input", "removed", strdup(manifest->inputs[j].path));
    return r;
}

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

static const char *find_variable(char *const *variables, const char *wanted)
{
    size_t length = name_length(wanted);
    for (size_t i = 0; variables && variables[i]; i++)
        if (name_length(variables[i]) == length && !memcmp(variables[i], wanted, length))
            return variables[i];
    return NULL;
}

static int compare_variables(const struct key *key, const struct manifest *manifest,
                             struct explanation *explanation)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < key->environment.count; i++) {
        const char *now = key->environment.items[i];
        const char *then = find_variable(manifest->environment, now);
        if (!then || strcmp(now, then) != 0)
            r = add(explanation, "variable", then ? "changed" : "added",
                    strndup(now, name_length(now)));
    }
    for (size_t i = 0; r == 0 && manifest->environment && manifest->environment[i]; i++)
        if (!find_variable(key->environment.items, manifest->environment[i]))
            r = add(explanation, "variable", "removed",
                    strndup(manifest->environment[i], name_length(manifest->environment[i])));
    return r;
}

static int compare_arguments(const struct key *key, const struct manifest *manifest,
                             struct explanation *explanation)
{
    size_t before = strv_length(manifest->arguments);
    int r = 0;
    size_t i = 0;
    for (; r == 0 && i < key->arguments.count && i < before; i++)
        if (strcmp(key->arguments.items[i], manifest->arguments[i]) != 0)
            r = add(explanation, "argument", "changed", strdup(key->arguments.items[i]));
    for (size_t j = i; r == 0 && j < key->arguments.count; j++)
        r = add(explanation, "argument", "added", strdup(key->arguments.items[j]));
    for (size_t j = i; r == 0 && j < before; j++)
        r = add(explanation, "argument", "removed", strdup(manifest->arguments[j]));
    return r;
}

int explain_against(const struct build_spec *spec, const struct key *key,
                    const struct manifest *manifest, struct explanation *ret_explanation)
{
    struct explanation made = {.created_ns = manifest->created_ns};
    memcpy(made.nearest, manifest->key, sizeof(made.nearest));
    int r = compare_inputs(key, manifest, &made);
    if (r == 0)
        r = compare_variables(key, manifest, &made);
    if (r == 0)
        r = compare_arguments(key, manifest, &made);
    const char *salt = spec->salt ? spec->salt : "";
    const char *old_salt = manifest->salt ? manifest->salt : "";
    if (r == 0 && strcmp(salt, old_salt) != 0)
        r = add(&made, "salt", "changed", strdup(salt));
    /* Without --file the manifest's file may differ from the one in its key, so it is compared
     * last. */
    if (r == 0 && made.count == 0 && strcmp(key->hex, manifest->key) != 0)
        r = add(&made, "file", "changed", strdup(build_spec_file(spec)));
    if (r < 0) {
        explanation_fini(&made);
        return r;
    }
    *ret_explanation = made;
    return 0;
}

struct search {
    const struct store *store;
    const struct build_spec *spec;
    const struct key *key;
    struct explanation best;
    bool found;
    size_t read;
};

static int compare_with(const struct catalog_row *row, void *context)
{
    struct search *search = context;
    if (search->read == CANDIDATES_MAX ||
        (search->spec->name && !catalog_row_has_name(row, search->spec->name)))
        return 0;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    AUTO_EXPLANATION struct explanation one = {.items = NULL};
    int r = template_read_manifest(search->store, row->key, &manifest);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    search->read++;
    r = explain_against(search->spec, search->key, manifest, &one);
    if (r < 0)
        return r;
    if (!search->found || one.count < search->best.count) {
        struct explanation worse = search->best;
        search->best = one;
        one = worse;
        search->found = true;
    }
    return 0;
}

int explain(const struct store *store, const struct build_spec *spec, const struct key *key,
            struct explanation *ret_explanation)
{
    struct search search = {.store = store, .spec = spec, .key = key};
    /* First enters the templates that came from another machine. */
    int r = catalog_reconcile(store->catalog);
    if (r == 0)
        r = catalog_each(store->catalog, compare_with, &search);
    if (r < 0) {
        explanation_fini(&search.best);
        return r;
    }
    *ret_explanation = search.best;
    return 0;
}

char *explanation_line(const struct explanation *explanation)
{
    char *line = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&line, &size);
    if (!stream)
        return NULL;
    for (size_t i = 0; i < explanation->count && i < NAMED_MAX; i++) {
        const struct difference *item = &explanation->items[i];
        bool is_named = strcmp(item->kind, "salt") != 0;
        (void)fprintf(stream, "%s%s%s%.120s %s", i ? ", " : "", item->kind, is_named ? " " : "",
                      is_named ? item->what : "", item->change);
    }
    if (explanation->count > NAMED_MAX)
        (void)fprintf(stream, " and %zu more", explanation->count - NAMED_MAX);
    if (fclose(stream) == 0)
        return line;
    free(line);
    return NULL;
}

void explain_miss(const struct store *store, const struct build_spec *spec, const struct key *key)
{
    AUTO_EXPLANATION struct explanation explanation = {.items = NULL};
    /* A failure of the catalog has been logged, and does not stop the build. */
    if (explain(store, spec, key, &explanation) < 0)
        return;
    const char *name = spec->name ? spec->name : "";
    const char *colon = spec->name ? ": " : "";
    AUTO_FREE char *line = explanation.nearest[0] ? explanation_line(&explanation) : NULL;
    if (line)
        log_info("%s%snot cached; against %" PRI_KEY ": %s", name, colon, explanation.nearest,
                 line);
    else
        log_info("%s%snot cached; there is no template %s yet", name, colon,
                 spec->name ? "of that name" : "to compare with");
}
