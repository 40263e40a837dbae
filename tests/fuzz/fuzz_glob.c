/* Patterns and paths: the first line is the pattern, the second the path. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "fs/store/glob.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *pattern = fuzz_text(data, size);
    char *path = strchr(pattern, '\n');
    if (path)
        *path++ = '\0';
    struct glob glob;
    if (path && glob_compile(pattern, &glob) == 0) {
        bool whole = glob_matches(&glob, path);
        /* Text without wildcards matches itself, and what it matches is no accident. */
        if (!glob_is_pattern(pattern) && !strchr(pattern, '\\') && !strcmp(pattern, path) && !whole)
            abort();
        glob_fini(&glob);
    }
    if (path && !strchr(path, '/'))
        (void)glob_part_matches(pattern, path);
    free(pattern);
    return 0;
}
