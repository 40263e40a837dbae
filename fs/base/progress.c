#include "fs/base/progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "fs/base/cleanup.h"
#include "fs/base/clock.h"

enum { FIRST_MS = 500, AGAIN_MS = 100, LINE_MAX_BYTES = 120 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *what; /* NULL: no work is under way */
    unsigned depth;
    uint64_t done;
    uint64_t total;
    int64_t next_ms; /* when the line may next be written */
    bool is_shown;
} work;

static bool is_terminal(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

static void write_text(const char *text, size_t size)
{
    if (write(STDERR_FILENO, text, size) < 0)
        return;
}

static void hide(void)
{
    static const char clear[] = "\r\033[K";
    if (work.is_shown)
        write_text(clear, sizeof(clear) - 1);
    work.is_shown = false;
}

static void show(void)
{
    char line[LINE_MAX_BYTES];
    struct winsize window = {0};
    int length;
    if (work.total)
        length =
            snprintf(line, sizeof(line), "\r%s: %" PRIu64 "%% (%" PRIu64 " of %" PRIu64 ")\033[K",
                     work.what, work.done * 100 / work.total, work.done, work.total);
    else
        length = snprintf(line, sizeof(line), "\r%s: %" PRIu64 "\033[K", work.what, work.done);
    (void)ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
    if (length < 0 || length >= (int)sizeof(line) ||
        (window.ws_col && length > (int)window.ws_col + 3))
        return;
    write_text(line, (size_t)length);
    work.is_shown = true;
}

void progress_start(const char *what, uint64_t total)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    if (work.depth++ > 0 || !is_terminal())
        return;
    work.what = what;
    work.done = 0;
    work.total = total;
    work.next_ms = clock_monotonic_coarse_ns() / NS_PER_MS + FIRST_MS;
}

void progress_add(uint64_t done)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    if (!work.what || work.depth != 1)
        return;
    work.done += done;
    int64_t now = clock_monotonic_coarse_ns() / NS_PER_MS;
    if (now < work.next_ms)
        return;
    work.next_ms = now + AGAIN_MS;
    show();
}

void progress_stop(void)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    if (work.depth == 0 || --work.depth > 0)
        return;
    hide();
    work.what = NULL;
}

void progress_hide(void)
{
    AUTO_UNLOCK UNUSED pthread_mutex_t *held = mutex_hold(&mutex);
    hide();
}
