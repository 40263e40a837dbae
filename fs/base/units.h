/*
 * Numbers, sizes and durations as people write them (12, 64M, 2GiB, 90, 15m, 24h, 14d), and as
 * they are printed for people.
 */
#ifndef MINTFS_BASE_UNITS_H
#define MINTFS_BASE_UNITS_H

#include <stdint.h>

#include "fs/base/cleanup.h"

/* Only decimal digits. -EINVAL, -ERANGE. */
MUST_CHECK int units_parse_number(const char *text, uint64_t *ret_number);
/* With a unit K, M, G or T (powers of 1024), optionally followed by "B" or "iB", a decimal fraction
 * is allowed: 1.5G. Without a unit: bytes. */
MUST_CHECK int units_parse_size(const char *text, uint64_t *ret_bytes);
/* With a unit s, m, h or d; without: seconds. */
MUST_CHECK int units_parse_duration(const char *text, uint64_t *ret_seconds);

/* The functions below write a text for people to ret_text and return it. */
enum { UNITS_TEXT_SIZE = 32 };
/* "812 B", "4.0 MiB" */
const char *units_format_size(uint64_t bytes, char ret_text[UNITS_TEXT_SIZE]);
/* "1 template", "3 templates" */
const char *units_format_count(uint64_t count, const char *noun, char ret_text[UNITS_TEXT_SIZE]);
/* "2026-11-22 14:05", local time of a time since 1970; "-" for 0 */
const char *units_format_time(int64_t ns, char ret_text[UNITS_TEXT_SIZE]);
/* How long ago a time since 1970 was: "5 s", "3 min", "7 h", "12 d" */
const char *units_format_age(int64_t ns, char ret_text[UNITS_TEXT_SIZE]);
/* A duration: "0.2 s", "3 min", "1.5 h" */
const char *units_format_duration(int64_t ns, char ret_text[UNITS_TEXT_SIZE]);

#endif
