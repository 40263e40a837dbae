/* mintfs.conf of the current directory. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "fs/store/conf.h"
#include "fs/store/spec.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_directory();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sections[] = {NULL, "unit"};
    fuzz_write("mintfs.conf", data, size);
    for (size_t i = 0; i < 2; i++) {
        struct build_spec *spec = NULL;
        const struct conf_request request = {.section = sections[i]};
        if (conf_read(&request, &spec) == 0)
            spec_free(spec);
    }
    return 0;
}
