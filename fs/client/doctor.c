#include "fs/client/doctor.h"

#include <stdarg.h>
#include <string.h>

#include "fs/base/text.h"

/* Takes ownership of the finding's texts. */
static void add(struct doctor *doctor, const struct finding *finding)
{
    if (finding->text && vector_push(&doctor->findings, *finding) == 0)
        return;
    doctor->out_of_memory = true;
    free(finding->text);
    free(finding->command);
}

void doctor_add(struct doctor *doctor, enum finding_level level, const char *check,
                const char *command, const char *format, ...)
{
    struct finding finding = {.level = level, .check = check};
    va_list arguments;
    va_start(arguments, format);
    finding.text = text_vformat(format, arguments);
    va_end(arguments);
    finding.command = command ? strdup(command) : NULL;
    doctor->out_of_memory |= command && !finding.command;
    add(doctor, &finding);
}

void doctor_add_fixed(struct doctor *doctor, const char *check, const char *format, ...)
{
    struct finding finding = {.level = FINDING_OK, .check = check, .fixed = true};
    va_list arguments;
    va_start(arguments, format);
    finding.text = text_vformat(format, arguments);
    va_end(arguments);
    add(doctor, &finding);
}

void doctor_fini(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->findings.count; i++) {
        free(doctor->findings.items[i].text);
        free(doctor->findings.items[i].command);
    }
    vector_fini(&doctor->findings);
    free(doctor->no_mount_why);
    free(doctor->store_path);
    free(doctor->mounted_at);
}
