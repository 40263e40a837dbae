/*
 * Eviction when the disk refuses: every call through the seam fails, once and from then on, and
 * whatever gc reports, each template is whole or gone, and the next gc finishes the work.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/support.h"

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/store/catalog_evict.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/gc.h"
#include "fs/store/template.h"

enum { TEMPLATES = 3 };

static void make_templates(struct place *place, char keys[TEMPLATES][SHA256_HEX_LENGTH + 1])
{
    static const struct sample samples[] = {
        {.path = "app.db", .type = ENTRY_FILE, .mode = 0644, .size = 5000},
        {.path = "dir", .type = ENTRY_DIRECTORY, .mode = 0755},
        {.path = "dir/more", .type = ENTRY_FILE, .mode = 0644, .size = 10},
    };
    for (size_t i = 0; i < TEMPLATES; i++)
        place_template(place, samples, ARRAY_LENGTH(samples), keys[i]);
    assert_int_equal(catalog_reconcile(place->store->catalog), 0);
}

static int count_key(const char *key UNUSED, const char *same UNUSED, void *context)
{
    ++*(size_t *)context;
    return 0;
}

static size_t count_templates(const struct place *place)
{
    size_t count = 0;
    assert_int_equal(template_each_key(place->store, count_key, &count), 0);
    return count;
}

static int count_entry(int dirfd UNUSED, const char *name UNUSED, unsigned char type UNUSED,
                       void *context)
{
    ++*(size_t *)context;
    return 0;
}

static size_t count_entries(int dirfd)
{
    size_t count = 0;
    assert_int_equal(dir_each(dirfd, count_entry, &count), 0);
    return count;
}

static const char *used_key;

static int one_is_used(const struct store *store UNUSED, struct strlist *keys)
{
    return used_key ? strlist_add(keys, used_key) : 0;
}

static const struct gc_options evict_all = {
    .max_size_bytes = 0, .max_age_ns = GC_NO_AGE, .uses = one_is_used};

static void check_each_whole(const struct place *place, char keys[TEMPLATES][SHA256_HEX_LENGTH + 1])
{
    for (size_t i = 0; i < TEMPLATES; i++) {
        if (!template_exists(place->store, keys[i]))
            continue;
        AUTO_TEMPLATE struct template *template = NULL;
        assert_int_equal(template_open(place->store, keys[i], &template), 0);
    }
}

static void each_call_fails(struct place *place, bool sticky)
{
    char keys[TEMPLATES][SHA256_HEX_LENGTH + 1];
    used_key = NULL;
    for (unsigned long nth = 1;; nth++) {
        struct gc_result result;
        make_templates(place, keys);
        stderr_capture();
        io_fault_arm(nth, EIO, sticky);
        int r = gc_run(place->store, &evict_all, &result);
        bool was_last = io_fault_count() < nth;
        io_fault_arm(0, 0, IO_FAULT_ONCE);
        check_each_whole(place, keys);
        int again = gc_run(place->store, &evict_all, &result);
        free(stderr_captured());
        assert_int_equal(again, 0);
        assert_int_equal(count_templates(place), 0);
        assert_int_equal(count_entries(place->store->building_fd), 0);
        if (was_last) {
            assert_int_equal(r, 0);
            return;
        }
    }
}

static void test_each_call_fails_once(void **state)
{
    each_call_fails(*state, false);
}

static void test_each_call_and_all_after_it_fail(void **state)
{
    each_call_fails(*state, true);
}

static void test_a_used_template_is_not_evicted(void **state)
{
    struct place *place = *state;
    char keys[TEMPLATES][SHA256_HEX_LENGTH + 1];
    struct gc_result result;
    make_templates(place, keys);
    used_key = keys[1];
    AUTO_LOCK struct lock lock = LOCK_INIT;
    char name[SHA256_HEX_LENGTH + 8];
    (void)snprintf(name, sizeof(name), "use-%s", keys[2]);
    assert_int_equal(lock_take(&lock, place->store->locks_fd, name, LOCK_SHARED, LOCK_TRY), 0);
    assert_int_equal(gc_run(place->store, &evict_all, &result), 0);
    assert_int_equal(result.evicted, 1);
    assert_int_equal(result.spared, 2);
    assert_true(result.over);
    assert_false(template_exists(place->store, keys[0]));
    assert_true(template_exists(place->store, keys[1]));
    assert_true(template_exists(place->store, keys[2]));
    lock_release(&lock);
    used_key = NULL;
    assert_int_equal(gc_run(place->store, &evict_all, &result), 0);
    assert_int_equal(count_templates(place), 0);
}

static void test_a_hit_that_was_counted_is_not_evicted(void **state)
{
    struct place *place = *state;
    char keys[TEMPLATES][SHA256_HEX_LENGTH + 1];
    make_templates(place, keys);
    struct catalog_eviction eviction = {.key = keys[0], .last_used_ns = 1};
    assert_int_equal(catalog_evict(place->store->catalog, &eviction, 1, NULL, NULL), 0);
    assert_int_equal(eviction.result, -EAGAIN);
    assert_true(template_exists(place->store, keys[0]));
}

static void test_a_parked_lock_yields_to_others(void **state)
{
    struct place *place = *state;
    struct lock lock = LOCK_INIT;
    struct stat before;
    struct stat after;
    AUTO_LOCK struct lock other = LOCK_INIT;
    assert_int_equal(lock_take(&lock, place->fd, "x", LOCK_SHARED, LOCK_TRY), 0);
    assert_int_equal(lock_take(&other, place->fd, "x", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    assert_int_equal(fstatat(place->fd, "x", &before, 0), 0);
    assert_int_equal(lock_park(&lock), 0);
    assert_int_equal(fstatat(place->fd, "x", &after, 0), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(lock_unpark(&lock), 0);
    assert_int_equal(lock_park(&lock), 0);
    assert_int_equal(lock_take(&other, place->fd, "x", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    assert_int_equal(lock_unpark(&lock), -EWOULDBLOCK);
    lock_release(&other);
    assert_int_equal(lock_unpark(&lock), -ESTALE);
    assert_true(lock.fd < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_call_fails_once),           TEST(test_each_call_and_all_after_it_fail),
        TEST(test_a_used_template_is_not_evicted), TEST(test_a_hit_that_was_counted_is_not_evicted),
        TEST(test_a_parked_lock_yields_to_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
