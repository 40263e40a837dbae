#include "fs/store/build.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "fs/base/clock.h"
#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/builder_process.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_stats.h"
#include "fs/store/explain.h"
#include "fs/store/fingerprint.h"
#include "fs/store/key.h"
#include "fs/store/links.h"
#include "fs/store/lock_hint.h"
#include "fs/store/lock_names.h"
#include "fs/store/placeholder.h"
#include "fs/store/seal.h"
#include "fs/store/template.h"

/* Keys that this process's ancestors are building, with a colon after each. */
static const char building_variable[] = "MINTFS_BUILDING";

enum { SHORT_KEY = 12, LOCK_LOOK_US = 250000 };

struct build {
    struct store *store;
    const struct build_spec *spec;
    struct key key;
    struct builder builder;
    char work[SHA256_HEX_LENGTH + 16]; /* building/KEY.RANDOM; "" before it is made */
    int work_fd;
    int files_fd;
    char *files_path; /* absolute: what {dir} says */
    char *out_path;   /* absolute: what {out} says */
    struct manifest *manifest;
    bool out_was_asked; /* --file, or {out} in an argument: that file must be there */
    ino_t inode_before; /* of templates/KEY at the first look */
    bool found_damaged; /* said already */
    int builder_status;
};

static void build_fini(struct build *build)
{
    builder_end(&build->builder, false);
    if (build->files_fd >= 0)
        (void)close(build->files_fd);
    if (build->work_fd >= 0)
        (void)close(build->work_fd);
    if (build->work[0]) {
        int r = dir_remove_tree(build->store->building_fd, build->work);
        if (r < 0)
            build_leftovers_log(build->store, build->work, r);
    }
    free(build->files_path);
    free(build->out_path);
    manifest_free(build->manifest);
    key_fini(&build->key);
}

/* ---- hits ---- */

/* 1: served, 0: not there. A template that turns out damaged is -EBADMSG, said. */
static int serve(struct build *build)
{
    const char *key = build->key.hex;
    /* Opening sees that its files are there, and compares one that nobody vouches for yet (brought
     * from elsewhere, or its builder died before the catalog heard of it) with its manifest. */
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(build->store, key, &template);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    int catalog_answer = catalog_hit(build->store->catalog, key, build->spec->name);
    return catalog_answer == -EPROTONOSUPPORT ? catalog_answer : 1;
}

/* ---- one builder per key ---- */

static void wake(int number UNUSED)
{
}

/*
 * Waits for a lock and for signals. A signal that comes between the look and the wait would be
 * slept over; the timer's does not let that last.
 */
static int wait_for_lock(struct lock *lock, const struct store *store, const char *name)
{
    struct sigaction action = {.sa_handler = wake};
    struct sigaction before;
    struct itimerval often = {.it_interval = {.tv_usec = LOCK_LOOK_US},
                              .it_value = {.tv_usec = LOCK_LOOK_US}};
    struct itimerval never = {.it_value = {.tv_usec = 0}};
    (void)sigaction(SIGALRM, &action, &before);
    (void)setitimer(ITIMER_REAL, &often, NULL);
    int r;
    do
        r = interrupt_pending() ? -EINTR
                                : lock_take(lock, store->locks_fd, name, LOCK_EXCLUSIVE, LOCK_WAIT);
    while (r == -EINTR && !interrupt_pending());
    (void)setitimer(ITIMER_REAL, &never, NULL);
    (void)sigaction(SIGALRM, &before, NULL);
    return r;
}

