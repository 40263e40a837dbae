/*
 * Fuzz targets: each reads bytes that anybody might have written, and must refuse them or read them
 * correctly. A crash, a leak or undefined behaviour is a failure. Built with -Dfuzz=true, each is a
 * libFuzzer program (scripts/soak fuzz); otherwise replay.c runs it over its corpus, as a test.
 */
#ifndef MINTFS_TESTS_FUZZ_H
#define MINTFS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Returns the bytes as text: a copy that ends in NUL, which the caller frees. */
char *fuzz_text(const uint8_t *data, size_t size);
/* Changes to a new, empty directory, which is removed at exit. */
void fuzz_directory(void);
/* Writes or replaces a file in the current directory. */
void fuzz_write(const char *name, const uint8_t *data, size_t size);

#endif
