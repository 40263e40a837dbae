/*
 * What a test does with its database: the same statements for every contender.
 *
 * They call SQLite from C, so that no language's overhead is timed. If something fails, these
 * functions end the process with a message: a benchmark that continued would give wrong figures.
 */
#ifndef MINTFS_BENCH_WORKLOAD_H
#define MINTFS_BENCH_WORKLOAD_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Creates a database of at least that size with 60 tables and 60 indexes, and rows of about 200
 * bytes. It is closed and has no side files; it is in WAL mode if `wal` is true.
 */
void workload_make_template(const char *path, uint64_t size_bytes, bool wal);

/* Opens with the defaults and reads the whole schema. */
sqlite3 *workload_open(const char *path);
void workload_read_schema(sqlite3 *database);

/* Runs that many transactions of two inserts and a point select. `serial` chooses the table. */
void workload_transact(sqlite3 *database, unsigned serial, unsigned transactions);

void workload_close(sqlite3 *database);

/* Copies with SQLite's backup API into an open database. */
void workload_backup(const char *from, sqlite3 *to);

#endif
