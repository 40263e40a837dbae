/*
 * mintfs session new: a session on the store's mount or, where there is none, a plain copy; with its
 * lease, and the address that it is known by.
 *
 * `--json`: {"path", "key", "id", "backend", "why"}, and with --owner-lock "owner_lock" for a copy
 * whose owner is to hold a lock (copy_lease.h).
 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/base/interrupt.h"
#include "fs/base/json_text.h"
#include "fs/base/log.h"
#include "fs/base/progress.h"
#include "fs/base/units.h"
#include "fs/client/backend.h"
#include "fs/client/copies.h"
#include "fs/client/daemon_control.h"
#include "fs/client/gc_policy.h"
#include "fs/client/offline_sessions.h"
#include "fs/client/sessions.h"
#include "fs/mount/serve.h"
#include "fs/overlay/scratch.h"
#include "fs/overlay/scratch_registry.h"
#include "fs/store/build.h"
#include "fs/store/catalog.h"
#include "fs/store/named.h"
#include "fs/store/project_conf.h"
#include "fs/store/template.h"
#include "tools/command.h"
#include "tools/output.h"

struct new_request {
    bool as_url;
    bool as_json;
    const char *template;   /* as typed, or NULL */
    const char *id;         /* or NULL */
    uint64_t ttl_seconds;   /* 0: none */
    uint64_t owner_pid;     /* 0: none */
    const char *owner_lock; /* or NULL */
};

struct made_session {
    struct backend_choice choice;
    char key[SHA256_HEX_LENGTH + 1];
    char id[SESSION_ID_MAX + 1];
    char *path;       /* owned */
    char *file;       /* for --url, owned */
    char *owner_lock; /* the file of a copy's --owner-lock, owned */
};

static void made_session_fini(struct made_session *made)
{
    free(made->path);
    free(made->file);
    free(made->owner_lock);
}

static int say_exists(const struct made_session *made)
{
    return log_fail(EEXIST, "a session %s of this template exists already; take another ID",
                    made->id);
}

/* Builds the template that a section of mintfs.conf describes, if need be. */
static int key_from_conf(struct store *store, const struct build_spec *spec,
                         char ret_key[SHA256_HEX_LENGTH + 1])
{
    struct build_result result;
    int r = build_spec_check(spec);
    if (r == 0)
        r = build_template(store, spec, &result);
    if (r == -EINTR)
        interrupt_raise();
    if (r == 0 && !result.was_hit)
        gc_policy_after_build(store, result.key);
    if (r == 0)
        (void)snprintf(ret_key, SHA256_HEX_LENGTH + 1, "%s", result.key);
    return r;
}

/* What the command line names: a section of mintfs.conf, its only one, or a template in the store. */
static int find_key(struct store *store, const char *template, char ret_key[SHA256_HEX_LENGTH + 1])
{
    const struct project_conf_request request = {.section = template};
    AUTO_SPEC struct build_spec *spec = NULL;
    int r = template ? named_section(template, &spec) : project_conf_read(&request, &spec);
    if (r < 0)
        return r;
    if (spec)
        return key_from_conf(store, spec, ret_key);
    AUTO_CONF_FOUND struct project_conf_found conf = {.text = NULL};
    char last[SHA256_HEX_LENGTH + 1];
    /* Neither a section nor a template: the sections that there are help more. */
    if (template_name_is_valid(template) && project_conf_find(&conf) == 1 &&
        template_key_of_name(store, template, last) == -ENOENT)
        return project_conf_read(&request, &spec);
    return named_resolve(store, template, ret_key);
}

static int is_this_id(const struct session_at_rest *session, void *context)
{
    const struct made_session *made = context;
    return !strcmp(session->id, made->id) && !strcmp(session->key, made->key);
}

