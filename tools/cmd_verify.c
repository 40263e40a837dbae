/*
 * mintfs verify: checks the store, or the named templates, and with --repair repairs it.
 *
 * Without operands it checks the sizes of files, and with --all their contents. Of named templates
 * it always checks the contents.
 *
 * With --json: {"templates", "bytes": read, "problems": [{"kind": "damaged"|"unknown"|"gone"|
 * "stale"|"leftover"|"foreign", "what": KEY or name, "repaired"}...]}; with --rebuild {"key",
 * "differences": [...]}.
 */
#include <stdio.h>

#include "fs/base/interrupt.h"
#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/gc_policy.h"
#include "fs/client/used_keys.h"
#include "fs/store/check.h"
#include "fs/store/named.h"
#include "fs/store/names.h"
#include "fs/store/reproduce.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/output.h"

struct verify_request {
    bool all;
    bool repair;
    const char *rebuild; /* KEY or NAME, or NULL */
};

struct verifying {
    const struct arguments *arguments;
    const struct verify_request *request;
    struct store *store;
    json_t *problems;
};

static void verifying_fini(struct verifying *verifying)
{
    json_decref(verifying->problems);
}

static void log_damaged(const struct verifying *verifying, const struct check_finding *finding)
{
    if (finding->is_repaired)
        log_info("template %.*s is evicted: the next build makes it again", SHORT_KEY_LENGTH,
                 finding->key);
    else if (verifying->request->repair)
        log_error("template %.*s stays damaged: %s", SHORT_KEY_LENGTH, finding->key,
                  gc_policy_describe(finding->outcome));
}

static void log_finding(const struct verifying *verifying, const struct check_finding *finding)
{
    bool done = finding->is_repaired;
    switch (finding->problem) {
    case CHECK_DAMAGED:
        log_damaged(verifying, finding);
        break;
    case CHECK_UNKNOWN:
        log_info("the catalog has no row for %.*s%s", SHORT_KEY_LENGTH, finding->key,
                 done ? ": entered" : "");
        break;
    case CHECK_GONE:
        log_info("the catalog has a row for %.*s, which does not exist%s", SHORT_KEY_LENGTH,
                 finding->key, done ? ": removed" : "");
        break;
    case CHECK_NAME:
        log_info("the name %s is that of %.*s, which does not exist%s", finding->what,
                 SHORT_KEY_LENGTH, finding->key, done ? ": removed" : "");
        break;
    case CHECK_STALE:
        log_info("the catalog's row for %.*s differs from its manifest or its pin%s",
                 SHORT_KEY_LENGTH, finding->key, done ? ": repaired" : "");
        break;
    case CHECK_LEFTOVER:
        log_info("a leftover in %s/v1/building: %s%s", verifying->store->path, finding->what,
                 done ? ": removed" : "");
        break;
    case CHECK_UNREADABLE:
    case CHECK_FOREIGN:
        break; /* logged by the check */
    }
}

static void add_problem(const struct check_finding *finding, void *context)
{
    static const char *const kinds[] = {
        [CHECK_DAMAGED] = "damaged",   [CHECK_UNREADABLE] = "damaged", [CHECK_UNKNOWN] = "unknown",
        [CHECK_GONE] = "gone",         [CHECK_NAME] = "gone",          [CHECK_STALE] = "stale",
        [CHECK_LEFTOVER] = "leftover", [CHECK_FOREIGN] = "foreign"};
    struct verifying *verifying = context;
    log_finding(verifying, finding);
    (void)json_array_append_new(
        verifying->problems, json_pack("{s:s, s:o, s:b}", "kind", kinds[finding->problem], "what",
                                       json_text(finding->what), "repaired", finding->is_repaired));
}

static int print_result(const struct verifying *verifying, const struct check_result *result)
{
    char bytes[UNITS_TEXT_SIZE];
    if (verifying->arguments->as_json)
        return output_json(json_pack("{s:I, s:I, s:O}", "templates", (json_int_t)result->templates,
                                     "bytes", (json_int_t)result->read_bytes, "problems",
                                     verifying->problems));
    log_info("%zu template%s checked, %s read: %zu problem%s%s", result->templates,
             result->templates == 1 ? "" : "s", units_format_size(result->read_bytes, bytes),
             result->problems, result->problems == 1 ? "" : "s",
             result->unrepaired ? "; --repair repairs what it can"
             : result->problems ? ", repaired"
                                : "");
    return 0;
}