static int take_key(struct lock *lock, const struct build *build)
{
    const struct store *store = build->store;
    char name[KEY_LOCK_NAME_SIZE];
    char holder[128] = "";
    lock_name_for_build(build->key.hex, name);
    int r = lock_take(lock, store->locks_fd, name, LOCK_EXCLUSIVE, LOCK_TRY);
    if (r == -EWOULDBLOCK) {
        if (lock_holder(store->locks_fd, name, holder, sizeof(holder)) == 1 && holder[0])
            log_info("waiting for %s, which builds %.*s%s%s%s", holder, SHORT_KEY, build->key.hex,
                     build->spec->name ? " (" : "", build->spec->name ? build->spec->name : "",
                     build->spec->name ? ")" : "");
        else
            log_info("waiting for another process, which builds %.*s", SHORT_KEY, build->key.hex);
        r = wait_for_lock(lock, store, name);
    }
    if (r == -EINTR)
        return r;
    if (r == 0) {
        (void)snprintf(holder, sizeof(holder), "pid %d", getpid());
        r = lock_describe(lock, holder);
    }
    return r < 0 ? store_log_error(store->path, r, "v1/locks") : 0;
}

/* ---- the builder's directory and surroundings ---- */

static int make_parents_of_file(const struct build *build)
{
    AUTO_FREE char *file = strdup(build_spec_file(build->spec));
    AUTO_FD int at = -1;
    char *rest = file;
    if (!file)
        return -ENOMEM;
    for (char *slash; (slash = strchr(rest, '/')); rest = slash + 1) {
        *slash = '\0';
        int fd = dir_ensure(at >= 0 ? at : build->files_fd, rest, 0777);
        if (fd < 0)
            return fd;
        if (at >= 0)
            (void)close(at);
        at = fd;
    }
    return 0;
}

static int make_work(struct build *build)
{
    const struct store *store = build->store;
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) < 0)
        return -errno;
    char work[sizeof(build->work)];
    (void)snprintf(work, sizeof(work), "%s.%08x", build->key.hex, random);
    int r = io_mkdirat(store->building_fd, work, 0700);
    if (r < 0)
        return r;
    memcpy(build->work, work, sizeof(work));
    build->work_fd = io_openat(store->building_fd, work, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (build->work_fd < 0)
        return build->work_fd;
    build->files_fd = dir_ensure(build->work_fd, "files", 0700);
    if (build->files_fd < 0)
        return build->files_fd;
    if (asprintf(&build->files_path, "%s/v1/building/%s/files", store->path, work) < 0) {
        build->files_path = NULL;
        return -ENOMEM;
    }
    if (asprintf(&build->out_path, "%s/%s", build->files_path, build_spec_file(build->spec)) < 0) {
        build->out_path = NULL;
        return -ENOMEM;
    }
    return make_parents_of_file(build);
}

static int add_variable(struct strlist *environment, const char *name, const char *value,
                        const char *more)
{
    char *text = NULL;
    if (asprintf(&text, "%s=%s%s", name, value, more) < 0)
        return -ENOMEM;
    return strlist_take(environment, text);
}

/* A builder that runs in another directory finds there what it would find here. */
static int add_directory_variables(const struct build *build, struct strlist *environment)
{
    const char *store = getenv("MINTFS_STORE");
    if (!build->spec->directory)
        return 0;
    int r = add_variable(environment, "PWD", build->spec->directory, "");
    if (r == 0 && store && *store && *store != '/')
        r = add_variable(environment, "MINTFS_STORE", build->store->path, "");
    return r;
}

