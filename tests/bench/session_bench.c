/*
 * The driver of scripts/bench: makes templates, and runs test sessions and times their phases.
 *
 *     session_bench template FILE BYTES delete|wal
 *     session_bench run WAY TEMPLATE DIRECTORY [EXTRA]...
 *         For each line "COUNT TRANSACTIONS" on standard input, runs that many sessions, and prints
 *         the nanoseconds of each in a line "make open work close discard", then an empty line.
 *     session_bench many DIRECTORY COUNT TRANSACTIONS
 *         Creates and uses COUNT sessions one after the other and keeps them. Prints a line "make
 *         work" for each, then an empty line. Waits for a line, then discards all, and prints a
 *         line "discard" for each.
 *     session_bench scan FILE BYTES
 *         Reads the file from start to end in reads of BYTES; prints the nanoseconds.
 *
 * WAY is one of those in ways.c; EXTRA depends on it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/base/cleanup.h"
#include "tests/bench/ways.h"
#include "tests/bench/workload.h"

enum { PHASES = 5 };

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "session_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void run_session(const struct way *way, const struct place *place, unsigned serial,
                        unsigned transactions)
{
    struct test_session session = {.place = place, .serial = serial};
    int64_t at[PHASES + 1];
    at[0] = now_ns();
    way->make(&session);
    at[1] = now_ns();
    sqlite3 *database = session.handle;
    if (database)
        workload_read_schema(database);
    else
        database = workload_open(session.database);
    at[2] = now_ns();
    workload_transact(database, serial, transactions);
    at[3] = now_ns();
    workload_close(database);
    at[4] = now_ns();
    way->discard(&session);
    at[5] = now_ns();
    for (int i = 0; i < PHASES; i++)
        printf("%" PRId64 "%c", at[i + 1] - at[i], i + 1 < PHASES ? ' ' : '\n');
}

static int serve(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    const struct way *way = way_find(argv[2]);
    if (!way) {
        errno = ENOENT;
        fail(argv[2]);
    }
    struct place place = {.template_path = argv[3], .directory = argv[4], .extra = argv + 5};
    unsigned serial = 0;
    char line[64];
    while (fgets(line, sizeof(line), stdin)) {
        char *rest;
        unsigned long count = strtoul(line, &rest, 10);
        unsigned long transactions = strtoul(rest, NULL, 10);
        for (unsigned long i = 0; i < count; i++)
            run_session(way, &place, serial++, (unsigned)transactions);
        (void)puts("");
        if (fflush(stdout) != 0)
            return 1;
    }
    return 0;
}

/* Prints the nanoseconds of creating one session and of using it. */
static void make_one_of_many(const char *directory, unsigned long number, unsigned transactions)
{
    char path[PATH_MAX];
    int64_t start = now_ns();
    (void)snprintf(path, sizeof(path), "%s/many%lu", directory, number);
    if (mkdir(path, 0700) < 0)
        fail(path);
    int64_t made = now_ns();
    (void)snprintf(path, sizeof(path), "%s/many%lu/app.db", directory, number);
    sqlite3 *database = workload_open(path);
    workload_transact(database, (unsigned)number, transactions);
    workload_close(database);
    printf("%" PRId64 " %" PRId64 "\n", made - start, now_ns() - made);
}

static int make_many(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    unsigned long count = strtoul(argv[3], NULL, 10);
    for (unsigned long i = 0; i < count; i++)
        make_one_of_many(argv[2], i, (unsigned)strtoul(argv[4], NULL, 10));
    (void)puts("");
    (void)fflush(stdout);
    if (getchar() == EOF)
        return 1;
    for (unsigned long i = 0; i < count; i++) {
        char path[PATH_MAX];
        int64_t start = now_ns();
        (void)snprintf(path, sizeof(path), "%s/many%lu", argv[2], i);
        if (rmdir(path) < 0)
            fail(path);
        printf("%" PRId64 "\n", now_ns() - start);
    }
    return 0;
}

static int scan(int argc, char **argv)
{
    static char buffer[1 << 20];
    size_t size = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    if (size == 0 || size > sizeof(buffer))
        return 2;
    int64_t start = now_ns();
    AUTO_FD int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    ssize_t n = fd;
    while (n >= 0 && (n = read(fd, buffer, size)) > 0)
        continue;
    if (n < 0)
        fail(argv[2]);
    printf("%" PRId64 "\n", now_ns() - start);
    return 0;
}

static int make_template(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    workload_make_template(argv[2], strtoull(argv[3], NULL, 10), !strcmp(argv[4], "wal"));
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {
        {"template", make_template}, {"run", serve}, {"many", make_many}, {"scan", scan}};
    int status = 2;
    for (size_t i = 0; argc > 1 && i < ARRAY_LENGTH(commands); i++)
        if (!strcmp(argv[1], commands[i].name))
            status = commands[i].run(argc, argv);
    if (status == 2)
        (void)fputs("usage: session_bench template|run|many|scan ...\n", stderr);
    return status;
}