static int verify(struct verifying *verifying)
{
    char **operand = verifying->arguments->operands;
    AUTO_STRLIST struct strlist keys = STRLIST_INIT;
    bool named = *operand;
    struct check_result result = {0};
    const struct check_options options = {
        .keys = named ? &keys : NULL,
        .contents = named || verifying->request->all,
        .repair = verifying->request->repair,
        .uses = used_keys_gather,
        .report = add_problem,
        .context = verifying,
    };
    int first_error = 0;
    int r = 0;
    for (; r == 0 && *operand; operand++) {
        char key[SHA256_HEX_LENGTH + 1];
        int one = named_resolve(verifying->store, *operand, key);
        first_error = first_error ? first_error : one;
        if (one == 0)
            r = strlist_add(&keys, key);
    }
    if (r == 0)
        r = check_store(verifying->store, &options, &result);
    if (r == 0)
        r = print_result(verifying, &result);
    if (r == 0 && result.unrepaired)
        r = -EBADMSG;
    return r < 0 ? r : first_error;
}

static int rebuild(struct verifying *verifying)
{
    AUTO_STRLIST struct strlist lines = STRLIST_INIT;
    AUTO_SPEC struct build_spec *spec = NULL;
    char key[SHA256_HEX_LENGTH + 1];
    int r = named_section(verifying->request->rebuild, &spec);
    if (r >= 0)
        r = named_resolve(verifying->store, verifying->request->rebuild, key);
    if (r == 0)
        r = reproduce_template(verifying->store, key, spec, &lines);
    if (r == -EINTR)
        interrupt_raise();
    if (r < 0)
        return r;
    json_t *differences = json_array();
    for (size_t i = 0; i < lines.count; i++)
        if (verifying->arguments->as_json)
            (void)json_array_append_new(differences, json_text(lines.items[i]));
        else
            output_line("%s", lines.items[i]);
    if (verifying->arguments->as_json)
        r = output_json(json_pack("{s:s, s:O}", "key", key, "differences", differences));
    else if (lines.count == 0)
        log_info("built again, %.*s is the same", SHORT_KEY_LENGTH, key);
    json_decref(differences);
    if (r == 0 && lines.count)
        return log_fail(EBADMSG, "the builder of %.*s is not deterministic", SHORT_KEY_LENGTH, key);
    return r;
}

static int run(const struct arguments *arguments)
{
    const struct verify_request *request = arguments->request;
    unsigned operands = arguments->operand_count;
    if (request->rebuild && (request->all || request->repair || operands))
        return usage_error(arguments,
                           "--rebuild takes no other option than --json, and no operand");
    if (request->all && operands)
        return usage_error(arguments, "--all checks every template, so none can be named: %s",
                           arguments->operands[0]);
    AUTO_STORE struct store *store = NULL;
    CLEANUP(verifying_fini)
    struct verifying verifying = {
        .arguments = arguments, .request = request, .problems = json_array()};
    int r = store_open_existing(&store);
    verifying.store = store;
    if (r < 0 || (r == 0 && (request->rebuild || operands)))
        return r < 0 ? r : -ENOENT;
    if (!store)
        return print_result(&verifying, &(struct check_result){0});
    return request->rebuild ? rebuild(&verifying) : verify(&verifying);
}

static const struct command_option options[] = {
    OPTION_SWITCH("all", 'a', verify_request, all),
    OPTION_SWITCH("repair", 0, verify_request, repair),
    OPTION_TEXT("rebuild", 0, "the KEY or NAME of a template", verify_request, rebuild),
    OPTIONS_END,
};

const struct command command_verify = {
    .name = "verify",
    .synopsis = "[-a] [--repair] [--json] [KEY|NAME...] | --rebuild KEY|NAME [--json]",
    .summary = "compare templates with their manifests, the catalog with the store",
    .run = run,
    .request_size = sizeof(struct verify_request),
    .options = options,
    .operands_max = OPERANDS_ANY,
    .takes_json = true,
};