/* Runs the builder to its end; its guard stays until the template is sealed. */
static int run_builder(struct build *build)
{
    AUTO_STRLIST struct strlist arguments = STRLIST_INIT;
    AUTO_STRLIST struct strlist environment = STRLIST_INIT;
    const struct placeholders places = {.out = build->out_path, .dir = build->files_path};
    const char *outer = getenv(building_variable);
    AUTO_FREE char *keys = NULL;
    if (asprintf(&keys, "%s%s:", outer ? outer : "", build->key.hex) < 0) {
        keys = NULL;
        return log_errno(ENOMEM, "builder");
    }
    build->out_was_asked = build->spec->file != NULL;
    int r = 0;
    for (size_t i = 0; r == 0 && i < build->spec->builder.count; i++)
        r = strlist_take(&arguments, placeholders_fill(&places, build->spec->builder.items[i],
                                                       &build->out_was_asked));
    if (r == 0)
        r = add_variable(&environment, "MINTFS_OUT", build->out_path, "");
    if (r == 0)
        r = add_variable(&environment, "MINTFS_DIR", build->files_path, "");
    if (r == 0)
        r = add_variable(&environment, building_variable, keys, "");
    if (r == 0)
        r = add_directory_variables(build, &environment);
    if (r < 0 || !arguments.items)
        return log_errno(r, "builder");
    const struct builder_command command = {.argv = arguments.items,
                                            .environment = environment.items,
                                            .directory = build->spec->directory};
    r = builder_start(&command, &build->builder);
    if (r == 0)
        r = builder_wait(&build->builder, arguments.items[0], &build->builder_status);
    if (r < 0 || build->builder_status == 0)
        return r;
    if (build->builder.signal)
        return log_fail(ECHILD, "builder %s was ended by signal %d (%s); nothing is published",
                        arguments.items[0], build->builder.signal,
                        strsignal(build->builder.signal));
    if (build->builder_status != RUN_CANNOT_RUN && build->builder_status != RUN_NOT_FOUND)
        return log_fail(ECHILD, "builder %s exited with %d; nothing is published",
                        arguments.items[0], build->builder_status);
    return -ECHILD;
}

/* ---- from what the builder left to a template ---- */

static int check_inputs_again(const struct build *build)
{
    AUTO_INPUTS struct input_list after = {.items = NULL};
    int r = inputs_read(build->spec, &after);
    return r < 0 ? r : inputs_compare(&build->key.inputs, &after);
}

/* The parents that were made for {out} and not used are no part of the template. */
static int drop_unused_parents(const struct build *build)
{
    AUTO_FREE char *path = strdup(build_spec_file(build->spec));
    if (!path)
        return -ENOMEM;
    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = '\0';
        int r = io_unlinkat(build->files_fd, path, AT_REMOVEDIR);
        if (r == -ENOTEMPTY || r == -EEXIST)
            return 0;
        if (r < 0 && r != -ENOENT && r != -ENOTDIR)
            return r;
    }
    return 0;
}

/* What people will mean by this template's database, where --file does not say. */
static const char *choose_file(const struct build *build)
{
    const struct manifest *manifest = build->manifest;
    const struct manifest_entry *file = links_resolve(manifest, build_spec_file(build->spec));
    const char *only = NULL;
    /* Where it is a link, the file behind it: that is what is copied, and opened. */
    if (file && file->type == ENTRY_FILE)
        return file->path;
    if (manifest_find(manifest, build_spec_file(build->spec)))
        return build_spec_file(build->spec);
    for (size_t i = 0; i < manifest->entry_count; i++) {
        if (!manifest->entries[i].is_sqlite)
            continue;
        if (only)
            return build_spec_file(build->spec);
        only = manifest->entries[i].path;
    }
    return only ? only : build_spec_file(build->spec);
}

static int check_file(const struct build *build)
{
    const char *file = build_spec_file(build->spec);
    const struct manifest_entry *named = manifest_find(build->manifest, file);
    const struct manifest_entry *entry = links_resolve(build->manifest, file);
    if (entry && entry->type == ENTRY_FILE && entry->size_bytes == 0)
        log_warning("builder left %s empty; it may have migrated another database: check "
                    "DATABASE_URL, or sqlalchemy.url in alembic.ini",
                    file);
    if (!build->out_was_asked || (entry && entry->type == ENTRY_FILE))
        return 0;
    if (named && named->type == ENTRY_SYMLINK)
        return log_fail(ENODATA,
                        "builder left %s -> %s: a symbolic link, and no file is there; let it "
                        "write the database to {out} itself",
                        file, named->target);
    return log_fail(ENODATA,
                    "builder left other files in %s, but not %s: write to {out} or "
                    "$MINTFS_OUT, or say with --file what it is called",
                    build->files_path, file);
}