/* 1: the store's mount shows a session of that ID. One that is out of reach has its own. */
static int is_mounted(const struct store *store, const struct made_session *made)
{
    AUTO_SERVE_FOUND struct serve_found found = {0};
    AUTO_FREE char *path = NULL;
    int r = daemon_find(store, &found);
    if (r <= 0)
        return r;
    if (asprintf(&path, "%s/sessions/%s/%s", found.mount_point, made->key, made->id) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return access(path, F_OK) == 0;
}

static int is_copied(const struct store *store, const struct made_session *made)
{
    int r = copies_have(store, made->key, made->id);
    if (r <= 0)
        return r;
    /* Its time may be up. */
    r = copies_sweep(store);
    return r < 0 ? r : copies_have(store, made->key, made->id);
}

/*
 * An ID stands for one session of a template, wherever that lies. The chosen backend finds out by
 * itself whether it has one; asked are the other, and scratches that no daemon has open.
 */
static int check_elsewhere(const struct store *store, const struct made_session *made)
{
    int r = made->choice.backend == BACKEND_COPY ? is_mounted(store, made) : is_copied(store, made);
    if (r == 0)
        r = sessions_each_id_at_rest(store, is_this_id, (void *)(uintptr_t)made);
    return r > 0 ? say_exists(made) : r;
}

static int make_mounted(const char *mount_point, struct made_session *made)
{
    if (asprintf(&made->path, "%s/sessions/%s/%s", mount_point, made->key, made->id) < 0) {
        made->path = NULL;
        return -ENOMEM;
    }
    if (mkdir(made->path, 0700) == 0)
        return 0;
    return errno == EEXIST ? say_exists(made) : -errno;
}

static int set_attribute(const char *path, const char *name, uint64_t number)
{
    char text[24];
    int length = snprintf(text, sizeof(text), "%" PRIu64, number);
    return setxattr(path, name, text, (size_t)length, 0) < 0 ? -errno : 0;
}

static void remove_made(const struct store *store, const struct made_session *made)
{
    if (made->choice.backend == BACKEND_FUSE ? rmdir(made->path) < 0
                                             : copies_remove(store, made->key, made->id) < 0)
        log_warning("the session %s stays behind", made->path);
}

static int say_no_owner(const struct new_request *request, const struct made_session *made, int r)
{
    if (r == -ESRCH)
        return log_fail(ESRCH, "there is no process %" PRIu64 " to own the session",
                        request->owner_pid);
    if (r == -EXDEV)
        return log_fail(EXDEV,
                        "--owner %" PRIu64 ": %s; say how long the session may live instead, as in "
                        "--ttl 1h",
                        request->owner_pid,
                        made->choice.backend == BACKEND_FUSE
                            ? "the daemon of the mount cannot look into this PID namespace"
                            : "/proc shows another PID namespace than this one");
    return log_errno(r, "cannot set how long the session %s may live", made->id);
}

/* A session without the lease that was asked for would stay for ever: then there is none. */
static int lease_mounted(const struct store *store, const struct new_request *request,
                         const struct made_session *made)
{
    int r = 0;
    if (request->ttl_seconds)
        r = set_attribute(made->path, LEASE_TTL_ATTRIBUTE, request->ttl_seconds);
    if (r == 0 && request->owner_pid)
        r = set_attribute(made->path, LEASE_OWNER_ATTRIBUTE, request->owner_pid);
    if (r == 0)
        return 0;
    remove_made(store, made);
    return say_no_owner(request, made, r);
}

static int fill_copy_lease(const struct new_request *request, const struct made_session *made,
                           struct copy_lease *ret_lease)
{
    struct copy_lease lease = {.owner_lock = ""};
    if (request->ttl_seconds)
        session_lease_set_ttl(&lease.session, request->ttl_seconds);
    int r =
        request->owner_pid ? session_lease_set_owner(&lease.session, (int)request->owner_pid) : 0;
    if (r < 0)
        return say_no_owner(request, made, r);
    if (request->owner_lock)
        (void)snprintf(lease.owner_lock, sizeof(lease.owner_lock), "%s", request->owner_lock);
    *ret_lease = lease;
    return 0;
}

static int make_copied(const struct store *store, const struct new_request *request,
                       struct made_session *made)
{
    bool first;
    bool is_leased = request->ttl_seconds || request->owner_pid;
    struct copy_lease lease = {.owner_lock = ""};
    char *path = NULL;
    int r = fill_copy_lease(request, made, &lease);
    if (r == 0)
        r = copies_sweep(store);
    if (r == 0)
        r = copies_new(store, made->key, made->id, is_leased ? &lease : NULL, &path, &first);
    made->path = path;
    if (r == 0 && lease.owner_lock[0])
        r = copies_owner_lock_path(path, lease.owner_lock, &made->owner_lock);
    /* A mount's daemon counts its own. */
    if (r == 0 && (catalog_touch(store->catalog, made->key) < 0 ||
                   catalog_count_use(store->catalog, 1, 0) < 0))
        log_warning("the use of template %.12s is not counted", made->key);
    /* Once in the life of a store, in case another was here and was removed as files. */
    if (r == 0 && first && copies_sweep_memory() < 0)
        log_warning("copies in memory of other stores could not be looked at");
    if (r == 0 && first)
        log_info("sessions are plain copies below %.*s, since %s",
                 (int)(strlen(made->path) - strlen(made->key) - strlen(made->id) - 2), made->path,
                 made->choice.why);
    return r;
}

/* The daemon can only answer that a template is damaged; looked at from here, its file is named. */
static int say_damage(const struct store *store, const struct made_session *made)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, made->key, &template);
    return r < 0 ? r : log_errno(EBADMSG, "cannot make the session %s", made->path);
}

