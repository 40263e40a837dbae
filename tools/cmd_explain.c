/*
 * mintfs explain: prints whether a build would be a hit, and if not, why.
 *
 * With --json: {"key", "name", "hit", "nearest": KEY or null, "differences": [{"kind":
 * "input"|"variable"|"argument"|"salt"|"file", "change": "added"|"removed"|"changed",
 * "what"}...]}.
 */
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/units.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/explain.h"
#include "fs/store/names.h"
#include "fs/store/store_open.h"
#include "fs/store/template.h"
#include "tools/command.h"
#include "tools/output.h"
#include "tools/spec_options.h"

static json_t *differences_of(const struct explanation *explanation)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < explanation->count; i++)
        (void)json_array_append_new(array,
                                    json_pack("{s:s, s:s, s:o}", "kind", explanation->items[i].kind,
                                              "change", explanation->items[i].change, "what",
                                              json_text(explanation->items[i].what)));
    return array;
}

static void print_text(const struct build_spec *spec, const struct key *key, bool is_hit,
                       const struct explanation *explanation)
{
    char age[UNITS_TEXT_SIZE];
    if (is_hit) {
        printf("hit: %s\n", key->hex);
        return;
    }
    printf("miss: %s\n", key->hex);
    if (!explanation->nearest[0]) {
        if (spec->name)
            printf("there is no template with the name %s\n", spec->name);
        else
            printf("there is no template in the store\n");
        return;
    }
    printf("nearest: %.*s, made %s ago\n", SHORT_KEY_LENGTH, explanation->nearest,
           units_format_age(explanation->created_ns, age));
    for (size_t i = 0; i < explanation->count; i++) {
        const struct difference *item = &explanation->items[i];
        output_line("%s %s: %s", item->kind, item->change, item->what);
    }
}

static int run(const struct arguments *arguments)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    AUTO_EXPLANATION struct explanation explanation = {.items = NULL};
    AUTO_SPEC struct build_spec *spec = NULL;
    int r = spec_request_read(arguments, &spec);
    if (r == 0)
        r = store_open_existing(&store);
    if (r >= 0)
        r = key_compute(spec, &key);
    if (r == 0 && store)
        r = catalog_reconcile(store->catalog);
    bool is_hit = r == 0 && store && template_exists(store, key.hex);
    if (r == 0 && store && !is_hit)
        r = explain(store, spec, &key, &explanation);
    if (r < 0)
        return r;
    if (arguments->as_json)
        return output_json(json_pack("{s:s, s:o, s:b, s:s?, s:o}", "key", key.hex, "name",
                                     spec->name ? json_text(spec->name) : json_null(), "hit",
                                     is_hit, "nearest",
                                     explanation.nearest[0] ? explanation.nearest : NULL,
                                     "differences", differences_of(&explanation)));
    print_text(spec, &key, is_hit, &explanation);
    return 0;
}

static const struct command_option options[] = {SPEC_OPTIONS, SPEC_OPTION_TO, OPTIONS_END};

const struct command command_explain = {
    .name = "explain",
    .synopsis = "[--json] (the arguments of build)",
    .summary = "print whether a build would be a hit, and if not, why",
    .run = run,
    .request_size = sizeof(struct spec_request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .takes_json = true,
    .stops_at_operand = true,
};