/* Copies into the manifest what the key was made from. */
static int describe(struct build *build)
{
    struct manifest *manifest = build->manifest;
    const struct build_spec *spec = build->spec;
    memcpy(manifest->key, build->key.hex, sizeof(manifest->key));
    manifest->name = spec->name ? strdup(spec->name) : NULL;
    manifest->salt = spec->salt ? strdup(spec->salt) : NULL;
    manifest->file = strdup(choose_file(build));
    manifest->builder = strv_copy(spec->builder.items);
    manifest->arguments = strv_copy(build->key.arguments.items);
    manifest->environment = strv_copy(build->key.environment.items);
    manifest->inputs = calloc(build->key.inputs.count + 1, sizeof(*manifest->inputs));
    if (!manifest->file || !manifest->builder || !manifest->arguments || !manifest->environment ||
        !manifest->inputs || (spec->name && !manifest->name) || (spec->salt && !manifest->salt))
        return -ENOMEM;
    for (size_t i = 0; i < build->key.inputs.count; i++) {
        manifest->inputs[i] = build->key.inputs.items[i];
        manifest->inputs[i].path = strdup(build->key.inputs.items[i].path);
        manifest->input_count = i + 1;
        if (!manifest->inputs[i].path)
            return -ENOMEM;
    }
    return 0;
}

/* Publishing: all of it durable, then one rename. */
static int publish(struct build *build)
{
    const struct store *store = build->store;
    int64_t now_ns = clock_real_ns();
    /* Readers of earlier versions take no time before 1970. */
    build->manifest->created_ns = now_ns > 0 ? now_ns : 0;
    int r = manifest_write(build->work_fd, build->manifest);
    if (r == -E2BIG)
        return r;
    if (r == 0)
        r = io_fsync(build->work_fd);
    if (r == 0)
        r = io_renameat_new(store->building_fd, build->work, store->templates_fd, build->key.hex);
    /* What has the name and no manifest, as a restored cache that was cut short, is no template. */
    if (r == -EEXIST && !template_exists(store, build->key.hex)) {
        log_info("an unfinished template %.*s gives way", SHORT_KEY, build->key.hex);
        r = template_put_aside(store, build->key.hex);
        if (r == 0)
            r = io_renameat_new(store->building_fd, build->work, store->templates_fd,
                                build->key.hex);
    }
    if (r == 0)
        build->work[0] = '\0';
    if (r == 0)
        r = io_fsync(store->templates_fd);
    return r < 0 ? store_log_error(store->path, r, "v1/templates") : 0;
}

static int seal_and_publish(struct build *build)
{
    int r = check_inputs_again(build);
    if (r == 0)
        r = drop_unused_parents(build);
    if (r == 0)
        r = seal_tree(build->files_fd, build->files_path, build_spec_file(build->spec),
                      build->manifest);
    if (r == 0)
        r = check_file(build);
    if (r == 0)
        r = describe(build);
    if (r == -ENOMEM)
        return log_errno(r, "building %.*s", SHORT_KEY, build->key.hex);
    if (r == 0 && interrupt_pending())
        r = -EINTR;
    if (r < 0)
        return r;
    r = publish(build);
    if (r < 0)
        return r;
    builder_end(&build->builder, true);
    /* Without its row, or its fingerprint, the template is checked and entered at its next use. */
    int64_t fingerprint;
    if (fingerprint_take(build->files_fd, build->manifest, &fingerprint) < 0)
        fingerprint = FINGERPRINT_NONE;
    r = catalog_add_built(build->store->catalog, build->manifest, fingerprint, build->spec->name);
    return r == -EPROTONOSUPPORT ? r : 0;
}

