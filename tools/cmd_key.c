/*
 * mintfs key: prints the schema hash. Needs no store, so that CI can ask before it restores one.
 */
#include <stdio.h>

#include "fs/base/log.h"
#include "fs/store/key.h"
#include "tools/command.h"
#include "tools/spec_options.h"

int cmd_key(int argc, char **argv)
{
    AUTO_REQUEST struct spec_request request = {.spec = NULL};
    AUTO_KEY struct key key = {.arguments = STRLIST_INIT};
    int r = spec_request_read(argc, argv, 0, &request);
    if (r == 0 && request.wants_help)
        return command_help(argv[0]);
    if (r == 0)
        r = key_compute(request.spec, &key);
    if (r < 0)
        return EXIT_MINTFS_FAILED;
    printf("%s\n", key.hex);
    return command_flush() == EXIT_DONE ? EXIT_DONE : EXIT_MINTFS_FAILED;
}
