#include "fs/store/template.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/base/strlist.h"
#include "fs/base/text.h"
#include "fs/store/catalog.h"
#include "fs/store/catalog_list.h"
#include "fs/store/fingerprint.h"
#include "fs/store/foreign.h"
#include "fs/store/links.h"
#include "fs/store/manifest_file.h"
#include "fs/store/names.h"
#include "fs/store/verify.h"

enum { SUGGESTIONS_MAX = 5 };

/* If the catalog cannot be read, which has been logged, every use verifies the template. */
int template_is_verified(const struct store *store, const struct template *template)
{
    int64_t fingerprint;
    if (fingerprint_take(template->files_fd, template->manifest, &fingerprint) < 0)
        return 0;
    int r = catalog_is_verified(store->catalog, template->key, fingerprint);
    return r == 1 || r == -EPROTONOSUPPORT ? r : 0;
}

int template_verify(const struct store *store, const struct template *template,
                    const atomic_bool *stop)
{
    AUTO_FREE char *shown_path = template_path(store, template->key);
    if (!shown_path)
        return log_errno(ENOMEM, "template %s", template->key);
    int64_t fingerprint;
    int r = verify_template(template->files_fd, template->manifest, shown_path, stop, &fingerprint);
    if (r < 0)
        return r;
    r = catalog_is_verified(store->catalog, template->key, fingerprint);
    if (r == 0)
        r = catalog_add(store->catalog, template->manifest, fingerprint);
    return r == -EPROTONOSUPPORT ? r : 0;
}

/* Logs that NAME cannot be opened, and the owner if that is why. */
static int log_denied(int dirfd, const char *name, int error, const char *shown,
                      const char *shown_path)
{
    struct stat status;
    if (error == -EACCES && fstatat(dirfd, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_uid != geteuid())
        return foreign_log_path(shown, status.st_uid, shown_path);
    return log_errno(error, "%s", shown);
}

int template_open_unverified(const struct store *store, const char *key,
                             struct template **ret_template)
{
    if (!template_exists(store, key)) {
        struct foreign foreign = {.count = 1};
        (void)snprintf(foreign.key, sizeof(foreign.key), "%s", key);
        return foreign_is(store, key, &foreign.uid) ? foreign_log(store, &foreign) : -ENOENT;
    }
    AUTO_FREE char *shown_path = template_path(store, key);
    AUTO_TEMPLATE struct template *template = malloc(sizeof(*template));
    if (!template || !shown_path)
        return log_errno(ENOMEM, "template %s", key);
    *template = (struct template){.files_fd = -1};
    memcpy(template->key, key, sizeof(template->key));
    AUTO_FD int fd = io_openat(store->templates_fd, key, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOENT)
        return fd;
    if (fd == -ELOOP || fd == -ENOTDIR)
        return log_fail(EBADMSG, "%s: not a directory: the template is damaged", shown_path);
    if (fd < 0)
        return log_denied(store->templates_fd, key, fd, shown_path, shown_path);
    int r = manifest_read(fd, shown_path, &template->manifest);
    if (r < 0)
        return r;
    if (strcmp(template->manifest->key, key) != 0)
        return log_fail(EBADMSG, "%s/manifest.json: damaged: it is that of %s", shown_path,
                        template->manifest->key);
    r = links_check(template->manifest, shown_path);
    if (r < 0)
        return r;
    template->files_fd = io_openat(fd, "files", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (template->files_fd == -ENOENT || template->files_fd == -ENOTDIR ||
        template->files_fd == -ELOOP)
        return log_fail(EBADMSG, "%s/files: %s: the template is damaged", shown_path,
                        strerror(-template->files_fd));
    if (template->files_fd < 0)
        return log_denied(fd, "files", template->files_fd, shown_path, shown_path);
    *ret_template = steal_pointer(&template);
    return 0;
}

int template_open(const struct store *store, const char *key, struct template **ret_template)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open_unverified(store, key, &template);
    if (r < 0 || !template)
        return r;
    r = template_is_verified(store, template);
    if (r == 0)
        r = template_verify(store, template, NULL);
    if (r < 0)
        return r;
    *ret_template = steal_pointer(&template);
    return 0;
}

void template_close(struct template *template)
{
    if (!template)
        return;
    if (template->files_fd >= 0)
        (void)close(template->files_fd);
    manifest_free(template->manifest);
    free(template);
}

void template_closep(struct template **template)
{
    template_close(*template);
}

int template_open_file(const struct template *template, const char *path)
{
    return dir_open_beneath(template->files_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

int template_put_aside(const struct store *store, const char *key)
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) < 0)
        return -errno;
    char aside[SHA256_HEX_LENGTH + 16];
    (void)snprintf(aside, sizeof(aside), "%s.%08x", key, random);
    int r = io_renameat_new(store->templates_fd, key, store->building_fd, aside);
    if (r < 0 && r != -ENOENT)
        return log_errno(r, "cannot put the damaged template %s/v1/templates/%s aside", store->path,
                         key);
    /* If that fails, its names refer to no template until the next build. */
    r = catalog_forget(store->catalog, key);
    return r == -EPROTONOSUPPORT ? r : 0;
}

struct name_listing {
    const struct store *store;
    template_visitor *visit;
    void *context;
};

static int visit_name(const char *name, const char *key, void *context)
{
    const struct name_listing *listing = context;
    return template_exists(listing->store, key) ? listing->visit(name, key, listing->context) : 0;
}

int template_each_name(const struct store *store, template_visitor *visit, void *context)
{
    struct name_listing listing = {.store = store, .visit = visit, .context = context};
    return catalog_each_name(store->catalog, visit_name, &listing);
}