/*
 * Compares a template that was restored with its manifest, before the daemon has to: mkdir would wait
 * for that or fail with EAGAIN. Errors are logged, but for -ENOENT.
 */
static int verify_restored(const struct store *store, const char *key)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open_unverified(store, key, &template);
    if (r < 0 || !template)
        return r;
    r = template_is_verified(store, template);
    if (r != 0)
        return r < 0 ? r : 0;
    progress_start("comparing the restored template with its manifest",
                   manifest_size_bytes(template->manifest));
    r = template_verify(store, template, NULL);
    progress_stop();
    return r;
}

/* The mount goes away just now, the template is evicted, or not compared yet. */
static bool is_passing(int error)
{
    return error == -ENOENT || error == -ENOTCONN || error == -ESHUTDOWN || error == -EAGAIN;
}

/* A mount that goes away just now is chosen against once more. */
static int make_on_backend(const struct store *store, const struct new_request *request,
                           struct made_session *made)
{
    enum { TRIES = 3 };
    int r = -ESHUTDOWN;
    for (int i = 0; i < TRIES && is_passing(r); i++) {
        bool is_refused = r == -EAGAIN;
        AUTO_SERVE_FOUND struct serve_found found = {0};
        free(made->path);
        made->path = NULL;
        r = backend_choose(store, made->key, &found, &made->choice);
        if (r == 0 && request->id)
            r = check_elsewhere(store, made);
        if (r < 0)
            return r;
        if (made->choice.backend == BACKEND_COPY)
            return make_copied(store, request, made);
        /* One that was verified before is as it was then; if not, the daemon refuses it. */
        if (is_refused || catalog_was_verified(store->catalog, made->key) == 0)
            r = verify_restored(store, made->key);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0)
            r = make_mounted(found.mount_point, made);
    }
    if (r == -EBADMSG)
        return say_damage(store, made);
    if (r == -ESRCH || r == -EXDEV) /* of the owner that the ID names */
        return say_no_owner(request, made, r);
    if (r == -ESHUTDOWN)
        return log_fail(EBUSY,
                        "the mount is about to end, and waits for files that are open: try again "
                        "when it is gone");
    if (r < 0 && r != -EEXIST)
        return log_errno(r, "cannot make the session %s", made->path ? made->path : made->id);
    return r;
}

static int make_session(const struct store *store, const struct new_request *request,
                        struct made_session *made)
{
    int r = make_on_backend(store, request, made);
    if (r < 0 || !made->path || made->choice.backend == BACKEND_COPY)
        return r;
    return lease_mounted(store, request, made);
}

/* The template's one database, or the one that --file named; said if that is not to be had. */
static int find_database(const struct store *store, const char *key, char **ret_file)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r < 0)
        return r;
    const struct manifest *manifest = template->manifest;
    const char *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < manifest->entry_count; i++)
        if (manifest->entries[i].is_sqlite) {
            found = manifest->entries[i].path;
            count++;
        }
    if (count != 1)
        return log_fail(EINVAL,
                        "--url wants a template of one database, this one has %zu; add the "
                        "file's name to the path that `session new` prints without --url",
                        count);
    *ret_file = strdup(found);
    return *ret_file ? 0 : -ENOMEM;
}

/*
 * SQLAlchemy takes everything up to "?" as the path, as it is; a path that has one goes as a
 * file: URI, percent-encoded (https://www.sqlite.org/uri.html).
 */
