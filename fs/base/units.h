/*
 * Numbers, sizes and durations as people write them: 12, 64M, 2GiB, 90, 15m, 24h, 14d.
 */
#ifndef MINTFS_BASE_UNITS_H
#define MINTFS_BASE_UNITS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

/* Decimal digits alone; -EINVAL, -ERANGE. */
MUST_CHECK int units_parse_number(const char *text, uint64_t *ret_number);
/* With K, M, G or T (powers of 1024), "B" or "iB" behind it allowed, and then also decimals: 1.5G;
 * without: bytes. */
MUST_CHECK int units_parse_size(const char *text, uint64_t *ret_bytes);
/* With s, m, h or d behind it; without: seconds. */
MUST_CHECK int units_parse_duration(const char *text, uint64_t *ret_seconds);

#endif
