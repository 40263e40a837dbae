/*
 * mintfs verify: templates against their manifests, the catalog against the store, leftovers.
 *
 * Without operands the files' sizes are looked at, and with --all their contents; of templates that
 * are named, always their contents.
 *
 * With --json: {"templates", "bytes": read, "problems": [{"kind": "damaged"|"unknown"|"gone"|
 * "stale"|"leftover"|"foreign", "what": KEY or name, "repaired"}...]}; with --rebuild {"key",
 * "differences": [...]}.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/base/dir.h"
#include "fs/base/interrupt.h"
#include "fs/base/io.h"
#include "fs/base/json_text.h"
#include "fs/base/lock.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/units.h"
#include "fs/client/gc_policy.h"
#include "fs/client/used_keys.h"
#include "fs/store/build_leftovers.h"
#include "fs/store/catalog.h"
#include "fs/store/fingerprint.h"
#include "fs/store/foreign.h"
#include "fs/store/gc.h"
#include "fs/store/links.h"
#include "fs/store/named.h"
#include "fs/store/pin.h"
#include "fs/store/reproduce.h"
#include "fs/store/template.h"
#include "fs/store/verify.h"
#include "tools/command.h"
#include "tools/output.h"

struct verifying {
    struct store *store;
    bool all;
    bool repair;
    bool as_json;
    const char *rebuild; /* as typed, or NULL */
    struct strlist keys; /* to be looked at */
    struct strlist damaged;
    struct strlist untold; /* of a later mintfs, or that cannot be read: nothing to repair here */
    struct strlist gone;   /* that the catalog has */
    json_t *problems;
    size_t unrepaired;
    uint64_t read_bytes;
};

static void verifying_fini(struct verifying *verifying)
{
    strlist_fini(&verifying->keys);
    strlist_fini(&verifying->damaged);
    strlist_fini(&verifying->untold);
    strlist_fini(&verifying->gone);
    json_decref(verifying->problems);
}

static void add_problem(struct verifying *verifying, const char *kind, const char *what,
                        bool repaired)
{
    (void)json_array_append_new(
        verifying->problems,
        json_pack("{s:s, s:o, s:b}", "kind", kind, "what", json_text(what), "repaired", repaired));
    verifying->unrepaired += !repaired;
}

/* ---- templates ---- */

static int check_sizes(const struct template *template, const char *path)
{
    for (size_t i = 0; i < template->manifest->entry_count; i++) {
        const struct manifest_entry *entry = &template->manifest->entries[i];
        struct stat status;
        AUTO_FD int fd = dir_open_beneath(template->files_fd, entry->path, O_PATH | O_NOFOLLOW);
        mode_t type = entry->type == ENTRY_FILE        ? S_IFREG
                      : entry->type == ENTRY_DIRECTORY ? S_IFDIR
                                                       : S_IFLNK;
        if (fd < 0 || fstat(fd, &status) < 0)
            return log_fail(EBADMSG, "%s/files/%s: %s: the template is damaged", path, entry->path,
                            fd < 0 ? strerror(-fd) : strerror(errno));
        if ((status.st_mode & S_IFMT) != type ||
            (type == S_IFREG && (uint64_t)status.st_size != entry->size_bytes))
            return log_fail(EBADMSG,
                            "%s/files/%s: its type or size differs from the manifest: the "
                            "template is damaged",
                            path, entry->path);
    }
    return 0;
}

