/* manifest.json, as it may be in a template from another machine. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/store/manifest_file.h"

static int directory = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_directory();
    directory = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_write("manifest.json", data, size);
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (manifest_read(directory, "template", &manifest) < 0)
        return 0;
    for (size_t i = 0; i < manifest->entry_count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (!manifest_path_is_valid(entry->path) || manifest_find(manifest, entry->path) != entry)
            abort();
    }
    (void)manifest_size_bytes(manifest);
    return 0;
}
