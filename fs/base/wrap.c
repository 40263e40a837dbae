#include "fs/base/wrap.h"

#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/printable.h"

unsigned wrap_columns(int fd)
{
    struct winsize window = {0};
    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &window) == 0 ? window.ws_col : 0;
}

/* Columns on the screen: bytes that begin a character. */
static unsigned width_of(const char *text, size_t length)
{
    unsigned width = 0;
    for (size_t i = 0; i < length; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

void wrap_print(FILE *stream, const char *text, unsigned column, unsigned indent, unsigned width)
{
    AUTO_FREE char *clean = strdup(text);
    if (!clean)
        return;
    printable_clean(clean);
    text = clean;
    for (bool first = true; *text; first = false) {
        size_t length = strcspn(text, " ");
        unsigned own = width_of(text, length);
        if (!first && width && column + 1 + own > width && indent + own <= width) {
            (void)fprintf(stream, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            (void)fputc(' ', stream);
            column++;
        }
        (void)fprintf(stream, "%.*s", (int)length, text);
        column += own;
        text += length + (text[length] == ' ');
    }
}
