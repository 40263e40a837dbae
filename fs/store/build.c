/*
 * A build, in the order of its steps:
 *
 *     build_template   reads the inputs and computes the key; a hit ends here
 *     build_missing    catches signals and takes the key's lock
 *     build_locked     looks again, since another process may have built the template meanwhile
 *     build_here       runs the builder in building/KEY.RANDOM,
 *     seal               seals what it left there,
 *     publish            renames that to templates/KEY and enters it in the catalog
 */
#include "fs/store/build.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/clock.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/build_lock.h"
#include "fs/store/build_manifest.h"
#include "fs/store/build_work.h"
#include "fs/store/builder_run.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/explain.h"
#include "fs/store/fingerprint.h"
#include "fs/store/key.h"
#include "fs/store/lock_hint.h"
#include "fs/store/manifest_file.h"
#include "fs/store/names.h"
#include "fs/store/seal.h"
#include "fs/store/template.h"

struct build {
    struct store *store;
    const struct build_spec *spec;
    const struct key *key;
    ino_t damaged_inode; /* of templates/KEY if that was damaged before the lock was held, else 0 */
};

/* ---- hits ---- */

/* 1: counted as a hit; 0: there is no such template. A damaged one is logged: -EBADMSG. */
static int try_hit(const struct build *build)
{
    const char *key = build->key->hex;
    /* Opening compares the template with its manifest unless the catalog knows it as verified: it
     * may come from another machine, or mintfs was killed before it entered the template. */
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(build->store, key, &template);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = catalog_hit(build->store->catalog, key, build->spec->name);
    return r == -EPROTONOSUPPORT ? r : 1;
}

