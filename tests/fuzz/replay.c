/* Runs a fuzz target over files, as an ordinary test. usage: fuzz-TARGET DIRECTORY */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

enum { SIZE_MAX_BYTES = 1 << 20 };
static uint8_t data[SIZE_MAX_BYTES];

static void run(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, data, sizeof(data));
    if (size < 0) {
        perror(name);
        exit(1);
    }
    (void)close(fd);
    printf("%s\n", name);
    (void)fflush(stdout);
    /* Also truncated, as a killed writer leaves it. */
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    for (ssize_t part = 0; part < size && part < 512; part += 7)
        (void)LLVMFuzzerTestOneInput(data, (size_t)part);
}

int main(int argc, char **argv)
{
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    if (!directory) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    /* The messages of the targets are of no interest. */
    if (!freopen("/dev/null", "w", stderr))
        return 1;
    (void)LLVMFuzzerInitialize(&argc, &argv);
    int count = 0;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        run(dirfd(directory), entry->d_name);
        count++;
    }
    (void)closedir(directory);
    return count ? 0 : 1;
}
