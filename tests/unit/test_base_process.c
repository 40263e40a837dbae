/*
 * Processes and their numbers, in this PID namespace and in those below it.
 */
#include "tests/unit/support.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fs/base/process.h"

/* A child that waits to be killed. */
static int sleeper(void)
{
    int pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        (void)pause();
}

static void end(int pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void test_a_process_is_known_until_it_ends(void **state UNUSED)
{
    int pid = sleeper();
    struct process_id id;
    CHECK_EQ(process_identify(pid, &id), 0);
    CHECK_EQ(id.pid, pid);
    CHECK_EQ(process_look(&id), PROCESS_LIVES);
    /* Its number, reused. */
    struct process_id former = id;
    former.start--;
    CHECK_EQ(process_look(&former), PROCESS_GONE);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(process_look(&id), PROCESS_GONE); /* a zombie */
    struct process_id none;
    CHECK_EQ(process_identify(pid, &none), -ESRCH);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_EQ(process_look(&id), PROCESS_GONE);
    CHECK_EQ(process_identify(pid, &none), -ESRCH);
    CHECK_EQ(process_identify(0, &none), -ESRCH);
    CHECK_EQ(process_identify(-1, &none), -ESRCH);
}

/* Whatever that number means here. */
static void test_a_number_of_another_namespace_tells_nothing(void **state UNUSED)
{
    struct process_id id;
    CHECK_EQ(process_identify(getpid(), &id), 0);
    struct process_id other = id;
    other.pid_namespace++;
    CHECK_EQ(process_look(&other), PROCESS_UNSEEN);
    other.start++;
    CHECK_EQ(process_look(&other), PROCESS_UNSEEN);
    other = id;
    other.pid_namespace = 0; /* as an earlier version noted it */
    CHECK_EQ(process_look(&other), PROCESS_UNSEEN);
    /* Times of start do not compare then. */
    other = id;
    other.time_namespace++;
    other.start++;
    CHECK_EQ(process_look(&other), PROCESS_LIVES);
}

/* Where the other thread writes: static, because the main thread's stack ends before it. */
static int to_parent;

static void *wait_for_ever(void *context UNUSED)
{
    char byte = 1;
    CHECK_EQ(write(to_parent, &byte, 1), 1);
    for (;;)
        (void)pause();
    return NULL;
}

static void test_a_process_lives_on_in_its_other_threads(void **state UNUSED)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    to_parent = ends[1];
    int pid = fork();
    if (pid == 0) {
        pthread_t thread;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_EQ(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
        pthread_exit(NULL);
    }
    (void)close(ends[1]); /* so that a child that fails ends the read below */
    struct process_id id;
    CHECK_EQ(process_identify(pid, &id), 0);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    /* Its main thread is a zombie sooner or later; it lives before and after. */
    char path[64];
    char text[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    while (!strstr(text, ") Z ")) {
        AUTO_FILE FILE *file = fopen(path, "re");
        CHECK(file && fgets(text, sizeof(text), file));
        CHECK_EQ(process_look(&id), PROCESS_LIVES);
    }
    end(pid);
    CHECK_EQ(process_look(&id), PROCESS_GONE);
    (void)close(ends[0]);
}

/* A PID namespace with a process 1, which counts as `init` here, and its child 2. */
struct nested {
    int holder;
    int init;
    int child;
    int refusal; /* of process_identify() inside, where /proc is not its own */
};

static int only_child_of(int pid)
{
    char path[64];
    char text[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    AUTO_FILE FILE *file = fopen(path, "re");
    return file && fgets(text, sizeof(text), file) ? atoi(text) : 0;
}

static void live_nested(int talk)
{
    struct process_id id;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sleeper();
    int refusal = process_identify(getpid(), &id);
    CHECK_EQ(write(talk, &refusal, sizeof(refusal)), sizeof(refusal));
    for (;;)
        (void)pause();
}

/* False where no namespace may be made. */
static bool nested_begin(struct nested *nested)
{
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    nested->holder = fork();
    if (nested->holder == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWPID) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
            _exit(0);
        if (fork() == 0)
            live_nested(ends[1]);
        for (;;)
            (void)pause();
    }
    (void)close(ends[1]);
    ssize_t n = read(ends[0], &nested->refusal, sizeof(nested->refusal));
    (void)close(ends[0]);
    if (n == 0) {
        CHECK_EQ(waitpid(nested->holder, NULL, 0), nested->holder);
        return false;
    }
    nested->init = only_child_of(nested->holder);
    nested->child = only_child_of(nested->init);
    CHECK(nested->init > 2 && nested->child > 2);
    return true;
}

static void test_a_number_is_translated_from_its_namespace(void **state UNUSED)
{
    struct nested one;
    struct nested two;
    int pid = 0;
    CHECK_EQ(process_translate(getpid(), 4711, &pid), 0);
    CHECK_EQ(pid, 4711);
    CHECK_EQ(process_translate(0, 1, &pid), -EXDEV);
    CHECK_EQ(process_translate(getpid(), 0, &pid), -ESRCH);
    if (!nested_begin(&one)) {
        print_message("no PID namespace can be made here\n");
        skip();
    }
    CHECK(nested_begin(&two));
    CHECK_EQ(one.refusal, -EXDEV);
    CHECK_EQ(process_translate(one.init, 1, &pid), 0);
    CHECK_EQ(pid, one.init);
    CHECK_EQ(process_translate(one.init, 2, &pid), 0);
    CHECK_EQ(pid, one.child);
    CHECK_EQ(process_translate(one.child, 1, &pid), 0);
    CHECK_EQ(pid, one.init);
    CHECK_EQ(process_translate(two.child, 2, &pid), 0);
    CHECK_EQ(pid, two.child);
    CHECK_EQ(process_translate(two.init, 2, &pid), 0);
    CHECK_EQ(pid, two.child);
    /* A number that is somebody's here, but not there. */
    CHECK_EQ(process_translate(one.init, getpid(), &pid), -ESRCH);
    end(one.holder);
    end(two.holder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_process_is_known_until_it_ends),
        TEST(test_a_number_of_another_namespace_tells_nothing),
        TEST(test_a_process_lives_on_in_its_other_threads),
        TEST(test_a_number_is_translated_from_its_namespace),
    };
    return cmocka_run_group_tests_name("base-process", tests, NULL, NULL);
}
