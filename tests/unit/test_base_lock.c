#include "tests/unit/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fs/base/lock.h"

static bool exists(const struct place *place, const char *name)
{
    struct stat status;
    return fstatat(place->fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

static void test_within_one_process(void **state)
{
    const struct place *place = *state;
    struct lock first = LOCK_INIT;
    struct lock second = LOCK_INIT;
    char holder[16];
    CHECK_EQ(lock_holder(place->fd, "l", holder, sizeof(holder)), 0);
    CHECK_EQ(lock_take(&first, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    CHECK_EQ(lock_take(&second, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    CHECK_EQ(lock_take(&second, place->fd, "l", LOCK_SHARED, LOCK_TRY), -EWOULDBLOCK);
    CHECK_EQ(lock_describe(&first, "a first word"), 0);
    CHECK_EQ(lock_describe(&first, "the second word"), 0);
    CHECK_EQ(lock_holder(place->fd, "l", holder, sizeof(holder)), 1);
    CHECK(!strcmp(holder, "the second word"));
    CHECK_EQ(lock_holder(place->fd, "l", holder, 4), 1);
    CHECK(!strcmp(holder, "the"));
    lock_release(&first);
    lock_release(&first);
    CHECK(!exists(place, "l"));
    CHECK_EQ(lock_take(&second, place->fd, "l", LOCK_EXCLUSIVE, LOCK_WAIT), 0);
    lock_release(&second);
    CHECK(!exists(place, "l"));
}

static void test_shared(void **state)
{
    const struct place *place = *state;
    struct lock first = LOCK_INIT;
    struct lock second = LOCK_INIT;
    struct lock third = LOCK_INIT;
    CHECK_EQ(lock_take(&first, place->fd, "l", LOCK_SHARED, LOCK_TRY), 0);
    CHECK_EQ(lock_take(&second, place->fd, "l", LOCK_SHARED, LOCK_TRY), 0);
    CHECK_EQ(lock_take(&third, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    lock_release(&first);
    CHECK(exists(place, "l"));
    CHECK_EQ(lock_take(&third, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    lock_release(&second);
    CHECK(!exists(place, "l"));
    CHECK_EQ(lock_take(&third, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    lock_release(&third);
}

static void test_no_link_is_followed(void **state)
{
    const struct place *place = *state;
    struct lock lock = LOCK_INIT;
    CHECK_EQ(symlinkat("elsewhere", place->fd, "l"), 0);
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -ELOOP);
    CHECK(!exists(place, "elsewhere"));
}

/* A child that holds the lock until it is killed; the pipe says when it has it. */
static pid_t start_holder(const struct place *place, enum lock_kind kind)
{
    int ready[2];
    CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct lock lock = LOCK_INIT;
        if (lock_take(&lock, place->fd, "l", kind, LOCK_TRY) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    (void)close(ready[1]);
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    return child;
}

static void end_holder(pid_t child)
{
    int status = 0;
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
}

static void test_dead_holder_frees(void **state)
{
    const struct place *place = *state;
    struct lock lock = LOCK_INIT;
    char holder[16];
    pid_t child = start_holder(place, LOCK_EXCLUSIVE);
    CHECK_EQ(lock_holder(place->fd, "l", holder, sizeof(holder)), 1);
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    end_holder(child);
    CHECK_EQ(lock_holder(place->fd, "l", holder, sizeof(holder)), 0);
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    lock_release(&lock);
    CHECK(!exists(place, "l"));

    child = start_holder(place, LOCK_SHARED);
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_SHARED, LOCK_TRY), 0);
    end_holder(child);
    lock_release(&lock);
    CHECK(!exists(place, "l"));
}

struct waiter {
    const struct place *place;
    int r;
};

static void *wait_for_lock(void *context)
{
    struct waiter *waiter = context;
    struct lock lock = LOCK_INIT;
    waiter->r = lock_take(&lock, waiter->place->fd, "l", LOCK_EXCLUSIVE, LOCK_WAIT);
    lock_release(&lock);
    return NULL;
}

static void test_waiters_get_it_in_turn(void **state)
{
    const struct place *place = *state;
    enum { WAITERS = 8 };
    struct waiter waiters[WAITERS];
    pthread_t threads[WAITERS];
    struct lock lock = LOCK_INIT;
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (struct waiter){.place = place, .r = 1};
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_for_lock, &waiters[i]), 0);
    }
    lock_release(&lock);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK_EQ(waiters[i].r, 0);
    }
    CHECK(!exists(place, "l"));
}

struct taker {
    const struct place *place;
    pthread_barrier_t *barrier;
};

static void *take_and_hold(void *context)
{
    const struct taker *taker = context;
    struct lock lock = LOCK_INIT;
    CHECK_EQ(lock_take(&lock, taker->place->fd, "l", LOCK_EXCLUSIVE, LOCK_WAIT), 0);
    (void)pthread_barrier_wait(taker->barrier); /* it has it */
    (void)pthread_barrier_wait(taker->barrier); /* others have looked */
    lock_release(&lock);
    return NULL;
}

/* Whether somebody waits for a lock on that file, as proc_locks(5) tells. */
static bool is_waited_for(ino_t ino)
{
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), ":%lu ", (unsigned long)ino);
    AUTO_FILE FILE *file = fopen("/proc/locks", "re");
    CHECK(file);
    char line[256];
    while (fgets(line, sizeof(line), file))
        if (strstr(line, "->") && strstr(line, wanted))
            return true;
    return false;
}

/* Whoever waited gets a file that was removed meanwhile, which locks nobody out. */
static void test_a_waiter_locks_the_new_file(void **state)
{
    const struct place *place = *state;
    struct lock lock = LOCK_INIT;
    struct lock other = LOCK_INIT;
    struct stat status;
    pthread_barrier_t barrier;
    struct taker taker = {.place = place, .barrier = &barrier};
    pthread_t thread;
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    CHECK_EQ(fstat(lock.fd, &status), 0);
    CHECK_EQ(pthread_create(&thread, NULL, take_and_hold, &taker), 0);
    while (!is_waited_for(status.st_ino))
        (void)sched_yield();
    lock_release(&lock);
    (void)pthread_barrier_wait(&barrier);
    CHECK_EQ(lock_take(&other, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), -EWOULDBLOCK);
    (void)pthread_barrier_wait(&barrier);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(!exists(place, "l"));
    CHECK_EQ(pthread_barrier_destroy(&barrier), 0);
}

/* Processes that count in a file which only the lock protects. */
static void test_one_at_a_time(void **state)
{
    const struct place *place = *state;
    enum { PROCESSES = 6, ROUNDS = 200 };
    place_write(place, "count", "\0\0\0\0", 4);
    pid_t children[PROCESSES];
    (void)fflush(NULL);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] > 0)
            continue;
        int fd = openat(place->fd, "count", O_RDWR | O_CLOEXEC);
        for (int k = 0; k < ROUNDS; k++) {
            struct lock lock = LOCK_INIT;
            uint32_t count = 0;
            if (lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_WAIT) < 0 ||
                pread(fd, &count, sizeof(count), 0) != sizeof(count))
                _exit(1);
            count++;
            if (pwrite(fd, &count, sizeof(count), 0) != sizeof(count))
                _exit(1);
            lock_release(&lock);
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ(status, 0);
    }
    AUTO_FD int fd = openat(place->fd, "count", O_RDONLY | O_CLOEXEC);
    uint32_t count = 0;
    CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
    CHECK_EQ(count, PROCESSES * ROUNDS);
    CHECK(!exists(place, "l"));
}

static void on_alarm(int number UNUSED)
{
}

static void test_a_signal_ends_the_wait(void **state)
{
    const struct place *place = *state;
    struct lock lock = LOCK_INIT;
    struct lock other = LOCK_INIT;
    CHECK_EQ(lock_take(&lock, place->fd, "l", LOCK_EXCLUSIVE, LOCK_TRY), 0);
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction old;
    CHECK_EQ(sigaction(SIGALRM, &action, &old), 0);
    /* Again and again: the first may come before the wait has begun. */
    const struct itimerval soon = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 1000};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    int r = lock_take(&other, place->fd, "l", LOCK_EXCLUSIVE, LOCK_WAIT);
    CHECK_EQ(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL), 0);
    CHECK_EQ(sigaction(SIGALRM, &old, NULL), 0);
    CHECK_EQ(r, -EINTR);
    lock_release(&lock);
    CHECK(!exists(place, "l"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_within_one_process),     TEST(test_shared),
        TEST(test_no_link_is_followed),    TEST(test_dead_holder_frees),
        TEST(test_waiters_get_it_in_turn), TEST(test_a_waiter_locks_the_new_file),
        TEST(test_one_at_a_time),          TEST(test_a_signal_ends_the_wait),
    };
    return cmocka_run_group_tests_name("base-lock", tests, NULL, NULL);
}
