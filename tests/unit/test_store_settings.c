/*
 * Settings are read once in each process, so each case runs in a child.
 */
#include "tests/unit/support.h"

#include <fcntl.h>

#include "fs/base/dir.h"
#include "fs/store/settings.h"

/* Becomes a user with that file of settings, NULL for none, and without variables. */
static void become_user(const struct place *place, const char *text)
{
    for (enum setting setting = 0; setting < SETTING_COUNT; setting++)
        CHECK_EQ(unsetenv(settings_variable(setting)), 0);
    CHECK_EQ(setenv("HOME", "/home/user", 1), 0);
    CHECK_EQ(setenv("XDG_CONFIG_HOME", place->path, 1), 0);
    if (!text)
        return;
    CHECK_EQ(mkdirat(place->fd, "mintfs", 0755), 0);
    AUTO_FD int fd = openat(place->fd, "mintfs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_EQ(dir_write_file(fd, "mintfs.conf", text, strlen(text), 0644), 0);
}

static void check_value(enum setting setting, const char *text, enum setting_origin origin,
                        int line)
{
    struct setting_value value = {.text = "unset"};
    support_context("%s", settings_name(setting));
    CHECK_EQ(settings_get(setting, &value), 0);
    CHECK(text ? value.text && !strcmp(value.text, text) : !value.text);
    CHECK_EQ(value.origin, origin);
    CHECK_EQ(value.line, line);
    support_context("%s", "");
}

static void check_number(enum setting setting, uint64_t expected)
{
    uint64_t number = 77;
    CHECK_EQ(settings_get_number(setting, &number), 0);
    CHECK(number == expected);
}

#define IN_CHILD(function)                                                                         \
    static void test_##function(void **state)                                                      \
    {                                                                                              \
        CHECK_EQ(support_in_child(function, *state), 0);                                           \
    }

static void without_a_file_there_are_defaults(void *place)
{
    become_user(place, NULL);
    check_value(SETTING_STORE, NULL, ORIGIN_DEFAULT, 0);
    check_value(SETTING_BACKEND, "auto", ORIGIN_DEFAULT, 0);
    check_number(SETTING_MAX_SIZE, UINT64_C(5) << 30);
    check_number(SETTING_MAX_AGE, 30 * 86400);
    check_number(SETTING_KEEP, 0);
}
IN_CHILD(without_a_file_there_are_defaults)

static void a_variable_overrides_the_file_and_the_file_the_default(void *place)
{
    become_user(place, "# a comment\n\n  max-size =  20G \r\n;another\nbackend=copy\nmax-age=90d");
    CHECK_EQ(setenv("MINTFS_BACKEND", "fuse", 1), 0);
    CHECK_EQ(setenv("MINTFS_MAX_AGE", "", 1), 0); /* counts as unset */
    check_value(SETTING_MAX_SIZE, "20G", ORIGIN_FILE, 3);
    check_number(SETTING_MAX_SIZE, UINT64_C(20) << 30);
    check_value(SETTING_BACKEND, "fuse", ORIGIN_VARIABLE, 0);
    check_value(SETTING_MAX_AGE, "90d", ORIGIN_FILE, 6);
    check_value(SETTING_IDLE, "10m", ORIGIN_DEFAULT, 0);
}
IN_CHILD(a_variable_overrides_the_file_and_the_file_the_default)

static void a_path_may_begin_with_the_home_directory(void *place)
{
    become_user(place, "store = ~/cache\nmount = /mnt/~/x\n");
    check_value(SETTING_STORE, "/home/user/cache", ORIGIN_FILE, 1);
    check_value(SETTING_MOUNT, "/mnt/~/x", ORIGIN_FILE, 2);
}
IN_CHILD(a_path_may_begin_with_the_home_directory)

static void the_file_is_below_the_home_directory_without_a_configuration_directory(void *place)
{
    become_user(place, NULL);
    CHECK_EQ(setenv("XDG_CONFIG_HOME", "relative", 1), 0);
    CHECK_EQ(strcmp(settings_path(), "/home/user/.config/mintfs/mintfs.conf"), 0);
}
IN_CHILD(the_file_is_below_the_home_directory_without_a_configuration_directory)

static const char faulty[] = "max-size = big\nmax-age = 90d\ncolour = red\nnothing\nkeep =\n";

static void a_file_with_faults_is_refused_whatever_is_asked_for(void *place)
{
    become_user(place, faulty);
    struct setting_value value;
    stderr_capture();
    CHECK_EQ(settings_get(SETTING_MAX_AGE, &value), -EINVAL);
    CHECK_EQ(settings_get(SETTING_BACKEND, &value), -EINVAL);
    AUTO_FREE char *text = stderr_captured();
    /* All faults are logged, and only once. */
    for (const char *part = "1345"; *part; part++) {
        char line[32];
        (void)snprintf(line, sizeof(line), "mintfs.conf:%c: ", *part);
        const char *found = strstr(text, line);
        support_context("%s", line);
        CHECK(found && !strstr(found + 1, line));
    }
    CHECK(!strstr(text, "mintfs.conf:2: "));
}
IN_CHILD(a_file_with_faults_is_refused_whatever_is_asked_for)

static void a_caller_that_takes_the_faults_gets_what_is_good(void *place)
{
    become_user(place, faulty);
    const struct strlist *faults = settings_take_faults();
    CHECK_EQ(faults->count, 4);
    CHECK(strstr(faults->items[1], "colour"));
    check_value(SETTING_MAX_AGE, "90d", ORIGIN_FILE, 2);
    check_value(SETTING_MAX_SIZE, "5G", ORIGIN_DEFAULT, 0);
}
IN_CHILD(a_caller_that_takes_the_faults_gets_what_is_good)

static void a_bad_variable_is_named(void *place)
{
    become_user(place, NULL);
    CHECK_EQ(setenv("MINTFS_BACKEND", "tape", 1), 0);
    struct setting_value value;
    stderr_capture();
    CHECK_EQ(settings_get(SETTING_BACKEND, &value), -EINVAL);
    AUTO_FREE char *text = stderr_captured();
    CHECK(strstr(text, "MINTFS_BACKEND") && strstr(text, "tape"));
    check_value(SETTING_IDLE, "10m", ORIGIN_DEFAULT, 0);
}
IN_CHILD(a_bad_variable_is_named)

static void none_is_the_largest_number_except_for_keep(void *place)
{
    become_user(place, "max-size = none\n");
    check_number(SETTING_MAX_SIZE, UINT64_MAX);
    uint64_t number = 77;
    CHECK_EQ(settings_parse_number(SETTING_MAX_AGE, "--max-age", "none", &number), 0);
    CHECK(number == UINT64_MAX);
    stderr_capture();
    CHECK_EQ(settings_parse_number(SETTING_KEEP, "--keep", "none", &number), -EINVAL);
    AUTO_FREE char *text = stderr_captured();
    CHECK(strstr(text, "--keep") && strstr(text, "none"));
}
IN_CHILD(none_is_the_largest_number_except_for_keep)

static void a_time_fits_into_nanoseconds(void *place)
{
    become_user(place, NULL);
    uint64_t number = 77;
    CHECK_EQ(settings_parse_number(SETTING_IDLE, "--idle", "9223372036s", &number), 0);
    CHECK(number == 9223372036);
    stderr_capture();
    CHECK_EQ(settings_parse_number(SETTING_IDLE, "--idle", "9223372037s", &number), -EINVAL);
    free(stderr_captured());
}
IN_CHILD(a_time_fits_into_nanoseconds)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_file_there_are_defaults),
        TEST(test_a_variable_overrides_the_file_and_the_file_the_default),
        TEST(test_a_path_may_begin_with_the_home_directory),
        TEST(test_the_file_is_below_the_home_directory_without_a_configuration_directory),
        TEST(test_a_file_with_faults_is_refused_whatever_is_asked_for),
        TEST(test_a_caller_that_takes_the_faults_gets_what_is_good),
        TEST(test_a_bad_variable_is_named),
        TEST(test_none_is_the_largest_number_except_for_keep),
        TEST(test_a_time_fits_into_nanoseconds),
    };
    return cmocka_run_group_tests_name("store-settings", tests, NULL, NULL);
}
