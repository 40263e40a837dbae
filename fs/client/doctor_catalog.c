/*
 * The check of the catalog.
 */
#include "fs/client/doctor.h"
#include "fs/store/catalog_inspect.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"

static const char check[] = "catalog";

void doctor_check_catalog(struct doctor *doctor)
{
    AUTO_STORE struct store *store = NULL;
    AUTO_FREE char *text = NULL;
    if (store_open(&store) < 0)
        return;
    enum catalog_state state = catalog_inspect(store, &text);
    if (state == CATALOG_GOOD || state == CATALOG_ABSENT)
        return;
    if (state == CATALOG_UNUSABLE)
        doctor_add(doctor, FINDING_BAD, check, NULL, "%s", text ? text : "?");
    else if (doctor->fix && catalog_repair(store->catalog) == 0)
        doctor_add_fixed(doctor, check, "%s: repaired", text ? text : "?");
    else
        doctor_add(doctor, FINDING_BAD, check, "mintfs doctor --fix",
                   "%s; the next command repairs it, or rebuilds the catalog", text ? text : "?");
}
