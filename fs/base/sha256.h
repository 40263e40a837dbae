/*
 * SHA-256 (FIPS 180-4), by OpenSSL's EVP, and its 64 hexadecimal digits.
 */
#ifndef MINTFS_BASE_SHA256_H
#define MINTFS_BASE_SHA256_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/base/cleanup.h"

enum { SHA256_SIZE_BYTES = 32, SHA256_HEX_LENGTH = 64 };

struct sha256;

/* NULL when out of memory. */
MUST_CHECK struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *hash);
void sha256_freep(struct sha256 **hash);
#define AUTO_SHA256 CLEANUP(sha256_freep)

MUST_CHECK int sha256_update(struct sha256 *hash, const void *data, size_t size);
/* Ends the hash; the object can only be freed afterwards. */
MUST_CHECK int sha256_final(struct sha256 *hash, uint8_t ret_digest[SHA256_SIZE_BYTES]);

MUST_CHECK int sha256_of_bytes(const void *data, size_t size,
                               uint8_t ret_digest[SHA256_SIZE_BYTES]);
/* The whole file from its start, whatever its offset. The second form uses the caller's buffer,
 * which is faster for many small files. */
MUST_CHECK int sha256_of_fd(int fd, uint8_t ret_digest[SHA256_SIZE_BYTES]);
MUST_CHECK int sha256_of_fd_through(int fd, void *buffer, size_t room,
                                    uint8_t ret_digest[SHA256_SIZE_BYTES]);
/* As sha256_of_fd(), but -ECANCELED soon after *stop is set. `stop` may be NULL. */
MUST_CHECK int sha256_of_fd_until(int fd, const atomic_bool *stop,
                                  uint8_t ret_digest[SHA256_SIZE_BYTES]);

void sha256_to_hex(const uint8_t digest[SHA256_SIZE_BYTES], char ret_hex[SHA256_HEX_LENGTH + 1]);
/* 64 lower-case hexadecimal digits and nothing else; else -EINVAL. */
MUST_CHECK int sha256_from_hex(const char *hex, uint8_t ret_digest[SHA256_SIZE_BYTES]);
bool sha256_is_hex(const char *text);

#endif
