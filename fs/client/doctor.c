#include "fs/client/doctor.h"

#include <stdarg.h>
#include <string.h>

static void add(struct doctor *doctor, const struct finding *finding)
{
    if (doctor->count == doctor->room) {
        size_t room = doctor->room ? doctor->room * 2 : 32;
        struct finding *longer = realloc(doctor->findings, room * sizeof(*longer));
        if (!longer) {
            doctor->out_of_memory = true;
            free(finding->text);
            free(finding->command);
            return;
        }
        doctor->findings = longer;
        doctor->room = room;
    }
    doctor->findings[doctor->count++] = *finding;
}

void doctor_say(struct doctor *doctor, enum finding_level level, const char *check,
                const char *command, const char *format, ...)
{
    struct finding finding = {.level = level, .check = check};
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&finding.text, format, arguments) < 0)
        finding.text = NULL;
    va_end(arguments);
    finding.command = command ? strdup(command) : NULL;
    doctor->out_of_memory |= !finding.text || (command && !finding.command);
    add(doctor, &finding);
}

void doctor_say_fixed(struct doctor *doctor, const char *check, const char *format, ...)
{
    struct finding finding = {.level = FINDING_OK, .check = check, .fixed = true};
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&finding.text, format, arguments) < 0)
        finding.text = NULL;
    va_end(arguments);
    doctor->out_of_memory |= !finding.text;
    add(doctor, &finding);
}

char *doctor_text(const char *format, ...)
{
    char *text;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return text;
}

void doctor_fini(struct doctor *doctor)
{
    for (size_t i = 0; i < doctor->count; i++) {
        free(doctor->findings[i].text);
        free(doctor->findings[i].command);
    }
    free(doctor->findings);
    free(doctor->no_mount_why);
    free(doctor->store_path);
    free(doctor->mounted_at);
}
