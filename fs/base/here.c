#include "fs/base/here.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/base/text.h"

bool here_is_same(const char *a, const char *b)
{
    struct stat by_a;
    struct stat by_b;
    return stat(a, &by_a) == 0 && stat(b, &by_b) == 0 && by_a.st_dev == by_b.st_dev &&
           by_a.st_ino == by_b.st_ino;
}

char *here_path(void)
{
    const char *shown = getenv("PWD");
    if (shown && shown[0] == '/' && here_is_same(shown, "."))
        return strdup(shown);
    return getcwd(NULL, 0);
}

/* Whether a component of the path is "." or "..", which a shell never leaves in $PWD. */
static bool has_dots(const char *path)
{
    for (const char *part = path; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if ((length == 1 && part[0] == '.') || (length == 2 && part[0] == '.' && part[1] == '.'))
            return true;
        part += length;
    }
    return false;
}

int here_enter(const char *directory)
{
    AUTO_FREE char *before = directory[0] == '/' ? NULL : here_path();
    AUTO_FREE char *shown = NULL;
    if (chdir(directory) < 0)
        return -errno;
    if (!has_dots(directory))
        shown = text_format("%s%s%s", before ? before : "", before ? "/" : "", directory);
    for (size_t length = shown ? strlen(shown) : 0; length > 1 && shown[length - 1] == '/';)
        shown[--length] = '\0';
    if (!shown || shown[0] != '/' || !here_is_same(shown, ".")) {
        free(shown);
        shown = getcwd(NULL, 0);
    }
    return shown && setenv("PWD", shown, 1) == 0 ? 0 : -errno;
}
