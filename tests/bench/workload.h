/*
 * What a test does with its database: the same statements for every contender.
 *
 * The library is SQLite's, called from C, so that no language's overhead is timed. Functions here
 * end the process with a message when something fails: a benchmark that goes on has lied.
 */
#ifndef MINTFS_BENCH_WORKLOAD_H
#define MINTFS_BENCH_WORKLOAD_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A database of at least that size with 60 tables and 60 indexes, each row some 200 bytes; made to
 * be a template: closed, without side files, and in WAL mode if asked for.
 */
void workload_make_template(const char *path, uint64_t size_bytes, bool wal);

/* Opens with the defaults and reads the whole schema. */
sqlite3 *workload_open(const char *path);
void workload_read_schema(sqlite3 *database);

/* As many transactions of two inserts and a point select; `serial` chooses the table. */
void workload_transact(sqlite3 *database, unsigned serial, unsigned transactions);

void workload_close(sqlite3 *database);

/* Copies with SQLite's backup API into a database that is open. */
void workload_backup(const char *from, sqlite3 *to);

#endif
