/*
 * The order of a listing while names are added and removed, compared with a model: which names
 * readers may see, and what happens when the cookies are used up.
 */
#include "tests/unit/support.h"

#include "fs/overlay/cookies.h"

enum { ENTRIES = 64, READERS = 4 };

struct entry {
    struct cookie cookie;
    bool listed;
    uint64_t since; /* when its name came, by the model's clock */
};

struct reader {
    uint64_t position;
    uint64_t begun;
    bool seen[ENTRIES];
};

struct model {
    struct rng *rng;
    struct cookies cookies;
    struct entry entries[ENTRIES];
    struct reader readers[READERS];
    uint64_t clock;
};

static void check_order(const struct model *model)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < ENTRIES; i++)
        count += model->entries[i].listed;
    CHECK_EQ(model->cookies.listed.count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = (const struct entry *)model->cookies.listed.items[i];
        CHECK(entry->listed);
        CHECK(entry->cookie.value >= COOKIE_FIRST && entry->cookie.value < model->cookies.end);
        if (i > 0)
            CHECK(entry->cookie.value < model->cookies.listed.items[i - 1]->value);
        CHECK_EQ(cookies_after(&model->cookies, entry->cookie.value), i);
        CHECK_EQ(cookies_after(&model->cookies, entry->cookie.value - 1), i + 1);
    }
}

static void begin_reading(struct model *model, struct reader *reader)
{
    *reader = (struct reader){.position = COOKIE_PARENT, .begun = ++model->clock};
}

/* One entry; at the end, all that exist since the beginning must have been shown. */
static void read_on(struct model *model, struct reader *reader)
{
    uint32_t after = cookies_after(&model->cookies, reader->position);
    if (after > 0) {
        const struct entry *entry = (const struct entry *)model->cookies.listed.items[after - 1];
        size_t number = (size_t)(entry - model->entries);
        CHECK(entry->cookie.value > reader->position);
        CHECK(!reader->seen[number]);
        /* A reader can see names that are newer than itself only before its first entry. */
        if (reader->position > COOKIE_PARENT)
            CHECK(entry->since < reader->begun);
        reader->seen[number] = true;
        reader->position = entry->cookie.value;
        return;
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        CHECK(!model->entries[i].listed || model->entries[i].since > reader->begun ||
              reader->seen[i]);
    begin_reading(model, reader);
}

static void add(struct model *model, struct entry *entry)
{
    CHECK_EQ(cookies_reserve(&model->cookies, 1), 0);
    bool used_up = model->cookies.next < COOKIE_FIRST;
    cookies_add(&model->cookies, &entry->cookie);
    entry->listed = true;
    entry->since = ++model->clock;
    for (unsigned i = 0; used_up && i < READERS; i++)
        begin_reading(model, &model->readers[i]);
    /* A reader that is before its first entry will be shown this one, and is as if it began now. */
    for (unsigned i = 0; i < READERS; i++)
        if (model->readers[i].position == COOKIE_PARENT)
            begin_reading(model, &model->readers[i]);
}

static void change(struct model *model)
{
    struct entry *entry = &model->entries[rng_below(model->rng, ENTRIES)];
    struct entry *other = &model->entries[rng_below(model->rng, ENTRIES)];
    if (!entry->listed) {
        add(model, entry);
    } else if (!other->listed) {
        /* The same name, of another thing. */
        cookies_replace(&model->cookies, &entry->cookie, &other->cookie);
        for (unsigned i = 0; i < READERS; i++) {
            model->readers[i].seen[other - model->entries] =
                model->readers[i].seen[entry - model->entries];
            model->readers[i].seen[entry - model->entries] = false;
        }
        other->listed = true;
        other->since = entry->since;
        entry->listed = false;
    } else {
        cookies_remove(&model->cookies, &entry->cookie);
        entry->listed = false;
        for (unsigned i = 0; i < READERS; i++)
            model->readers[i].seen[entry - model->entries] = false;
    }
}

static void run(struct rng *rng, uint32_t above)
{
    struct model model = {.rng = rng};
    cookies_init(&model.cookies, above);
    for (unsigned i = 0; i < READERS; i++)
        begin_reading(&model, &model.readers[i]);
    for (int step = 0; step < 20000; step++) {
        if (rng_chance(rng, 50))
            change(&model);
        else
            read_on(&model, &model.readers[rng_below(rng, READERS)]);
        if (step % 100 == 0)
            check_order(&model);
    }
    check_order(&model);
    cookies_fini(&model.cookies);
}

static void run_with_room(struct rng *rng, void *context UNUSED)
{
    run(rng, (uint32_t)rng_below(rng, 1000));
}

static void test_readers_see_each_name_once_and_no_new_ones(void **state UNUSED)
{
    support_each_seed(20, run_with_room, NULL);
}

static void run_short_of_room(struct rng *rng, void *context UNUSED)
{
    run(rng, COOKIE_LAST - (ENTRIES + COOKIE_FIRST) - (uint32_t)rng_below(rng, 200));
}

static void test_used_up_cookies_are_given_out_again(void **state UNUSED)
{
    support_each_seed(20, run_short_of_room, NULL);
}

static void test_too_many_entries_are_an_error(void **state UNUSED)
{
    struct cookies cookies;
    struct cookie two[2];
    cookies_init(&cookies, COOKIE_LAST - COOKIE_FIRST - 1); /* two are left */
    CHECK_EQ(cookies_reserve(&cookies, 2), 0);
    cookies_add(&cookies, &two[0]);
    cookies_add(&cookies, &two[1]);
    CHECK_EQ(two[0].value, COOKIE_FIRST + 1);
    CHECK_EQ(two[1].value, COOKIE_FIRST);
    CHECK_EQ(cookies_reserve(&cookies, 100), -ENOSPC);
    cookies_fini(&cookies);
}

static void test_all_cookies_fit_in_31_bits(void **state UNUSED)
{
    struct cookies cookies;
    struct cookie cookie;
    cookies_init(&cookies, 0);
    CHECK_EQ(cookies_reserve(&cookies, 1), 0);
    cookies_add(&cookies, &cookie);
    CHECK_EQ(cookie.value, INT32_MAX);
    cookies_fini(&cookies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_see_each_name_once_and_no_new_ones),
        cmocka_unit_test(test_used_up_cookies_are_given_out_again),
        cmocka_unit_test(test_too_many_entries_are_an_error),
        cmocka_unit_test(test_all_cookies_fit_in_31_bits),
    };
    return cmocka_run_group_tests_name("overlay-cookies", tests, NULL, NULL);
}
