/*
 * Finds, lists, opens and verifies the published templates, which never change.
 *
 * Safe from several threads at once, and beside other processes that build or evict.
 */
#ifndef MINTFS_STORE_TEMPLATE_H
#define MINTFS_STORE_TEMPLATE_H

#include <stdatomic.h>

#include "fs/base/cleanup.h"
#include "fs/base/sha256.h"
#include "fs/store/manifest.h"
#include "fs/store/store.h"
#include "fs/store/template_dir.h"

struct template
{
    char key[SHA256_HEX_LENGTH + 1];
    int files_fd; /* templates/KEY/files */
    struct manifest *manifest;
};

/*
 * Opens the template KEY (64 digits). One that the catalog does not know as verified, as after a
 * copy from another machine, is verified first. -ENOENT, not logged: there is none. Other errors
 * are logged: -EBADMSG: it is damaged; -EACCES: it belongs to another user and cannot be read
 * (fs/store/foreign.h).
 */
MUST_CHECK int template_open(const struct store *store, const char *key,
                             struct template **ret_template);
void template_close(struct template *template);
void template_closep(struct template **template);
#define AUTO_TEMPLATE CLEANUP(template_closep)

/*
 * As template_open(), but does not examine the files: none may be used before template_verify() or
 * template_is_verified() has succeeded.
 */
MUST_CHECK int template_open_unverified(const struct store *store, const char *key,
                                        struct template **ret_template);
/* 1: the catalog knows these very files as verified; 0: it does not. Reads no file. */
MUST_CHECK int template_is_verified(const struct store *store, const struct template *template);
/*
 * Compares every file with the manifest, and records in the catalog that the template is verified.
 * -EBADMSG: a file differs, which is logged; -ECANCELED soon after *stop is set; `stop` may be
 * NULL.
 */
MUST_CHECK int template_verify(const struct store *store, const struct template *template,
                               const atomic_bool *stop);

/* Opens a file of the template, by its path in the manifest, for reading. */
MUST_CHECK int template_open_file(const struct template *template, const char *path);

/*
 * Resolves a key, its unique beginning, or a name, as a user types it. Errors are logged: -ENOENT:
 * no such template (the message suggests some); -EINVAL: neither a key nor a name; -ENOTUNIQ:
 * several keys begin with it.
 */
MUST_CHECK int template_resolve(const struct store *store, const char *text,
                                char ret_key[SHA256_HEX_LENGTH + 1]);

/* The key of the published template that has the name; -ENOENT, not logged: there is none. */
MUST_CHECK int template_key_of_name(const struct store *store, const char *name,
                                    char ret_key[SHA256_HEX_LENGTH + 1]);

/* Moves a damaged template out of templates/, to be swept with the leftovers of builds, and removes
 * its names. Errors are logged. */
MUST_CHECK int template_put_aside(const struct store *store, const char *key);

/* Calls visit(name, key, context) for each name of a published template, in order; stops at the
 * first result that is not zero, and returns it. */
MUST_CHECK int template_each_name(const struct store *store, template_visitor *visit,
                                  void *context);

#endif
