/*
 * mintfs build: makes the template if it is not in the store, and prints its key.
 */
#include <stdio.h>

#include "fs/base/interrupt.h"
#include "fs/client/ensure_template.h"
#include "fs/store/store.h"
#include "fs/store/store_open.h"
#include "tools/command.h"
#include "tools/spec_options.h"

static int run(const struct spec_request *request, struct build_result *ret_result)
{
    AUTO_STORE struct store *store = NULL;
    int r = store_open(&store);
    return r < 0 ? r : ensure_template(store, request->spec, request->to, ret_result);
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
