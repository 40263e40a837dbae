#include "tools/command.h"

#include "fs/base/log.h"
#include "fs/base/text.h"

int usage_error(const struct arguments *arguments, const char *format, ...)
{
    const struct command *group = arguments->group;
    const struct command *shown = group ? group : arguments->command;
    va_list list;
    va_start(list, format);
    AUTO_FREE char *text = text_vformat(format, list);
    va_end(list);
    log_error("%s%s%s: %s", group ? group->name : "", group ? ": " : "", arguments->command->name,
              text ? text : "wrong arguments");
    log_info("usage: mintfs %s %s", shown->name, shown->synopsis);
    return -EINVAL;
}
