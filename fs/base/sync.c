#include "fs/base/sync.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"

enum { THREADS_MAX = 16, PATHS_PER_THREAD = 8 };

struct work {
    int dirfd;
    const char *const *paths;
    size_t count;
    atomic_size_t next;
    pthread_mutex_t mutex; /* over the two below */
    int error;
    size_t failed;
};

static void fail(struct work *work, size_t i, int error)
{
    AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&work->mutex);
    if (work->error)
        return;
    work->error = error;
    work->failed = i;
    /* The other threads stop, too. */
    atomic_store(&work->next, work->count);
}

static int sync_path(const struct work *work, size_t i)
{
    AUTO_FD int fd =
        dir_open_beneath(work->dirfd, work->paths[i], O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? fd : io_fsync(fd);
}

static void *sync_some(void *context)
{
    struct work *work = context;
    for (size_t i; (i = atomic_fetch_add(&work->next, 1)) < work->count;) {
        int r = sync_path(work, i);
        if (r < 0)
            fail(work, i, r);
    }
    return NULL;
}

int sync_paths(int dirfd, const char *const *paths, size_t count, size_t *ret_failed)
{
    struct work work = {
        .dirfd = dirfd, .paths = paths, .count = count, .mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[THREADS_MAX];
    size_t started = 0;
    sigset_t all;
    sigset_t before;
    /* Signals are delivered to the thread that waits, not to these. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < THREADS_MAX && started < count / PATHS_PER_THREAD &&
           pthread_create(&threads[started], NULL, sync_some, &work) == 0)
        started++;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* This thread does its share, or everything if no other could be started. */
    (void)sync_some(&work);
    for (size_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_mutex_destroy(&work.mutex);
    if (work.error)
        *ret_failed = work.failed;
    return work.error;
}
