/*
 * Texts as JSON strings.
 */
#ifndef MINTFS_BASE_JSON_TEXT_H
#define MINTFS_BASE_JSON_TEXT_H

#include <jansson.h>

/* A JSON string. Bytes that are not UTF-8, as file names may have, become U+FFFD each. NULL: no
 * memory. */
json_t *json_text(const char *text);

/* Words with one space between them as an array of strings. */
json_t *json_words(const char *words);

#endif
