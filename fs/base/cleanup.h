/*
 * Scope cleanup for descriptors, memory, stdio streams and locks.
 *
 * A variable declared with one of these attributes is released when it leaves its scope; it is
 * declared and initialised in one statement. To hand the resource to a caller, steal it:
 *
 *     AUTO_FD int fd = openat(...);
 *     ...
 *     *ret_fd = steal_fd(&fd);
 */
#ifndef MINTFS_BASE_CLEANUP_H
#define MINTFS_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define AUTO_FD CLEANUP(auto_close_fd)
#define AUTO_FREE CLEANUP(auto_free)
#define AUTO_FILE CLEANUP(auto_close_file)
#define AUTO_DIR CLEANUP(auto_close_dir)
/* Holds the mutex to the end of the scope: AUTO_UNLOCK pthread_mutex_t *held = mutex_hold(&m); */
#define AUTO_UNLOCK UNUSED CLEANUP(auto_unlock_mutex)
/* The same for read-write locks: AUTO_RWUNLOCK pthread_rwlock_t *held = rwlock_hold_read(&l); */
#define AUTO_RWUNLOCK UNUSED CLEANUP(auto_unlock_rwlock)

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define UNUSED __attribute__((unused))
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static inline void auto_close_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd);
        errno = saved;
    }
}

static inline void auto_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void auto_close_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

static inline void auto_close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static inline pthread_mutex_t *mutex_hold(pthread_mutex_t *mutex)
{
    (void)pthread_mutex_lock(mutex);
    return mutex;
}

static inline void auto_unlock_mutex(pthread_mutex_t **mutex)
{
    if (*mutex)
        (void)pthread_mutex_unlock(*mutex);
}

static inline pthread_rwlock_t *rwlock_hold_read(pthread_rwlock_t *lock)
{
    (void)pthread_rwlock_rdlock(lock);
    return lock;
}

static inline pthread_rwlock_t *rwlock_hold_write(pthread_rwlock_t *lock)
{
    (void)pthread_rwlock_wrlock(lock);
    return lock;
}

static inline void auto_unlock_rwlock(pthread_rwlock_t **lock)
{
    if (*lock)
        (void)pthread_rwlock_unlock(*lock);
}

static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

static inline void *steal_pointer_impl(void *place)
{
    void *stolen = *(void **)place;
    *(void **)place = NULL;
    return stolen;
}
#define steal_pointer(place) ((__typeof__(*(place)))steal_pointer_impl(place))

#endif
