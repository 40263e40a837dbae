#include "tests/unit/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/catalog.h"
#include "fs/store/manifest_file.h"
#include "fs/store/store_open.h"

/* ---- checks ---- */

static _Thread_local char context_text[256];
static pthread_t main_thread;
static pid_t main_process;
static int kept_stderr = -1;
static int caught_stderr = -1;

void support_context(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(context_text, sizeof(context_text), format, arguments);
    va_end(arguments);
}

static void restore_stderr(void)
{
    if (kept_stderr < 0)
        return;
    (void)dup2(kept_stderr, STDERR_FILENO);
    (void)close(kept_stderr);
    kept_stderr = -1;
}

void support_fail(const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    restore_stderr();
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    print_error("%s%s%s\n", context_text, *context_text ? ": " : "", text);
    if (getpid() != main_process || !pthread_equal(pthread_self(), main_thread)) {
        /* cmocka fails a test by longjmp(), which is only possible in the test's own thread. */
        print_error("%s:%d: error: failed in another thread or process\n", file, line);
        abort();
    }
    _fail(file, line);
    abort();
}

/* ---- random numbers: splitmix64 (https://prng.di.unimi.it/splitmix64.c) ---- */

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

uint64_t rng_below(struct rng *rng, uint64_t limit)
{
    return rng_next(rng) % limit;
}

bool rng_chance(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

void rng_fill(struct rng *rng, void *buffer, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = rng_next(rng);
        memcpy((char *)buffer + i, &word, size - i < sizeof(word) ? size - i : sizeof(word));
    }
}