/* Of templates/KEY; 0 where there is none. */
static ino_t inode_of_template(const struct build *build)
{
    struct stat status;
    return fstatat(build->store->templates_fd, build->key.hex, &status, AT_SYMLINK_NOFOLLOW) == 0
               ? status.st_ino
               : 0;
}

static bool is_same_as_before(const struct build *build)
{
    return build->inode_before && inode_of_template(build) == build->inode_before;
}

/* The key is locked. 1: another process has built it meanwhile; 0: built here. */
static int build_locked(struct build *build)
{
    /* Found damaged before the lock was ours: unless another has been built since, it still is. */
    int r = build->found_damaged && is_same_as_before(build) ? -EBADMSG : serve(build);
    if (r == -EBADMSG) {
        r = template_put_aside(build->store, build->key.hex);
        if (r == 0)
            log_info("the damaged template %.*s is put aside and built anew", SHORT_KEY,
                     build->key.hex);
    }
    if (r != 0)
        return r;
    /* Opens the catalog: one of a later mintfs is refused before the work, and not after it. */
    r = catalog_is_verified(build->store->catalog, build->key.hex, FINGERPRINT_NONE);
    if (r == -EPROTONOSUPPORT)
        return r;
    build_leftovers_sweep(build->store, build->key.hex);
    explain_miss(build->store, build->spec, &build->key);
    lock_hint(build->spec, &build->key);
    build->manifest = calloc(1, sizeof(*build->manifest));
    r = build->manifest ? make_work(build) : -ENOMEM;
    if (r < 0)
        return store_log_error(build->store->path, r, "v1/building");
    int64_t start_ns = clock_real_ns();
    r = run_builder(build);
    int64_t took_ns = clock_real_ns() - start_ns;
    build->manifest->build_time_ns = took_ns > 0 ? took_ns : 0;
    if (r == 0)
        r = seal_and_publish(build);
    /* For stats alone: its failure is no matter of the build's. */
    if (r < 0 && catalog_count_failure(build->store->catalog) < 0)
        return r;
    return r;
}

static int build_missing(struct build *build)
{
    int r = interrupt_catch();
    if (r < 0)
        return log_errno(r, "build");
    AUTO_LOCK struct lock lock = LOCK_INIT;
    r = take_key(&lock, build);
    if (r == 0)
        r = build_locked(build);
    /* Before the lock is free: the work is ours to remove as long as it is held. */
    build_fini(build);
    *build = (struct build){.work_fd = -1,
                            .files_fd = -1,
                            .builder = BUILDER_INIT,
                            .builder_status = build->builder_status};
    interrupt_restore();
    return r;
}

static int refuse_recursion(const struct build *build)
{
    const char *outer = getenv(building_variable);
    if (outer && strstr(outer, build->key.hex))
        return log_fail(EDEADLK, "the builder of %.*s asks for the very template that it makes",
                        SHORT_KEY, build->key.hex);
    return 0;
}

int build_template(struct store *store, const struct build_spec *spec,
                   struct build_result *ret_result)
{
    CLEANUP(build_fini)
    struct build build = {
        .store = store, .spec = spec, .work_fd = -1, .files_fd = -1, .builder = BUILDER_INIT};
    int r = key_compute(spec, &build.key);
    if (r < 0)
        return r;
    memcpy(ret_result->key, build.key.hex, sizeof(ret_result->key));
    build.inode_before = inode_of_template(&build);
    r = serve(&build);
    /* What a killed build left goes with the next one of any key, hit or miss. */
    if (r == 1)
        build_leftovers_sweep(store, NULL);
    build.found_damaged = r == -EBADMSG;
    if (r == 0 || r == -EBADMSG)
        r = refuse_recursion(&build);
    if (r == 0)
        r = build_missing(&build);
    ret_result->builder_status = build.builder_status;
    if (r < 0)
        return r;
    ret_result->was_hit = r == 1;
    return 0;
}
