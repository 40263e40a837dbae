/*
 * mintfs doctor: prints what works here, what does not, and what to type.
 *
 * With --json: {"ok": whether nothing is bad, "checks": [{"check", "level": "ok"|"hint"|"bad",
 * "text", "command": what to type or null, "fixed"}...], "backend": {"wish":
 * "auto"|"fuse"|"copy"|null, "can_mount", "mounted_at": path or null, "fuse_from_bytes": size from
 * which a new session is a view on a mount, null: none is}, "store": path or null}.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "fs/base/json_text.h"
#include "fs/base/printable.h"
#include "fs/base/wrap.h"
#include "fs/client/doctor.h"
#include "tools/command.h"
#include "tools/output.h"

struct doctor_request {
    bool fix;
};

static const char *const level_names[] = {
    [FINDING_OK] = "ok", [FINDING_HINT] = "hint", [FINDING_BAD] = "bad"};

static json_t *text_or_null(const char *text)
{
    return text ? json_text(text) : json_null();
}

static int print_json(const struct doctor *doctor, bool good)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < doctor->findings.count; i++) {
        const struct finding *finding = &doctor->findings.items[i];
        (void)json_array_append_new(
            checks, json_pack("{s:s, s:s, s:o, s:o, s:b}", "check", finding->check, "level",
                              level_names[finding->level], "text", json_text(finding->text),
                              "command", text_or_null(finding->command), "fixed", finding->fixed));
    }
    json_t *size = doctor->fuse_from_bytes == UINT64_MAX
                       ? json_null()
                       : json_integer((json_int_t)doctor->fuse_from_bytes);
    json_t *root =
        json_pack("{s:b, s:o, s:{s:o, s:b, s:o, s:o}, s:o}", "ok", good, "checks", checks,
                  "backend", "wish", text_or_null(doctor->preference), "can_mount",
                  doctor->can_mount, "mounted_at", text_or_null(doctor->mounted_at),
                  "fuse_from_bytes", size, "store", text_or_null(doctor->store_path));
    return output_json(root);
}

static void print_finding(const struct finding *finding, unsigned width)
{
    enum { INDENT = 6 };
    printf("%-4s  %s: ", level_names[finding->level], finding->check);
    wrap_print(stdout, finding->text, INDENT + (unsigned)strlen(finding->check) + 2, INDENT, width);
    putchar('\n');
    AUTO_FREE char *command = finding->command ? strdup(finding->command) : NULL;
    /* In one line, so that it can be copied. */
    if (command) {
        printable_clean(command);
        printf("%*s%s\n", INDENT + 2, "", command);
    }
}

static bool is_good(const struct doctor *doctor)
{
    bool good = true;
    for (size_t i = 0; i < doctor->findings.count; i++)
        good = good && doctor->findings.items[i].level != FINDING_BAD;
    return good;
}

static int run(const struct arguments *arguments)
{
    const struct doctor_request *request = arguments->request;
    CLEANUP(doctor_fini) struct doctor doctor = {.fix = request->fix};
    doctor_check_machine(&doctor);
    doctor_check_store(&doctor);
    if (doctor.out_of_memory)
        return -ENOMEM;
    bool good = is_good(&doctor);
    unsigned width = output_columns();
    int r = arguments->as_json ? print_json(&doctor, good) : 0;
    for (size_t i = 0; !arguments->as_json && i < doctor.findings.count; i++)
        print_finding(&doctor.findings.items[i], width);
    return r == 0 && !good ? EXIT_FAILED : r;
}

static const struct command_option options[] = {
    OPTION_SWITCH("fix", 0, doctor_request, fix),
    OPTIONS_END,
};

const struct command command_doctor = {
    .name = "doctor",
    .synopsis = "[--fix] [--json]",
    .summary = "check what works here, and print what to type where it does not",
    .run = run,
    .request_size = sizeof(struct doctor_request),
    .options = options,
    .takes_json = true,
};