int template_key_of_name(const struct store *store, const char *name,
                         char ret_key[SHA256_HEX_LENGTH + 1])
{
    if (!name_is_valid(name))
        return -ENOENT;
    char key[SHA256_HEX_LENGTH + 1];
    int r = catalog_key_of_name(store->catalog, name, key);
    if (r < 0)
        return r;
    if (!template_exists(store, key))
        return -ENOENT;
    memcpy(ret_key, key, sizeof(key));
    return 0;
}

/* ---- what people type ---- */

struct search {
    const char *prefix;
    size_t found;
    char key[SHA256_HEX_LENGTH + 1];
    struct strlist known; /* a few names and keys, for the message */
};

static void search_fini(struct search *search)
{
    strlist_fini(&search->known);
}

static int match_prefix(const char *text UNUSED, const char *key, void *context)
{
    struct search *search = context;
    if (!strncasecmp(key, search->prefix, strlen(search->prefix))) {
        search->found++;
        memcpy(search->key, key, sizeof(search->key));
        AUTO_FREE char *line = strndup(key, SHORT_KEY_LENGTH);
        return line ? strlist_add(&search->known, line) : -ENOMEM;
    }
    return 0;
}

/* Adds the names of the keys that were found. */
static int add_name_to_match(const char *name, const char *key, void *context)
{
    struct search *search = context;
    for (size_t i = 0; i < search->known.count; i++) {
        char *item = search->known.items[i];
        if (strncmp(item, key, SHORT_KEY_LENGTH) != 0)
            continue;
        char *longer = text_format("%s %s", item, name);
        if (!longer)
            return -ENOMEM;
        free(item);
        search->known.items[i] = longer;
    }
    return 0;
}

/* The length of the common beginning, by which suggestions are ranked. */
static size_t common_prefix(const char *a, const char *b)
{
    size_t length = 0;
    while (a[length] && tolower((unsigned char)a[length]) == tolower((unsigned char)b[length]))
        length++;
    return length;
}

static int collect_known(const char *text, const char *key, void *context)
{
    struct search *search = context;
    AUTO_FREE char *line = NULL;
    if (text == key || !strcmp(text, key))
        line = strndup(key, SHORT_KEY_LENGTH);
    else
        line = strdup(text);
    if (!line || strlist_contains(&search->known, line))
        return 0;
    /* The most similar first. */
    int r = strlist_add(&search->known, line);
    for (size_t i = search->known.count; r == 0 && i-- > 1;) {
        char **items = search->known.items;
        if (common_prefix(items[i], search->prefix) <= common_prefix(items[i - 1], search->prefix))
            break;
        char *swapped = items[i];
        items[i] = items[i - 1];
        items[i - 1] = swapped;
    }
    return r;
}

/* The first few of the known ones, separated by commas; NULL: none. */
static char *list_known(const struct search *search)
{
    char *list = NULL;
    size_t size = 0;
    FILE *stream = search->known.count ? open_memstream(&list, &size) : NULL;
    for (size_t i = 0; stream && i < search->known.count && i < SUGGESTIONS_MAX; i++)
        (void)fprintf(stream, "%s%s", i ? ", " : "", search->known.items[i]);
    if (stream && search->known.count > SUGGESTIONS_MAX)
        (void)fputs(", ...", stream);
    if (stream && fclose(stream) == 0)
        return list;
    free(list);
    return NULL;
}

static int log_ambiguous(const struct store *store, const char *text, struct search *search)
{
    AUTO_FREE char *list =
        template_each_name(store, add_name_to_match, search) < 0 ? NULL : list_known(search);
    return log_fail(ENOTUNIQ, "%zu templates have a key that begins with %s: give more digits%s%s",
                    search->found, text, list ? ": " : "", list ? list : "");
}

static int log_unknown(const struct store *store, const char *text, struct search *search)
{
    /* It may exist, and belong to another user. */
    struct foreign foreign;
    bool is_key = strspn(text, "0123456789abcdefABCDEF") == strlen(text);
    if (foreign_find(store, is_key ? text : "", &foreign) == 0 && foreign.count &&
        (foreign_log(store, &foreign), is_key))
        return -EACCES;
    if (template_each_name(store, collect_known, search) < 0 ||
        (search->known.count < SUGGESTIONS_MAX &&
         template_each_key(store, collect_known, search) < 0))
        return log_fail(ENOENT, "no template \"%s\" in %s", text, store->path);
    AUTO_FREE char *list = list_known(search);
    if (!list)
        return log_fail(ENOENT, "no template \"%s\": there is none in %s yet", text, store->path);
    return log_fail(ENOENT, "no template \"%s\" in %s; there are: %s", text, store->path, list);
}

int template_resolve(const struct store *store, const char *text,
                     char ret_key[SHA256_HEX_LENGTH + 1])
{
    CLEANUP(search_fini) struct search search = {.prefix = text, .known = STRLIST_INIT};
    size_t length = strlen(text);
    if (name_is_valid(text)) {
        int r = template_key_of_name(store, text, ret_key);
        if (r != -ENOENT)
            return r;
    } else if (length < NAME_HEX_LENGTH_MIN || length > SHA256_HEX_LENGTH ||
               strspn(text, "0123456789abcdefABCDEF") != length) {
        return log_fail(EINVAL,
                        "\"%s\" is neither a key nor a name: a name is 1 to %d of "
                        "[A-Za-z0-9._-] without a leading dot, a key %d hexadecimal digits",
                        text, NAME_LENGTH_MAX, SHA256_HEX_LENGTH);
    } else {
        int r = template_each_key(store, match_prefix, &search);
        if (r < 0)
            return r;
        if (search.found > 1)
            return log_ambiguous(store, text, &search);
        if (search.found == 1) {
            memcpy(ret_key, search.key, sizeof(search.key));
            return 0;
        }
    }
    return log_unknown(store, text, &search);
}
