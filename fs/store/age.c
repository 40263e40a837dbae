#include "fs/store/age.h"

static const int64_t hour_ns = (int64_t)3600 * 1000000000;
static const int64_t year_ns = (int64_t)366 * 24 * 3600 * 1000000000;

static bool is_near(const struct age_clock *clock, int64_t now_ns)
{
    return now_ns - clock->accepted_ns <= AGE_JUMP_NS && clock->accepted_ns - now_ns <= AGE_JUMP_NS;
}

static bool confirms(const struct age_clock *clock, int64_t now_ns)
{
    return clock->doubted_ns && now_ns - clock->doubted_ns >= hour_ns &&
           now_ns - clock->doubted_ns <= year_ns;
}

struct age_reading age_read(struct age_clock *clock, int64_t now_ns)
{
    /* A clock before 1970 is wrong, and negative times are not stored. */
    if (now_ns < 1)
        now_ns = 1;
    if (!clock->accepted_ns || is_near(clock, now_ns) || confirms(clock, now_ns)) {
        *clock = (struct age_clock){.accepted_ns = now_ns};
        return (struct age_reading){.use_ns = now_ns, .now_ns = now_ns};
    }
    if (!clock->doubted_ns || now_ns < clock->doubted_ns || now_ns - clock->doubted_ns > year_ns)
        clock->doubted_ns = now_ns;
    return (struct age_reading){
        .use_ns = clock->accepted_ns,
        .now_ns = now_ns < clock->accepted_ns ? now_ns : clock->accepted_ns,
        .is_in_doubt = true,
    };
}