/* 0: whole; -EBADMSG, said, as are other errors; -ENOENT: gone meanwhile. */
static int check_template(struct verifying *verifying, const char *key, bool contents)
{
    const struct store *store = verifying->store;
    AUTO_FREE char *path = NULL;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (asprintf(&path, "%s/v1/templates/%s", store->path, key) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    AUTO_FD int fd = io_openat(store->templates_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOTDIR || fd == -ELOOP)
        return log_fail(EBADMSG, "%s: no directory: the template is damaged", path);
    if (fd < 0)
        return fd == -ENOENT ? fd : log_errno(fd, "%s", path);
    int r = manifest_read(fd, path, &manifest);
    if (r < 0)
        return r;
    if (strcmp(manifest->key, key) != 0)
        return log_fail(EBADMSG, "%s/manifest.json: damaged: it is that of %s", path,
                        manifest->key);
    AUTO_FD int files = io_openat(fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (files < 0)
        return log_fail(EBADMSG, "%s/files: %s: the template is damaged", path, strerror(-files));
    struct template template = {.files_fd = files, .manifest = manifest};
    int64_t fingerprint = FINGERPRINT_NONE;
    memcpy(template.key, key, sizeof(template.key));
    r = links_check(manifest, path);
    if (r == 0)
        r = contents ? verify_template(&template, path, NULL, &fingerprint)
                     : check_sizes(&template, path);
    if (r == 0 && contents)
        verifying->read_bytes += manifest_size_bytes(manifest);
    if (r == 0 && contents && catalog_is_verified(store->catalog, key, fingerprint) == 0)
        r = catalog_add(store->catalog, manifest, fingerprint, false, NULL);
    /* Evicted while it was read: nothing is wrong. */
    return r == -EBADMSG && !template_exists(store, key) ? -ENOENT : r;
}

static int add_key(const char *key, const char *same UNUSED, void *context)
{
    return strlist_add(context, key);
}

static uint64_t bytes_to_read(const struct verifying *verifying)
{
    uint64_t bytes = 0;
    int64_t oldest = 0;
    return catalog_totals(verifying->store->catalog, &bytes, &oldest) == 0 ? bytes : 0;
}

static int check_templates(struct verifying *verifying, bool contents)
{
    int r = 0;
    progress_start(contents ? "verifying, bytes" : "verifying",
                   contents ? bytes_to_read(verifying) : verifying->keys.count);
    for (size_t i = 0; r == 0 && i < verifying->keys.count; i++) {
        const char *key = verifying->keys.items[i];
        r = check_template(verifying, key, contents);
        if (!contents)
            progress_add(1);
        if (r == -EBADMSG)
            r = strlist_add(&verifying->damaged, key);
        else if (r == -ENOENT)
            r = 0;
        else if (r < 0 && r != -ENOMEM && r != -EINTR)
            r = strlist_add(&verifying->untold, key);
    }
    progress_stop();
    return r;
}

/* A damaged one goes, to be built anew by who asks next; not under a session. */
static int settle_damaged(struct verifying *verifying)
{
    size_t count = verifying->damaged.count;
    AUTO_FREE enum gc_fate *fates = calloc(count + 1, sizeof(*fates));
    const struct gc_options options = {.uses = used_keys_gather};
    int r = fates ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < verifying->untold.count; i++)
        add_problem(verifying, "damaged", verifying->untold.items[i], false);
    if (r == 0 && count && verifying->repair)
        r = gc_evict(verifying->store, &options, &verifying->damaged, fates);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *key = verifying->damaged.items[i];
        bool gone = verifying->repair && (fates[i] == GC_EVICTED || fates[i] == GC_GONE);
        if (gone)
            log_info("template %.*s is evicted: the next build makes it anew", SHOWN_KEY, key);
        else if (verifying->repair)
            log_error("template %.*s stays damaged: %s", SHOWN_KEY, key, gc_policy_fate(fates[i]));
        add_problem(verifying, "damaged", key, gone);
    }
    return r;
}

/* ---- catalog and leftovers ---- */

struct drift {
    struct verifying *verifying;
    struct strlist known;
};

static void drift_fini(struct drift *drift)
{
    strlist_fini(&drift->known);
}

static bool is_told(const struct verifying *verifying, const char *key)
{
    return strlist_contains(&verifying->damaged, key) || strlist_contains(&verifying->untold, key);
}

