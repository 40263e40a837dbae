#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/base/dir.h"

static char place[] = "/tmp/mintfs-fuzz-XXXXXX";

char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

static void remove_place(void)
{
    if (chdir("/") < 0 || dir_remove_tree(AT_FDCWD, place) < 0)
        abort();
}

void fuzz_directory(void)
{
    if (!mkdtemp(place) || chdir(place) < 0 || atexit(remove_place) != 0)
        abort();
}

void fuzz_write(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0)
        abort();
}