static void print_url(const char *directory, const char *file)
{
    if (!strchr(directory, '?') && !strchr(file, '?')) {
        printf("sqlite:///%s/%s\n", directory, file);
        return;
    }
    AUTO_FREE char *path = NULL;
    if (asprintf(&path, "%s/%s", directory, file) < 0) {
        path = NULL;
        return;
    }
    fputs("sqlite:///file:", stdout);
    for (const char *c = path; *c; c++)
        if (isalnum((unsigned char)*c) || strchr("/._-~", *c))
            putchar(*c);
        else
            printf("%%%02X", (unsigned char)*c);
    puts("?uri=true");
}

static int print_made(const struct new_request *request, const struct made_session *made)
{
    if (request->as_json)
        return output_json(json_pack(
            "{s:o, s:s, s:s, s:s, s:s, s:o*}", "path", json_text(made->path), "key", made->key,
            "id", made->id, "backend", backend_name(made->choice.backend), "why", made->choice.why,
            "owner_lock", made->owner_lock ? json_text(made->owner_lock) : NULL));
    if (made->file)
        print_url(made->path, made->file);
    else
        puts(made->path);
    return 0;
}

/* EXIT_DONE, or the status to end with; -1 after --help. */
static int read_new_options(int argc, char **argv, struct new_request *request)
{
    static const struct option options[] = {{"url", no_argument, NULL, 'u'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"ttl", required_argument, NULL, 't'},
                                            {"owner", required_argument, NULL, 'p'},
                                            {"owner-lock", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, ":h", options, NULL)) >= 0;) {
        switch (option) {
        case 'u':
            request->as_url = true;
            break;
        case 'j':
            request->as_json = true;
            break;
        case 't':
            if (units_parse_duration(optarg, &request->ttl_seconds) < 0 ||
                request->ttl_seconds == 0 || request->ttl_seconds > INT32_MAX)
                return command_usage("session",
                                     "--ttl wants a time such as 90s, 15m or 24h, "
                                     "not \"%s\"",
                                     optarg);
            break;
        case 'p':
            if (units_parse_number(optarg, &request->owner_pid) < 0 || request->owner_pid == 0 ||
                request->owner_pid > INT32_MAX)
                return command_usage("session", "--owner wants a process ID, not \"%s\"", optarg);
            break;
        case 'l':
            if (!session_id_is_valid(optarg))
                return command_usage("session",
                                     "--owner-lock wants a name of at most %d of [A-Za-z0-9._-], "
                                     "not \"%.200s\"",
                                     SESSION_ID_MAX, optarg);
            request->owner_lock = optarg;
            break;
        case 'h':
            return -1;
        case ':':
            return command_usage("session", "new: %s wants a value", argv[optind - 1]);
        default:
            return command_bad_option("session", "new", argv);
        }
    }
    if (request->owner_lock && !request->owner_pid)
        return command_usage("session", "--owner-lock is of use with --owner alone");
    return EXIT_DONE;
}

int cmd_session_new(int argc, char **argv)
{
    struct new_request request = {0};
    int status = read_new_options(argc, argv, &request);
    if (status != EXIT_DONE)
        return status < 0 ? command_help("session") : status;
    if (argc - optind > 2)
        return command_usage("session", "new takes KEY or NAME and an ID, not also %s",
                             argv[optind + 2]);
    request.template = optind < argc ? argv[optind] : NULL;
    request.id = optind + 1 < argc ? argv[optind + 1] : NULL;
    AUTO_STORE struct store *store = NULL;
    CLEANUP(made_session_fini) struct made_session made = {.path = NULL};
    int r = store_open(&store);
    if (r == 0)
        r = sessions_make_id(request.id, made.id);
    if (r == 0 && !request.owner_pid)
        request.owner_pid = (uint64_t)session_id_owner(made.id);
    if (r == 0)
        r = find_key(store, request.template, made.key);
    /* Said before there is a session that nobody learns of. */
    if (r == 0 && request.as_url)
        r = find_database(store, made.key, &made.file);
    if (r == 0)
        r = make_session(store, &request, &made);
    if (r < 0 || !made.path)
        return command_status(r);
    (void)signal(SIGPIPE, SIG_IGN);
    r = print_made(&request, &made);
    status = r < 0 ? command_status(r) : command_flush();
    /* Nobody has learned of it. */
    if (status != EXIT_DONE)
        remove_made(store, &made);
    return status;
}
