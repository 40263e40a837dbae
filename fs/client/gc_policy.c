#include "fs/client/gc_policy.h"

#include "fs/base/log.h"
#include "fs/base/units.h"
#include "fs/client/copies_list.h"
#include "fs/client/offline_sessions.h"
#include "fs/client/used_keys.h"
#include "fs/store/catalog_reconcile.h"
#include "fs/store/settings.h"

static int read_limit(enum setting setting, const char *flag, const char *text,
                      uint64_t *ret_number)
{
    return text ? settings_parse_number(setting, flag, text, ret_number)
                : settings_get_number(setting, ret_number);
}

int gc_policy_options(const struct gc_limits *limits, struct gc_options *ret_options)
{
    uint64_t size = 0;
    uint64_t age = 0;
    uint64_t keep = 0;
    int r = read_limit(SETTING_MAX_SIZE, "gc: --max-size", limits->max_size, &size);
    if (r == 0)
        r = read_limit(SETTING_MAX_AGE, "gc: --max-age", limits->max_age, &age);
    if (r == 0)
        r = read_limit(SETTING_KEEP, "gc: --keep", limits->keep, &keep);
    if (r < 0)
        return r;
    *ret_options = (struct gc_options){
        .max_size_bytes = size,
        .max_age_ns = age == UINT64_MAX ? GC_NO_AGE : (int64_t)age * 1000000000,
        .keep = keep,
        .uses = used_keys_gather,
    };
    return 0;
}

/* The daemon ends the sessions on its mount itself. */
static int end_expired_sessions(const struct store *store)
{
    int r = copies_sweep(store);
    if (r == 0)
        r = copies_sweep_memory();
    /* Needs the start lock, whose file takes an inode. */
    if (r == 0 && !store_lacks_inodes(store->path))
        r = offline_sessions_sweep(store);
    return r;
}

int gc_policy_run(const struct store *store, const struct gc_options *options,
                  struct gc_result *ret_result)
{
    int r = options->dry_run ? 0 : end_expired_sessions(store);
    return r < 0 ? r : gc_run(store, options, ret_result);
}

void gc_policy_after_build(const struct store *store, const char *key)
{
    struct gc_options options;
    struct gc_result result = {0};
    char size[UNITS_TEXT_SIZE];
    char limit[UNITS_TEXT_SIZE];
    int r = gc_policy_options(&(struct gc_limits){.max_size = NULL}, &options);
    /* Templates that were restored from another machine count, too. */
    if (r == 0)
        r = catalog_reconcile(store->catalog);
    if (r == 0)
        r = gc_is_due(store, &options);
    if (r > 0) {
        options.spare_key = key;
        r = gc_run(store, &options, &result);
    }
    if (r < 0)
        log_warning("the store could not be brought within its limits; mintfs gc tries again");
    else if (result.evicted)
        log_info("evicted %zu template%s not used lately (%s); mintfs config shows the limits",
                 result.evicted, result.evicted == 1 ? "" : "s",
                 units_format_size(result.evicted_bytes, size));
    if (r >= 0 && result.over)
        log_warning("templates in use, pinned or just built take %s, over the limit of %s",
                    units_format_size(result.left_bytes, size),
                    units_format_size(options.max_size_bytes, limit));
}

const char *gc_policy_describe(enum gc_outcome outcome)
{
    switch (outcome) {
    case GC_EVICTED:
        return "evicted";
    case GC_PINNED:
        return "pinned; mintfs unpin releases it";
    case GC_IN_USE:
        return "in use by a session, or by open files of a removed one; mintfs session ls lists "
               "them";
    case GC_BUILDING:
        return "being built";
    case GC_KEPT:
        return "among the newest of its name that --keep keeps";
    case GC_USED_NOW:
        return "used just now";
    case GC_GONE:
        return "gone already";
    default:
        return "not evicted";
    }
}

const char *gc_policy_reason(enum gc_outcome outcome)
{
    switch (outcome) {
    case GC_PINNED:
        return "pinned";
    case GC_IN_USE:
        return "in use";
    case GC_BUILDING:
        return "building";
    case GC_KEPT:
        return "kept";
    case GC_USED_NOW:
        return "used";
    default:
        return "failed";
    }
}
