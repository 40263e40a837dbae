#include "fs/store/catalog_inspect.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/base/text.h"
#include "fs/store/catalog_connection.h"
#include "fs/store/catalog_file.h"
#include "fs/store/catalog_place.h"
#include "fs/store/sql.h"

enum catalog_state catalog_inspect(const struct store *store, char **ret_text)
{
    struct stat status;
    int64_t version = 0;
    int r = catalog_place_describe(store, ret_text);
    if (r > 0)
        return CATALOG_REPAIRABLE;
    AUTO_DB sqlite3 *db = NULL;
    if (r == 0)
        r = catalog_file_open_existing(store, NULL, &db, &status, &version);
    if (r == -ENOENT || r == -ENOMEM)
        return CATALOG_ABSENT;
    if (r == 0)
        r = catalog_file_check_tables(db);
    if (r == 0 || r == -EBUSY)
        return CATALOG_GOOD;
    if (r == -EBADMSG) {
        *ret_text = text_format("catalog %s/v1/%s is damaged", store->path, CATALOG_FILE);
        return CATALOG_REPAIRABLE;
    }
    *ret_text = catalog_file_describe_failure(store, r, version);
    return CATALOG_UNUSABLE;
}

static int read_all(sqlite3 *db, void *arguments UNUSED)
{
    return catalog_file_check_tables(db);
}

int catalog_repair(struct catalog *catalog)
{
    return catalog_use(catalog, read_all, NULL);
}

const char *catalog_library_version(void)
{
    return sqlite3_libversion();
}
