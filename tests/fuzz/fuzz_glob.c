/* Patterns and paths: the first line is the pattern, the second the path. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "fs/base/glob.h"

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
        (void)glob_matches(&glob, path);
        glob_fini(&glob);
    }
    if (path && !strchr(path, '/'))
        (void)glob_part_matches(pattern, path);
    free(pattern);
    return 0;
}