static unsigned long number_from(const char *variable, unsigned long otherwise)
{
    const char *text = getenv(variable);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

void support_each_seed(unsigned count, void (*run)(struct rng *rng, void *context), void *context)
{
    unsigned long only = number_from("MINTFS_TEST_SEED", 0);
    unsigned long last = only ? only : number_from("MINTFS_TEST_SEEDS", count);
    for (unsigned long seed = only ? only : 1; seed <= last; seed++) {
        support_context("MINTFS_TEST_SEED=%lu", seed);
        struct rng rng = {.state = seed};
        run(&rng, context);
    }
    support_context("%s", "");
}

/* ---- the place ---- */

static int count_entry(int dirfd UNUSED, const char *name UNUSED, unsigned char type UNUSED,
                       void *context)
{
    ++*(unsigned *)context;
    return 0;
}

unsigned support_open_fds(void)
{
    AUTO_FD int fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned count = 0;
    CHECK(fd >= 0 && dir_each(fd, count_entry, &count) == 0);
    return count - 2; /* without the two that are open here */
}

static unsigned fds_before;

int place_setup(void **state)
{
    main_thread = pthread_self();
    main_process = getpid();
    log_set_quiet(0);
    fds_before = support_open_fds();
    struct place *place = calloc(1, sizeof(*place));
    CHECK(place);
    const char *base = getenv("TMPDIR");
    (void)snprintf(place->path, sizeof(place->path), "%s/mintfs-unit-XXXXXX",
                   base && *base ? base : "/tmp");
    CHECK(mkdtemp(place->path));
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(place->fd >= 0);
    *state = place;
    return 0;
}

int place_teardown(void **state)
{
    struct place *place = *state;
    io_fault_arm(0, 0, IO_FAULT_ONCE);
    restore_stderr();
    store_close(place->store);
    const char *name = strrchr(place->path, '/') + 1;
    AUTO_FD int parent = openat(place->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r = dir_remove_tree(parent, name);
    if (r < 0)
        print_error("%s cannot be removed: %s\n", place->path, strerror(-r));
    (void)close(place->fd);
    (void)close(steal_fd(&parent));
    free(place);
    unsigned fds = support_open_fds();
    if (fds != fds_before)
        print_error("%u descriptors are open, %u were before the test\n", fds, fds_before);
    return r < 0 || fds != fds_before ? -1 : 0;
}

void place_write(const struct place *place, const char *name, const void *data, size_t size)
{
    CHECK_EQ(dir_write_file(place->fd, name, data, size, 0644), 0);
}

void stderr_capture(void)
{
    CHECK(kept_stderr < 0);
    (void)fflush(stderr);
    FILE *file = tmpfile();
    CHECK(file);
    kept_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    CHECK(kept_stderr >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    caught_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    CHECK(caught_stderr >= 0);
    (void)fclose(file);
}

char *stderr_captured(void)
{
    CHECK(kept_stderr >= 0);
    restore_stderr();
    struct stat status;
    CHECK(fstat(caught_stderr, &status) == 0);
    char *text = calloc(1, (size_t)status.st_size + 1);
    CHECK(text);
    CHECK_EQ(io_pread(caught_stderr, text, (size_t)status.st_size, 0), status.st_size);
    (void)close(caught_stderr);
    caught_stderr = -1;
    return text;
}

/* ---- children ---- */

int support_in_child(void (*run)(void *context), void *context)
{
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        run(context);
        _exit(0);
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool tell_kernel(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

bool support_own_mounts(void)
{
    char users[64];
    char groups[64];
    (void)snprintf(users, sizeof(users), "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    (void)snprintf(groups, sizeof(groups), "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWNS) < 0 &&
        (unshare(CLONE_NEWNS | CLONE_NEWUSER) < 0 || !tell_kernel("/proc/self/setgroups", "deny") ||
         !tell_kernel("/proc/self/uid_map", users) || !tell_kernel("/proc/self/gid_map", groups)))
        return false;
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

void support_skip_or_check(int status, const char *reason)
{
    if (status == SKIPPED) {
        print_message("%s\n", reason);
        skip();
    }
    CHECK_EQ(status, 0);
}

/* ---- templates ---- */

void sample_fill(const char *path, void *buffer, size_t size)
{
    struct rng rng = {.state = size};
    for (const char *c = path; *c; c++)
        rng.state = rng.state * 31 + (unsigned char)*c;
    rng_fill(&rng, buffer, size);
}

static void open_store(struct place *place)
{
    if (place->store)
        return;
    char path[sizeof(place->path) + 8];
    (void)snprintf(path, sizeof(path), "%s/store", place->path);
    CHECK_EQ(setenv("MINTFS_STORE", path, 1), 0);
    CHECK_EQ(store_open(&place->store), 0);
    /* Create the catalog before there are templates, or it logs that it was missing. */
    CHECK_EQ(catalog_is_verified(place->store->catalog, "", 0), 0);
}

static int compare_samples(const void *a, const void *b)
{
    return strcmp(((const struct sample *)a)->path, ((const struct sample *)b)->path);
}

static void write_sample(int files_fd, const struct sample *sample, struct manifest_entry *entry)
{
    *entry = (struct manifest_entry){.path = strdup(sample->path),
                                     .type = sample->type,
                                     .mode = sample->mode,
                                     .is_sqlite = sample->wal,
                                     .starts_in_wal = sample->wal};
    CHECK(entry->path);
    if (sample->type == ENTRY_DIRECTORY) {
        CHECK_EQ(mkdirat(files_fd, sample->path, 0755), 0);
    } else if (sample->type == ENTRY_SYMLINK) {
        entry->target = strdup(sample->target);
        CHECK(entry->target);
        CHECK_EQ(symlinkat(sample->target, files_fd, sample->path), 0);
    } else {
        AUTO_FREE char *bytes = malloc(sample->size + 1);
        CHECK(bytes);
        if (sample->data)
            memcpy(bytes, sample->data, sample->size);
        else
            sample_fill(sample->path, bytes, sample->size);
        AUTO_FD int fd =
            openat(files_fd, sample->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(io_pwrite(fd, bytes, sample->size, 0), 0);
        CHECK_EQ(fchmod(fd, 0444), 0);
        entry->size_bytes = sample->size;
        CHECK_EQ(sha256_of_bytes(bytes, sample->size, entry->digest), 0);
    }
}

static void write_template(const struct place *place, const struct sample *samples, size_t count,
                           const char *key)
{
    AUTO_FREE struct sample *sorted = calloc(count + 1, sizeof(*sorted));
    AUTO_MANIFEST struct manifest *manifest = calloc(1, sizeof(*manifest));
    CHECK(sorted && manifest);
    memcpy(sorted, samples, count * sizeof(*samples));
    qsort(sorted, count, sizeof(*sorted), compare_samples);
    memcpy(manifest->key, key, sizeof(manifest->key));
    manifest->file = strdup("app.db");
    manifest->created_ns = 1700000000123456789;
    manifest->entries = calloc(count + 1, sizeof(*manifest->entries));
    CHECK(manifest->file && manifest->entries);
    AUTO_FD int fd = dir_ensure(place->store->templates_fd, manifest->key, 0755);
    CHECK(fd >= 0);
    AUTO_FD int files_fd = dir_ensure(fd, "files", 0755);
    CHECK(files_fd >= 0);
    for (; manifest->entry_count < count; manifest->entry_count++)
        write_sample(files_fd, &sorted[manifest->entry_count],
                     &manifest->entries[manifest->entry_count]);
    CHECK_EQ(manifest_write(fd, manifest), 0);
}

void place_template(struct place *place, const struct sample *samples, size_t count,
                    char ret_key[SHA256_HEX_LENGTH + 1])
{
    static unsigned templates_made;
    open_store(place);
    uint8_t digest[SHA256_SIZE_BYTES];
    CHECK_EQ(sha256_of_bytes(&templates_made, sizeof(templates_made), digest), 0);
    templates_made++;
    sha256_to_hex(digest, ret_key);
    write_template(place, samples, count, ret_key);
}

void place_template_anew(const struct place *place, const struct sample *samples, size_t count,
                         const char *key)
{
    CHECK_EQ(dir_remove_tree(place->store->templates_fd, key), 0);
    write_template(place, samples, count, key);
}

/* ---- sessions ---- */

struct scratch *scratch_of(struct place *place)
{
    struct scratch *scratch = NULL;
    CHECK_EQ(scratch_open(place->store, &(struct scratch_options){0}, &scratch), 0);
    return scratch;
}

struct node *session_made(struct scratch *scratch, const char *key, const char *id)
{
    struct lower *lower = NULL;
    CHECK_EQ(scratch_lower(scratch, key, &lower), 0);
    CHECK_EQ(lower_verify(lower, NULL), 0);
    struct session_new_options options = {.mode = 0700, .uid = geteuid(), .gid = getegid()};
    struct node *root = NULL;
    CHECK_EQ(scratch_session_new(scratch, lower, id, &options, &root), 0);
    lower_unref(lower);
    return root;
}

struct node *session_found(struct scratch *scratch, const char *key, const char *id)
{
    struct node *root = NULL;
    CHECK_EQ(scratch_session_find(scratch, key, id, &root), 0);
    return root;
}

struct node *node_at(struct node *root, const char *path, int *ret_error)
{
    struct node *at = root;
    node_ref(at);
    while (*path) {
        char name[512];
        size_t length = strcspn(path, "/");
        CHECK(length < sizeof(name));
        memcpy(name, path, length);
        name[length] = '\0';
        path += length + (path[length] == '/');
        struct node *next = NULL;
        int r = session_lookup(at, name, &next);
        node_unref(at, 1);
        if (r < 0) {
            *ret_error = r;
            return NULL;
        }
        at = next;
    }
    return at;
}

struct node *node_there(struct node *root, const char *path)
{
    int error = 0;
    struct node *node = node_at(root, path, &error);
    if (!node)
        support_fail(__FILE__, __LINE__, "no %s: %s", path, strerror(-error));
    return node;
}

static struct node *made(struct node *directory, const char *name, mode_t mode)
{
    struct node_new how = {.mode = mode, .uid = geteuid(), .gid = getegid()};
    struct node *node = NULL;
    CHECK_EQ(session_make(directory, name, &how, &node), 0);
    return node;
}

struct node *file_made(struct node *directory, const char *name)
{
    return made(directory, name, S_IFREG | 0644);
}

struct node *directory_made(struct node *directory, const char *name)
{
    return made(directory, name, S_IFDIR | 0755);
}

void file_check(struct node *node, const void *bytes, size_t size)
{
    struct stat status;
    node_stat(node, &status);
    CHECK_EQ(status.st_size, size);
    AUTO_FREE char *there = malloc(size + 1);
    CHECK(there);
    CHECK_EQ(file_read(node, there, size + 1, 0), size);
    if (memcmp(there, bytes, size) == 0)
        return;
    for (size_t i = 0; i < size; i++)
        if (there[i] != ((const char *)bytes)[i])
            support_fail(__FILE__, __LINE__, "byte %zu of %zu is %02x, not %02x", i, size,
                         (unsigned char)there[i], ((const unsigned char *)bytes)[i]);
}

int file_truncate(struct node *node, uint64_t size)
{
    struct stat to = {.st_size = (off_t)size};
    return node_set(node, &to, NODE_SET_SIZE);
}
