/*
 * Fuzz targets: each reads bytes that anybody might have written, and must say no or read them
 * right; a crash, a leak or undefined behaviour is a failure. Built with -Dfuzz=true each is a
 * libFuzzer program (scripts/soak fuzz); else replay.c runs it over its corpus, as a test.
 */
#ifndef MINTFS_TESTS_FUZZ_H
#define MINTFS_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes as text: a copy that ends in NUL, to be freed. */
char *fuzz_text(const uint8_t *data, size_t size);
/* Makes an empty directory, removed at the end, and steps into it; messages go nowhere. */
void fuzz_directory(void);
/* Writes a file in the current directory anew. */
void fuzz_write(const char *name, const uint8_t *data, size_t size);

#endif
