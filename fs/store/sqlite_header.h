/*
 * The file header of an SQLite database (https://sqlite.org/fileformat2.html#the_database_header),
 * and the names of the files beside it.
 */
#ifndef MINTFS_STORE_SQLITE_HEADER_H
#define MINTFS_STORE_SQLITE_HEADER_H

/* With its terminating zero, the 16 bytes that a database begins with. */
#define SQLITE_MAGIC "SQLite format 3"

enum {
    SQLITE_FILE_HEADER_BYTES = 100,
    SQLITE_VERSIONS_OFFSET = 18, /* the write version, then the read version, a byte each */
    SQLITE_VERSIONS_SIZE = 2,
    SQLITE_RESERVED_OFFSET = 20,   /* bytes at the end of each page that extensions use */
    SQLITE_FRACTIONS_OFFSET = 21,  /* 64, 32, 32 */
    SQLITE_CHANGES_OFFSET = 24,    /* the change counter */
    SQLITE_PAGE_COUNT_OFFSET = 28, /* valid if the change counter is the one at offset 92 */
    SQLITE_ZEROS_OFFSET = 72,
    SQLITE_ZEROS_SIZE = 20,
    SQLITE_VALID_FOR_OFFSET = 92, /* the change counter when the page count was written */
};

enum { SQLITE_VERSION_WAL = 2, SQLITE_PAGE_SIZE_MIN = 512, SQLITE_PAGE_SIZE_MAX = 65536 };

#define SQLITE_JOURNAL_SUFFIX "-journal"
#define SQLITE_WAL_SUFFIX "-wal"
#define SQLITE_SHM_SUFFIX "-shm"

#endif