/* Of templates/KEY; 0 where there is none. */
static ino_t inode_of_template(const struct build *build)
{
    struct stat status;
    return fstatat(build->store->templates_fd, build->key->hex, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_ino
               : 0;
}

/* ---- misses ---- */

static int check_inputs_again(const struct build *build)
{
    AUTO_INPUTS struct input_list after = {.items = NULL};
    int r = inputs_read(build->spec, &after);
    return r < 0 ? r : inputs_compare(&build->key->inputs, &after);
}

static int seal(const struct build *build, const struct build_work *work, enum build_file presence,
                struct manifest *manifest)
{
    const char *file = build_spec_file(build->spec);
    int r = check_inputs_again(build);
    if (r == 0)
        r = build_work_remove_empty_parents(work, file);
    if (r == 0)
        r = seal_tree(work->files_fd, work->files_path, file, manifest);
    if (r == 0)
        r = build_manifest_check_file(manifest, build->spec, presence, work->files_path);
    if (r == 0)
        r = build_manifest_describe(build->spec, build->key, manifest);
    if (r == -ENOMEM)
        return log_errno(r, "building %" PRI_KEY, build->key->hex);
    return r == 0 && interrupt_pending() ? -EINTR : r;
}

/* The files have been synced: syncs the manifest, and then makes all visible with one rename. */
static int publish(const struct build *build, struct build_work *work, struct manifest *manifest)
{
    int64_t now_ns = clock_real_ns();
    /* Earlier versions of mintfs cannot read a time before 1970. */
    manifest->created_ns = now_ns > 0 ? now_ns : 0;
    int r = manifest_write(work->fd, manifest);
    if (r == -E2BIG)
        return r;
    if (r == 0)
        r = io_fsync(work->fd);
    if (r < 0)
        return store_log_error(build->store->path, r, "v1/templates");
    return build_work_publish(work, build->key->hex);
}

static int enter_in_catalog(const struct build *build, const struct build_work *work,
                            const struct manifest *manifest)
{
    int64_t fingerprint;
    if (fingerprint_take(work->files_fd, manifest, &fingerprint) < 0)
        fingerprint = FINGERPRINT_NONE;
    int r = catalog_add_built(build->store->catalog, manifest, fingerprint, build->spec->name);
    /* After any other failure the template's next use checks and enters it. */
    return r == -EPROTONOSUPPORT ? r : 0;
}

/* Runs the builder, seals what it left, and publishes that. */
static int build_here(const struct build *build, int *ret_builder_status)
{
    AUTO_BUILD_WORK struct build_work work = BUILD_WORK_INIT;
    AUTO_BUILDER struct builder builder = BUILDER_INIT;
    AUTO_MANIFEST struct manifest *manifest = calloc(1, sizeof(*manifest));
    bool names_file = false;
    if (!manifest)
        return log_errno(ENOMEM, "building %" PRI_KEY, build->key->hex);
    int r = build_work_create(build->store, build->key->hex, build_spec_file(build->spec), &work);
    if (r < 0)
        return r;
    int64_t start_ns = clock_real_ns();
    r = builder_run(&work, build->spec, build->key->hex, &builder, ret_builder_status, &names_file);
    int64_t took_ns = clock_real_ns() - start_ns;
    manifest->build_time_ns = took_ns > 0 ? took_ns : 0;
    if (r == 0)
        r = seal(build, &work, names_file ? BUILD_FILE_REQUIRED : BUILD_FILE_OPTIONAL, manifest);
    if (r == 0)
        r = publish(build, &work, manifest);
    if (r < 0) {
        /* The count is for statistics: a failure to count does not hide the build's own error. */
        (void)!catalog_count_failure(build->store->catalog);
        return r;
    }
    builder_detach(&builder);
    return enter_in_catalog(build, &work, manifest);
}

/*
 * The key is locked. 1: another process has built it meanwhile; 0: built here. When this returns,
 * building/ holds nothing of this build.
 */
static int build_locked(const struct build *build, int *ret_builder_status)
{
    const char *key = build->key->hex;
    bool is_still_damaged =
        build->damaged_inode && build->damaged_inode == inode_of_template(build);
    int r = is_still_damaged ? -EBADMSG : try_hit(build);
    if (r == -EBADMSG) {
        r = template_put_aside(build->store, key);
        if (r == 0)
            log_info("the damaged template %" PRI_KEY " is put aside and built again", key);
    }
    if (r != 0)
        return r;
    /* Opens the catalog, so that one of a later mintfs is refused before the work, not after it. */
    r = catalog_is_verified(build->store->catalog, key, FINGERPRINT_NONE);
    if (r == -EPROTONOSUPPORT)
        return r;
    build_leftovers_sweep(build->store, key);
    explain_miss(build->store, build->spec, build->key);
    lock_hint(build->spec, build->key);
    return build_here(build, ret_builder_status);
}

static int build_missing(const struct build *build, int *ret_builder_status)
{
    AUTO_LOCK struct lock lock = LOCK_INIT;
    int r = builder_run_check(build->key->hex);
    if (r < 0)
        return r;
    r = interrupt_catch();
    if (r < 0)
        return log_errno(r, "build");
    r = build_lock_take(build->store, build->key->hex, build->spec->name, &lock);
    if (r == 0)
        r = build_locked(build, ret_builder_status);
    interrupt_restore();
    return r;
}

int build_template(struct store *store, const struct build_spec *spec,
                   struct build_result *ret_result)
{
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    struct build build = {.store = store, .spec = spec, .key = &key};
    struct build_result result = {.was_hit = false};
    int r = key_compute(spec, &key);
    if (r < 0)
        return r;
    memcpy(result.key, key.hex, sizeof(result.key));
    ino_t inode = inode_of_template(&build);
    r = try_hit(&build);
    /* On a miss, build_locked() removes what killed builds have left. */
    if (r == 1)
        build_leftovers_sweep(store, NULL);
    if (r == -EBADMSG)
        build.damaged_inode = inode;
    if (r == 0 || r == -EBADMSG)
        r = build_missing(&build, &result.builder_status);
    result.was_hit = r == 1;
    *ret_result = result;
    return r < 0 ? r : 0;
}
