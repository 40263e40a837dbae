#include "fs/base/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>

#include "fs/base/io.h"

struct sha256 {
    EVP_MD_CTX *context;
};

struct sha256 *sha256_new(void)
{
    struct sha256 *hash = calloc(1, sizeof(*hash));
    if (!hash)
        return NULL;
    hash->context = EVP_MD_CTX_new();
    if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        sha256_free(hash);
        return NULL;
    }
    return hash;
}

void sha256_free(struct sha256 *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->context);
    free(hash);
}

void sha256_freep(struct sha256 **hash)
{
    sha256_free(*hash);
}

int sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    return EVP_DigestUpdate(hash->context, data, size) == 1 ? 0 : -ENOMEM;
}

int sha256_final(struct sha256 *hash, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    return EVP_DigestFinal_ex(hash->context, ret_digest, NULL) == 1 ? 0 : -ENOMEM;
}

int sha256_of_bytes(const void *data, size_t size, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    int r = hash ? sha256_update(hash, data, size) : -ENOMEM;
    return r < 0 ? r : sha256_final(hash, ret_digest);
}

static int hash_fd(int fd, void *buffer, size_t room, const atomic_bool *stop,
                   uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    AUTO_SHA256 struct sha256 *hash = sha256_new();
    if (!hash)
        return -ENOMEM;
    for (off_t offset = 0;;) {
        if (stop && atomic_load_explicit(stop, memory_order_relaxed))
            return -ECANCELED;
        ssize_t n = io_pread(fd, buffer, room, offset);
        if (n < 0)
            return (int)n;
        int r = sha256_update(hash, buffer, (size_t)n);
        if (r < 0)
            return r;
        if ((size_t)n < room)
            return sha256_final(hash, ret_digest);
        offset += n;
    }
}

int sha256_of_fd_through(int fd, void *buffer, size_t room, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    return hash_fd(fd, buffer, room, NULL, ret_digest);
}

int sha256_of_fd_until(int fd, const atomic_bool *stop, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    enum { CHUNK = 1 << 18 };
    AUTO_FREE char *buffer = malloc(CHUNK);
    if (!buffer)
        return -ENOMEM;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return hash_fd(fd, buffer, CHUNK, stop, ret_digest);
}

int sha256_of_fd(int fd, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    return sha256_of_fd_until(fd, NULL, ret_digest);
}

void sha256_to_hex(const uint8_t digest[SHA256_SIZE_BYTES], char ret_hex[SHA256_HEX_LENGTH + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA256_SIZE_BYTES; i++) {
        ret_hex[2 * i] = digits[digest[i] >> 4];
        ret_hex[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_hex[SHA256_HEX_LENGTH] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int sha256_from_hex(const char *hex, uint8_t ret_digest[SHA256_SIZE_BYTES])
{
    uint8_t digest[SHA256_SIZE_BYTES];
    for (int i = 0; i < SHA256_SIZE_BYTES; i++) {
        int high = hex_value(hex[2 * i]);
        int low = high < 0 ? -1 : hex_value(hex[2 * i + 1]);
        if (low < 0)
            return -EINVAL;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    if (hex[SHA256_HEX_LENGTH] != '\0')
        return -EINVAL;
    memcpy(ret_digest, digest, sizeof(digest));
    return 0;
}

bool sha256_is_hex(const char *text)
{
    uint8_t digest[SHA256_SIZE_BYTES];
    return sha256_from_hex(text, digest) == 0;
}
