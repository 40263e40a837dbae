#include "tests/unit/support.h"

#include <fcntl.h>

#include "fs/base/io.h"

/* The examples of FIPS 180-4, as NIST publishes them. */
static const struct {
    const char *text;
    unsigned repeat;
    const char *hex;
} vectors[] = {
    {"", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
};

static void test_vectors(void **state)
{
    const struct place *place = *state;
    for (size_t i = 0; i < ARRAY_LENGTH(vectors); i++) {
        support_context("vector %zu", i);
        AUTO_SHA256 struct sha256 *hash = sha256_new();
        AUTO_FD int fd = io_openat(place->fd, "file", O_RDWR | O_CREAT | O_TRUNC, 0600);
        CHECK(hash && fd >= 0);
        size_t length = strlen(vectors[i].text);
        AUTO_FREE char *all = malloc(length * vectors[i].repeat + 1);
        CHECK(all);
        for (unsigned k = 0; k < vectors[i].repeat; k++) {
            CHECK_EQ(sha256_update(hash, vectors[i].text, length), 0);
            memcpy(all + k * length, vectors[i].text, length);
        }
        CHECK_EQ(io_pwrite(fd, all, length * vectors[i].repeat, 0), 0);
        uint8_t digest[SHA256_SIZE_BYTES];
        char hex[SHA256_HEX_LENGTH + 1];
        CHECK_EQ(sha256_final(hash, digest), 0);
        sha256_to_hex(digest, hex);
        CHECK(!strcmp(hex, vectors[i].hex));
        CHECK(lseek(fd, 2, SEEK_SET) == 2);
        CHECK_EQ(sha256_of_fd(fd, digest), 0);
        sha256_to_hex(digest, hex);
        CHECK(!strcmp(hex, vectors[i].hex));
    }
}

static void test_hex(void **state UNUSED)
{
    static const char good[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    uint8_t digest[SHA256_SIZE_BYTES];
    char again[SHA256_HEX_LENGTH + 1];
    CHECK_EQ(sha256_from_hex(good, digest), 0);
    sha256_to_hex(digest, again);
    CHECK(!strcmp(good, again) && sha256_is_hex(good));
    char bad[SHA256_HEX_LENGTH + 2];
    /* Each length but the right one, each digit not one. */
    for (size_t length = 0; length <= SHA256_HEX_LENGTH + 1; length++) {
        memset(bad, '0', sizeof(bad));
        bad[length <= SHA256_HEX_LENGTH ? length : SHA256_HEX_LENGTH + 1] = '\0';
        CHECK(sha256_is_hex(bad) == (length == SHA256_HEX_LENGTH));
    }
    for (size_t i = 0; i < SHA256_HEX_LENGTH; i++) {
        static const char wrong[] = "AFgG/:`@ -\n\xff";
        for (const char *c = wrong; *c; c++) {
            memcpy(bad, good, sizeof(good));
            bad[i] = *c;
            CHECK_EQ(sha256_from_hex(bad, digest), -EINVAL);
        }
    }
}

static void test_of_fd_fails(void **state)
{
    const struct place *place = *state;
    place_write(place, "file", "x", 1);
    AUTO_FD int fd = io_openat(place->fd, "file", O_RDONLY, 0);
    uint8_t digest[SHA256_SIZE_BYTES];
    io_fault_arm(1, EIO, IO_FAULT_FROM_THEN_ON);
    CHECK_EQ(sha256_of_fd(fd, digest), -EIO);
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    CHECK_EQ(sha256_of_fd(-1, digest), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vectors),
        TEST(test_hex),
        TEST(test_of_fd_fails),
    };
    return cmocka_run_group_tests_name("base-sha256", tests, NULL, NULL);
}
