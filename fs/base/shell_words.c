#include "fs/base/shell_words.h"

#include <ctype.h>
#include <string.h>

/* Takes one word off the line into the buffer, which has room for the whole line. */
static int take_word(const char **line, char *word)
{
    const char *p = *line;
    char quote = '\0';
    for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
        if (quote && *p == quote) {
            quote = '\0';
        } else if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (*p == '\\' && (!quote || (quote == '"' && (p[1] == '\\' || p[1] == '"')))) {
            if (!*++p)
                return -EINVAL;
            *word++ = *p;
        } else {
            *word++ = *p;
        }
    }
    *word = '\0';
    *line = p;
    return quote ? -EINVAL : 0;
}

int shell_words_split(const char *line, struct strlist *words)
{
    AUTO_FREE char *word = malloc(strlen(line) + 1);
    if (!word)
        return -ENOMEM;
    for (;;) {
        while (isspace((unsigned char)*line))
            line++;
        if (!*line)
            return 0;
        int r = take_word(&line, word);
        if (r == 0)
            r = strlist_add(words, word);
        if (r < 0)
            return r;
    }
}
