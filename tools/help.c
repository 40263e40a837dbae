#include "tools/help.h"

#include <string.h>

#include "fs/base/text.h"
#include "fs/base/wrap.h"
#include "tools/help_text.h"
#include "tools/output.h"

void help_print(const struct command *const *commands, FILE *stream)
{
    enum { INDENT = 12 };
    unsigned width = stream == stdout ? output_columns() : wrap_columns(STDERR_FILENO);
    wrap_print(stream, "usage: mintfs [-C DIR] COMMAND [OPTION]... [ARGUMENT]...", 0, INDENT,
               width);
    fputs("\n\n", stream);
    for (; *commands; commands++) {
        fprintf(stream, "  %-9s ", (*commands)->name);
        wrap_print(stream, (*commands)->summary, INDENT, INDENT, width);
        fputc('\n', stream);
    }
    fputc('\n', stream);
    wrap_print(stream,
               "-C DIR (--directory DIR) changes to DIR first. mintfs help COMMAND describes one "
               "command; mintfs --version prints the version.",
               0, 0, width);
    fputc('\n', stream);
}

void help_print_command(const struct command *command)
{
    enum { INDENT = 7 };
    AUTO_FREE char *usage = text_format("usage: mintfs %s %s", command->name, command->synopsis);
    if (!usage)
        return;
    output_wrapped(usage, INDENT);
    putchar('\n');
    output_wrapped(command->summary, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(help_texts); i++)
        if (!strcmp(help_texts[i].command, command->name)) {
            putchar('\n');
            output_paragraphs(help_texts[i].text);
        }
}
