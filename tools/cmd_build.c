/*
 * mintfs build: makes the template if it is not in the store, and prints its key.
 */
#include <stdio.h>

#include "fs/base/interrupt.h"
#include "fs/base/log.h"
#include "fs/client/gc_policy.h"
#include "fs/store/build.h"
#include "fs/store/export_file.h"
#include "fs/store/store.h"
#include "fs/store/template.h"
#include "tools/command.h"
#include "tools/spec_options.h"

static int place(const struct store *store, const char *key, const char *path)
{
    AUTO_TEMPLATE struct template *template = NULL;
    int r = template_open(store, key, &template);
    if (r == -ENOENT)
        return -EAGAIN;
    return r < 0 ? r : export_file(template, path);
}

/* Somebody's gc may have evicted it again: then it is built again, a few times. */
static int build_and_place(struct store *store, const struct spec_request *request,
                           struct build_result *ret_result)
{
    enum { TRIES = 5 };
    int r = -EAGAIN;
    for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
        r = build_template(store, request->spec, ret_result);
        if (r < 0)
            return r;
        r = request->to ? place(store, ret_result->key, request->to) : 0;
    }
    if (r == -EAGAIN)
        return log_fail(ENOENT, "template %s is evicted again and again", ret_result->key);
    return r;
}

static int run(const struct spec_request *request, struct build_result *ret_result)
{
    AUTO_STORE struct store *store = NULL;
    int r = store_open(&store);
    if (r == 0 && request->to)
        r = export_check(store, request->to);
    if (r == 0)
        r = build_and_place(store, request, ret_result);
    if (r == 0 && !ret_result->was_hit)
        gc_policy_after_build(store, ret_result->key);
    return r;
}

int cmd_build(int argc, char **argv)
{
    AUTO_REQUEST struct spec_request request = {.spec = NULL};
    struct build_result result = {.builder_status = 0};
    int r = spec_request_read(argc, argv, SPEC_TAKES_TO, &request);
    if (r == 0 && request.wants_help)
        return command_help(argv[0]);
    if (r == 0)
        r = run(&request, &result);
    /* Ends here if a signal asked for that: the shell must see it. */
    if (r == -EINTR)
        interrupt_raise();
    if (r == -ECHILD)
        return result.builder_status;
    if (r < 0)
        return EXIT_MINTFS_FAILED;
    printf("%s\n", result.key);
    return command_flush() == EXIT_DONE ? EXIT_DONE : EXIT_MINTFS_FAILED;
}
