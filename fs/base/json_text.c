#include "fs/base/json_text.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/cleanup.h"
#include "fs/base/printable.h"

json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    AUTO_FREE char *clean = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&clean, &size);
    if (!stream)
        return NULL;
    while (*text) {
        size_t length = utf8_length(text);
        (void)fprintf(stream, "%.*s", length ? (int)length : 3, length ? text : "\xef\xbf\xbd");
        text += length ? length : 1;
    }
    return fclose(stream) == 0 ? json_string(clean) : NULL;
}

json_t *json_words(const char *words)
{
    json_t *array = json_array();
    while (array && *words) {
        size_t length = strcspn(words, " ");
        (void)json_array_append_new(array, json_stringn(words, length));
        words += length + (words[length] == ' ');
    }
    return array;
}
