#include "fs/base/glob.h"

#include <limits.h>
#include <string.h>

bool glob_is_pattern(const char *text)
{
    return strpbrk(text, "*?[\\") != NULL;
}

/*
 * Compares the element at the beginning of the pattern ("?", "[...]", "\x" or a character) with one
 * byte. Returns the element's length if it matches, else 0.
 */
static size_t match_element(const char *pattern, unsigned char byte)
{
    if (pattern[0] == '?')
        return 1;
    if (pattern[0] == '\\' && pattern[1])
        return (unsigned char)pattern[1] == byte ? 2 : 0;
    if (pattern[0] != '[')
        return (unsigned char)pattern[0] == byte ? 1 : 0;
    const char *p = pattern + 1;
    bool negated = *p == '!' || *p == '^';
    if (negated)
        p++;
    bool found = false;
    /* A "]" in the first place is literal. */
    for (bool first = true; *p && (first || *p != ']'); first = false) {
        if (*p == '\\' && p[1])
            p++;
        unsigned char low = (unsigned char)*p++;
        unsigned char high = low;
        if (*p == '-' && p[1] && p[1] != ']') {
            p++;
            if (*p == '\\' && p[1])
                p++;
            high = (unsigned char)*p++;
        }
        if (low <= byte && byte <= high)
            found = true;
    }
    if (*p != ']' || found == negated)
        return 0;
    return (size_t)(p + 1 - pattern);
}

bool glob_part_matches(const char *pattern, const char *text)
{
    if (text[0] == '.' && pattern[0] != '.' && !(pattern[0] == '\\' && pattern[1] == '.'))
        return false;
    /* Only the last star can need another attempt, so each byte is tried at most once per star. */
    const char *star = NULL;
    const char *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
            continue;
        }
        size_t length = *pattern ? match_element(pattern, (unsigned char)*text) : 0;
        if (length) {
            pattern += length;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool is_any_depth(const char *part)
{
    return part[0] == '*' && part[1] == '*' && part[2] == '\0';
}

/* Whether every bracket of the part is closed, and the part does not end with a backslash. */
static bool is_well_formed(const char *part)
{
    for (const char *p = part; *p; p++) {
        if (*p == '\\') {
            if (!*++p)
                return false;
        } else if (*p == '[') {
            p++;
            if (*p == '!' || *p == '^')
                p++;
            if (*p == ']')
                p++;
            for (; *p != ']'; p++)
                if (!*p || (*p == '\\' && !*++p))
                    return false;
        }
    }
    return true;
}

int glob_compile(const char *text, struct glob *ret_glob)
{
    if (strlen(text) >= PATH_MAX)
        return -EINVAL;
    struct glob glob = {.text = strdup(text)};
    if (!glob.text)
        return -ENOMEM;
    for (char *part = glob.text, *next; part; part = next) {
        next = strchr(part, '/');
        if (next)
            *next++ = '\0';
        if (!strcmp(part, "."))
            continue;
        bool is_trailing_slash = !*part && !next && glob.count > 0;
        if (is_trailing_slash)
            break;
        if (!*part || !strcmp(part, "..") || !is_well_formed(part) ||
            glob.count == GLOB_PARTS_MAX) {
            glob_fini(&glob);
            return -EINVAL;
        }
        /* A second "**" in a row adds nothing. */
        if (is_any_depth(part) && glob.count && is_any_depth(glob.parts[glob.count - 1]))
            continue;
        glob.parts[glob.count++] = part;
    }
    if (glob.count == 0) {
        glob_fini(&glob);
        return -EINVAL;
    }
    *ret_glob = glob;
    return 0;
}

void glob_fini(struct glob *glob)
{
    free(glob->text);
    *glob = (struct glob){.text = NULL};
}

/* "**" also matches zero components: a path that reaches it has also passed it. */
static glob_state skip_any_depth(const struct glob *glob, glob_state state)
{
    for (size_t i = 0; i < glob->count; i++)
        if ((state & 1ULL << i) && is_any_depth(glob->parts[i]))
            state |= 1ULL << (i + 1);
    return state;
}

glob_state glob_start(const struct glob *glob)
{
    return skip_any_depth(glob, 1);
}

glob_state glob_step(const struct glob *glob, glob_state state, const char *part)
{
    glob_state next = 0;
    for (size_t i = 0; i < glob->count; i++) {
        if (!(state & 1ULL << i))
            continue;
        if (is_any_depth(glob->parts[i])) {
            if (part[0] != '.')
                next |= 1ULL << i;
        } else if (glob_part_matches(glob->parts[i], part)) {
            next |= 1ULL << (i + 1);
        }
    }
    return skip_any_depth(glob, next);
}

bool glob_is_match(const struct glob *glob, glob_state state)
{
    return state & 1ULL << glob->count;
}

bool glob_matches(const struct glob *glob, const char *path)
{
    char part[NAME_MAX + 1];
    glob_state state = glob_start(glob);
    while (state) {
        size_t length = strcspn(path, "/");
        if (length > NAME_MAX)
            return false;
        memcpy(part, path, length);
        part[length] = '\0';
        state = glob_step(glob, state, part);
        if (!path[length])
            return glob_is_match(glob, state);
        path += length + 1;
    }
    return false;
}
