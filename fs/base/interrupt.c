#include "fs/base/interrupt.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>

static const int caught_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static struct {
    volatile sig_atomic_t first;
    volatile sig_atomic_t count;
    int pipe[2];
    bool caught;
    struct sigaction before[ARRAY_LENGTH(caught_signals)];
} state = {.pipe = {-1, -1}};

static void record(int number)
{
    int saved = errno;
    if (!state.first)
        state.first = number;
    state.count++;
    /* A full pipe is readable already. */
    if (write(state.pipe[1], "", 1) < 0)
        errno = saved;
    errno = saved;
}

int interrupt_catch(void)
{
    if (state.caught)
        return -EBUSY;
    if (pipe2(state.pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    struct sigaction action = {.sa_handler = record};
    for (size_t i = 0; i < ARRAY_LENGTH(caught_signals); i++) {
        (void)sigaction(caught_signals[i], NULL, &state.before[i]);
        if (state.before[i].sa_handler != SIG_IGN)
            (void)sigaction(caught_signals[i], &action, NULL);
    }
    state.caught = true;
    return 0;
}

void interrupt_restore(void)
{
    if (!state.caught)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(caught_signals); i++)
        (void)sigaction(caught_signals[i], &state.before[i], NULL);
    (void)close(state.pipe[0]);
    (void)close(state.pipe[1]);
    state.pipe[0] = -1;
    state.pipe[1] = -1;
    state.caught = false;
}

void interrupt_restore_in_child(void)
{
    sigset_t none;
    (void)sigemptyset(&none);
    interrupt_restore();
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int interrupt_pending(void)
{
    return state.first;
}

int interrupt_count(void)
{
    return state.count;
}

int interrupt_fd(void)
{
    return state.pipe[0];
}

void interrupt_raise(void)
{
    int number = state.first;
    if (!number)
        return;
    sigset_t only;
    (void)sigemptyset(&only);
    (void)sigaddset(&only, number);
    (void)signal(number, SIG_DFL);
    (void)sigprocmask(SIG_UNBLOCK, &only, NULL);
    (void)raise(number);
}
