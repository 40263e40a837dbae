#include "tests/unit/support.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/overlay/serials.h"

static uint64_t taken(struct serials *serials)
{
    uint64_t serial = 0;
    CHECK_EQ(serials_take(serials, &serial), 0);
    return serial;
}

static void test_no_serial_is_given_out_twice(void **state)
{
    const struct place *place = *state;
    struct serials serials;
    uint64_t last = 0;
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(serials_open(place->fd, &serials), 0);
        for (int i = 0; i < 300; i++) {
            uint64_t serial = taken(&serials);
            CHECK(serial > last);
            last = serial;
        }
        serials_skip(&serials, last + 7);
        last += 7;
        CHECK_EQ(taken(&serials), last + 1);
        serials_skip(&serials, 1);
        CHECK_EQ(taken(&serials), last + 2);
        last += 2;
        serials_close(&serials);
    }
}

static void test_used_up_serials_are_an_error(void **state)
{
    const struct place *place = *state;
    struct serials serials;
    uint64_t serial;
    CHECK_EQ(serials_open(place->fd, &serials), 0);
    serials_skip(&serials, INT32_MAX - 1);
    CHECK_EQ(taken(&serials), INT32_MAX);
    CHECK_EQ(serials_take(&serials, &serial), -EMFILE);
    serials_close(&serials);
}

static void test_an_invalid_file_begins_at_one(void **state)
{
    const struct place *place = *state;
    static const char *const texts[] = {"", "0\n", "no number", "99999999999999999999\n"};
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++) {
        struct serials serials;
        CHECK_EQ(dir_write_file(place->fd, "serials", texts[i], strlen(texts[i]), 0600), 0);
        CHECK_EQ(serials_open(place->fd, &serials), 0);
        CHECK_EQ(taken(&serials), 1);
        serials_close(&serials);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_serial_is_given_out_twice),
        TEST(test_used_up_serials_are_an_error),
        TEST(test_an_invalid_file_begins_at_one),
    };
    return cmocka_run_group_tests_name("overlay-serials", tests, NULL, NULL);
}