/* The row's part that the manifest and the pin decide. */
static int check_row_content(struct verifying *verifying, const struct catalog_row *row)
{
    const struct store *store = verifying->store;
    AUTO_FREE char *path = NULL;
    AUTO_MANIFEST struct manifest *manifest = NULL;
    if (is_told(verifying, row->key))
        return 0;
    if (asprintf(&path, "%s/v1/templates/%s", store->path, row->key) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    AUTO_FD int fd =
        io_openat(store->templates_fd, row->key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    /* Gone or broken since it was looked at: the next verify tells. */
    if (fd < 0 || manifest_read(fd, path, &manifest) < 0)
        return 0;
    if (row->size_bytes == manifest_size_bytes(manifest) && !strcmp(row->file, manifest->file) &&
        row->created_ns == manifest->created_ns && row->build_time_ns == manifest->build_time_ns &&
        row->pinned == pin_exists(store, row->key))
        return 0;
    log_info("the catalog says of %.*s what its manifest or its pin does not%s", SHOWN_KEY,
             row->key, verifying->repair ? ": mended" : "");
    add_problem(verifying, "stale", row->key, verifying->repair);
    return verifying->repair ? catalog_refresh(store->catalog, manifest) : 0;
}

static int check_name(const char *name, const char *key, void *context)
{
    struct verifying *verifying = context;
    if (template_exists(verifying->store, key) || strlist_contains(&verifying->gone, key))
        return 0;
    log_info("the name %s stands for %.*s, which is gone%s", name, SHOWN_KEY, key,
             verifying->repair ? ": taken away" : "");
    add_problem(verifying, "gone", name, verifying->repair);
    return verifying->repair ? catalog_name(verifying->store->catalog, name, NULL) : 0;
}

static int check_row(const struct catalog_row *row, void *context)
{
    struct drift *drift = context;
    struct verifying *verifying = drift->verifying;
    if (!template_exists(verifying->store, row->key)) {
        log_info("the catalog has %.*s, which is gone%s", SHOWN_KEY, row->key,
                 verifying->repair ? ": taken out" : "");
        add_problem(verifying, "gone", row->key, verifying->repair);
        if (strlist_add(&verifying->gone, row->key) < 0)
            return -ENOMEM;
    } else {
        int r = check_row_content(verifying, row);
        if (r < 0)
            return r;
    }
    return strlist_add(&drift->known, row->key);
}

static int note_known(const struct catalog_row *row, void *context)
{
    return strlist_add(context, row->key);
}

/* A template that a builder is publishing enters the catalog last, and by now it may have. */
static int find_unknown(struct verifying *verifying, const struct strlist *known,
                        struct strlist *ret_unknown)
{
    char lock_name[BUILD_LOCK_NAME_SIZE];
    char holder[64];
    int r = 0;
    for (size_t i = 0; r == 0 && i < verifying->keys.count; i++) {
        const char *key = verifying->keys.items[i];
        build_leftovers_lock_name(key, lock_name);
        if (!strlist_contains(known, key) && !is_told(verifying, key) &&
            template_exists(verifying->store, key) &&
            lock_holder(verifying->store->locks_fd, lock_name, holder, sizeof(holder)) != 1)
            r = strlist_add(ret_unknown, key);
    }
    return r;
}

/* The templates that the catalog lacks are looked for again before they are reported. */
static int check_known(struct verifying *verifying, const struct strlist *known)
{
    CLEANUP(strlist_fini) struct strlist unknown = STRLIST_INIT;
    CLEANUP(strlist_fini) struct strlist again = STRLIST_INIT;
    int r = find_unknown(verifying, known, &unknown);
    if (r == 0 && unknown.count)
        r = catalog_each(verifying->store->catalog, note_known, &again);
    strlist_sort(&again);
    for (size_t i = 0; r == 0 && i < unknown.count; i++) {
        if (strlist_contains(&again, unknown.items[i]))
            continue;
        log_info("the catalog has not met %.*s%s", SHOWN_KEY, unknown.items[i],
                 verifying->repair ? ": entered" : "");
        add_problem(verifying, "unknown", unknown.items[i], verifying->repair);
    }
    return r;
}

static int check_catalog(struct verifying *verifying)
{
    CLEANUP(drift_fini) struct drift drift = {.verifying = verifying, .known = STRLIST_INIT};
    /* gc and evict take templates out of the directory first and then out of the catalog. */
    AUTO_LOCK struct lock evicting = LOCK_INIT;
    AUTO_LOCK struct lock pinning = LOCK_INIT;
    int r = gc_lock(verifying->store, &evicting);
    if (r == 0)
        r = pin_lock(verifying->store, &pinning);
    if (r == 0)
        r = catalog_each(verifying->store->catalog, check_row, &drift);
    if (r == 0)
        r = catalog_each_name(verifying->store->catalog, check_name, verifying);
    strlist_sort(&drift.known);
    if (r == 0)
        r = check_known(verifying, &drift.known);
    lock_release(&pinning);
    return r == 0 && verifying->repair ? catalog_reconcile(verifying->store->catalog, NULL, NULL)
                                       : r;
}

/* Unpublished work whose builder is gone. */
static int check_leftover(int dirfd UNUSED, const char *name, unsigned char type UNUSED,
                          void *context)
{
    struct verifying *verifying = context;
    char key[SHA256_HEX_LENGTH + 1];
    char lock_name[BUILD_LOCK_NAME_SIZE];
    char holder[64];
    (void)snprintf(key, sizeof(key), "%s", name);
    build_leftovers_lock_name(key, lock_name);
    if (sha256_is_hex(key) &&
        lock_holder(verifying->store->locks_fd, lock_name, holder, sizeof(holder)) == 1)
        return 0;
    bool repaired = verifying->repair && sha256_is_hex(key) && name[SHA256_HEX_LENGTH] == '.';
    log_info("a leftover in %s/v1/building: %s%s", verifying->store->path, name,
             repaired ? ": removed" : "");
    add_problem(verifying, "leftover", name, repaired);
    return 0;
}

static int check_leftovers(struct verifying *verifying)
{
    int r = dir_each(verifying->store->building_fd, check_leftover, verifying);
    if (r < 0)
        return store_log_error(verifying->store->path, r, "v1/building");
    if (verifying->repair)
        build_leftovers_sweep(verifying->store, NULL);
    return 0;
}

/* Those of another user, which could not be looked at. */
static int check_foreign(struct verifying *verifying)
{
    struct foreign foreign;
    int r = foreign_find(verifying->store, "", &foreign);
    if (r < 0 || !foreign.count)
        return r;
    (void)foreign_log(verifying->store, &foreign);
    add_problem(verifying, "foreign", foreign.key, false);
    return 0;
}

/* ---- the command ---- */

static int tell_result(const struct verifying *verifying)
{
    char bytes[UNITS_TEXT_SIZE];
    size_t problems = json_array_size(verifying->problems);
    if (verifying->as_json)
        return output_json(
            json_pack("{s:I, s:I, s:O}", "templates", (json_int_t)verifying->keys.count, "bytes",
                      (json_int_t)verifying->read_bytes, "problems", verifying->problems));
    log_info("%zu template%s looked at, %s read: %zu problem%s%s", verifying->keys.count,
             verifying->keys.count == 1 ? "" : "s", units_format_size(verifying->read_bytes, bytes),
             problems, problems == 1 ? "" : "s",
             verifying->unrepaired ? "; --repair mends what can be mended"
             : problems            ? ", mended"
                                   : "");
    return 0;
}

static int verify(struct verifying *verifying, int argc, char **argv)
{
    bool named = optind < argc;
    int first_error = 0;
    int r = 0;
    for (int i = optind; r == 0 && i < argc; i++) {
        char key[SHA256_HEX_LENGTH + 1];
        int one = named_resolve(verifying->store, argv[i], key);
        first_error = first_error ? first_error : one;
        if (one == 0)
            r = strlist_add(&verifying->keys, key);
    }
    if (!named)
        r = template_each_key(verifying->store, add_key, &verifying->keys);
    if (r == 0)
        r = check_templates(verifying, named || verifying->all);
    if (r == 0 && !named)
        r = check_catalog(verifying);
    if (r == 0)
        r = settle_damaged(verifying);
    if (r == 0 && !named)
        r = check_leftovers(verifying);
    if (r == 0 && !named)
        r = check_foreign(verifying);
    if (r == 0)
        r = tell_result(verifying);
    if (r == 0 && verifying->unrepaired)
        r = -EBADMSG;
    return r < 0 ? r : first_error;
}

static int rebuild(struct verifying *verifying)
{
    AUTO_STRLIST struct strlist lines = STRLIST_INIT;
    AUTO_SPEC struct build_spec *spec = NULL;
    char key[SHA256_HEX_LENGTH + 1];
    int r = named_section(verifying->rebuild, &spec);
    if (r >= 0)
        r = named_resolve(verifying->store, verifying->rebuild, key);
    if (r == 0)
        r = reproduce_template(verifying->store, key, spec, &lines);
    if (r == -EINTR)
        interrupt_raise();
    if (r < 0)
        return r;
    json_t *differences = json_array();
    for (size_t i = 0; i < lines.count; i++)
        if (verifying->as_json)
            (void)json_array_append_new(differences, json_text(lines.items[i]));
        else
            output_line("%s", lines.items[i]);
    if (verifying->as_json)
        r = output_json(json_pack("{s:s, s:O}", "key", key, "differences", differences));
    else if (lines.count == 0)
        log_info("built again, %.*s is the same", SHOWN_KEY, key);
    json_decref(differences);
    if (r == 0 && lines.count)
        return log_fail(EBADMSG, "the builder of %.*s is not deterministic", SHOWN_KEY, key);
    return r;
}

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_arguments(int argc, char **argv, struct verifying *verifying)
{
    static const struct option options[] = {
        {"all", no_argument, NULL, 'a'},           {"repair", no_argument, NULL, 'r'},
        {"rebuild", required_argument, NULL, 'b'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    opterr = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, ":ah", options, NULL)) >= 0;) {
        switch (option) {
        case 'a':
            verifying->all = true;
            break;
        case 'r':
            verifying->repair = true;
            break;
        case 'b':
            verifying->rebuild = optarg;
            break;
        case 'j':
            verifying->as_json = true;
            break;
        case 'h':
            return -1;
        case ':':
            return command_usage(argv[0], "%s wants the KEY or NAME of a template",
                                 argv[optind - 1]);
        default:
            return command_bad_option(argv[0], "", argv);
        }
    }
    if (verifying->rebuild && (verifying->all || verifying->repair || optind < argc))
        return command_usage(argv[0], "--rebuild goes alone, or with --json");
    if (verifying->all && optind < argc)
        return command_usage(argv[0], "--all leaves nothing to name: %s", argv[optind]);
    return EXIT_DONE;
}

int cmd_verify(int argc, char **argv)
{
    CLEANUP(verifying_fini)
    struct verifying verifying = {.keys = STRLIST_INIT,
                                  .damaged = STRLIST_INIT,
                                  .gone = STRLIST_INIT,
                                  .problems = json_array()};
    int status = read_arguments(argc, argv, &verifying);
    if (status != EXIT_DONE)
        return status < 0 ? command_help(argv[0]) : status;
    AUTO_STORE struct store *store = NULL;
    int r = store_open_existing(&store);
    verifying.store = store;
    if (r == 0 && (verifying.rebuild || optind < argc))
        return EXIT_MISSING;
    if (r == 0)
        r = tell_result(&verifying);
    else if (r > 0)
        r = verifying.rebuild ? rebuild(&verifying) : verify(&verifying, argc, argv);
    (void)fflush(stdout);
    return r < 0 ? command_status(r) : command_flush();
}
