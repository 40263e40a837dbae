/*
 * Templates that are published in the store: found, listed, opened. They never change.
 *
 * Safe from several threads at once, and beside other processes that build or evict.
 */
#ifndef MINTFS_STORE_TEMPLATE_H
#define MINTFS_STORE_TEMPLATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

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
 * Opens the template KEY (64 digits). -ENOENT, unsaid, where there is none; a damaged manifest is
 * said and -EBADMSG; one that another user's step restored, and that cannot be read, is -EACCES. The caller owns the result. One that the catalog does not know to be whole,
 * as after a copy from another machine, has its files compared with its manifest first: the one
 * that differs is said, and -EBADMSG.
 */
MUST_CHECK int template_open(const struct store *store, const char *key,
                             struct template **ret_template);
void template_close(struct template *template);
void template_closep(struct template **template);
#define AUTO_TEMPLATE CLEANUP(template_closep)

/*
 * As template_open(), but one that the catalog does not know to be whole is opened as it is, none of
 * its files looked at: nothing of them may be used before template_verify() or
 * template_is_verified() says so.
 */
MUST_CHECK int template_open_unverified(const struct store *store, const char *key,
                                        struct template **ret_template);
/* 1: the catalog knows these very files to be whole; 0: not. Each is looked at, and none is read. */
MUST_CHECK int template_is_verified(const struct store *store, const struct template *template);
/*
 * Compares all of it with the manifest, and records in the catalog that it is whole. The file that
 * differs is logged, and -EBADMSG; -ECANCELED soon after *stop is set, which may be NULL.
 */
MUST_CHECK int template_verify(const struct store *store, const struct template *template,
                               const atomic_bool *stop);

/* Opens the regular file of that manifest path for reading. */
MUST_CHECK int template_open_file(const struct template *template, const char *path);

/*
 * What a person typed, a key, a name or the unique beginning of a key, made a key. Errors are
 * said: -ENOENT no such template (with the nearest ones named), -EINVAL neither key nor name,
 * -ENOTUNIQ.
 */
MUST_CHECK int template_resolve(const struct store *store, const char *text,
                                char ret_key[SHA256_HEX_LENGTH + 1]);

/* The key that NAME stands for now; -ENOENT (unsaid) where there is none. For the mount. */
MUST_CHECK int template_key_of_name(const struct store *store, const char *name,
                                    char ret_key[SHA256_HEX_LENGTH + 1]);

/* Moves a template out of templates/, to be swept with the leftovers of builds; its names go too.
 */
MUST_CHECK int template_put_aside(const struct store *store, const char *key);

/* Calls visit(name, key, context) for each name of a published template, in order; stops at the
 * first result that is not zero, and returns it. */
MUST_CHECK int template_each_name(const struct store *store, template_visitor *visit,
                                  void *context);

#endif
