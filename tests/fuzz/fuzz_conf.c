/* mintfs.conf of the current directory. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "fs/store/build_spec.h"
#include "fs/store/project_conf.h"

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
        const struct project_conf_request request = {.section = sections[i]};
        if (project_conf_read(&request, &spec) == 0)
            build_spec_free(spec);
    }
    return 0;
}
