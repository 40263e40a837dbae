/* Session IDs, paths and link targets in manifests, and words of a command. */
#include "tests/fuzz/fuzz.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/base/shell_words.h"
#include "fs/store/manifest.h"
#include "fs/store/session_id.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    if (session_id_is_valid(text) && (strlen(text) > SESSION_ID_MAX || strchr(text, '/')))
        abort();
    if (manifest_path_is_valid(text) && (text[0] == '/' || strlen(text) >= PATH_MAX))
        abort();
    char *target = strchr(text, '\n');
    if (target) {
        *target++ = '\0';
        if (manifest_path_is_valid(text) && manifest_link_is_inside(text, target) &&
            target[0] == '/')
            abort();
    }
    struct strlist words = {0};
    (void)!shell_words_split(target ? target : text, &words);
    strlist_fini(&words);
    free(text);
    return 0;
}
