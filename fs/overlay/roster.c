#include "fs/overlay/roster.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "fs/base/dir.h"
#include "fs/base/io.h"
#include "fs/base/process.h"
#include "fs/base/sha256.h"
#include "fs/overlay/scratch.h"

static const char file_name[] = "roster";
static const char unfinished_name[] = "roster.new";
static const char magic[] = "mintfs-roster-1 ";

enum {
    CHECK_DIGITS = 8,
    CHECKED_FROM = sizeof(magic) - 1 + CHECK_DIGITS,
    ROSTER_BYTES_MAX = 256 << 20,
    /* More than the first line can have after the check. */
    FIRST_LINE_MAX = BOOT_ID_SIZE + 64,
};

/* The first line after the check; it changes with the logs. */
static int fill_first_line(const char *boot_id, int logs_fd, char ret_line[FIRST_LINE_MAX])
{
    struct stat status;
    if (fstat(logs_fd, &status) < 0)
        return -errno;
    (void)snprintf(ret_line, FIRST_LINE_MAX, " %s %" PRId64 ".%09ld\n", boot_id,
                   (int64_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    return 0;
}

static uint32_t check_of(const char *text, size_t size)
{
    return (uint32_t)crc32_z(0, (const Bytef *)text + CHECKED_FROM, size - CHECKED_FROM);
}

/* ---- writing ---- */

int roster_remove(int scratch_fd)
{
    int r = io_unlinkat(scratch_fd, file_name, 0);
    return r == -ENOENT ? 0 : r;
}

int roster_begin(const char *boot_id, int logs_fd, struct roster *ret_roster)
{
    char line[FIRST_LINE_MAX];
    int r = fill_first_line(boot_id, logs_fd, line);
    if (r < 0)
        return r;
    *ret_roster = (struct roster){0};
    ret_roster->stream = open_memstream(&ret_roster->text, &ret_roster->size);
    if (!ret_roster->stream)
        return -ENOMEM;
    (void)fprintf(ret_roster->stream, "%s%0*d%s", magic, CHECK_DIGITS, 0, line);
    return 0;
}

void roster_add(struct roster *roster, const struct roster_line *line)
{
    (void)fprintf(roster->stream, "%s %s %" PRIu64 " %" PRIu64 "\n", line->key, line->id,
                  line->serial, line->log_size_bytes);
}

static int write_file(int scratch_fd, const char *text, size_t size)
{
    AUTO_FD int fd =
        io_openat(scratch_fd, unfinished_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    int r = io_pwrite(fd, text, size, 0);
    if (r == 0)
        r = io_renameat(scratch_fd, unfinished_name, scratch_fd, file_name);
    if (r < 0)
        (void)unlinkat(scratch_fd, unfinished_name, 0);
    return r;
}

int roster_finish(struct roster *roster, int scratch_fd)
{
    int r = ferror(roster->stream) ? -ENOMEM : 0;
    if (fclose(roster->stream) != 0)
        r = -ENOMEM;
    if (r == 0) {
        char digits[CHECK_DIGITS + 1];
        (void)snprintf(digits, sizeof(digits), "%08" PRIx32, check_of(roster->text, roster->size));
        memcpy(roster->text + sizeof(magic) - 1, digits, CHECK_DIGITS);
        r = write_file(scratch_fd, roster->text, roster->size);
    }
    free(roster->text);
    return r;
}

/* ---- reading ---- */

/* The lines of its sessions, within `text`; NULL if it is damaged or does not match the logs. */
static char *find_lines(char *text, size_t size, const char *boot_id, int logs_fd)
{
    char line[FIRST_LINE_MAX];
    uint32_t check;
    if (size < CHECKED_FROM || strncmp(text, magic, strlen(magic)) != 0 ||
        sscanf(text + strlen(magic), "%8" SCNx32, &check) != 1 || check != check_of(text, size))
        return NULL;
    char *end = strchr(text, '\n');
    if (!end || strncmp(text + CHECKED_FROM + 1, boot_id, strlen(boot_id)) != 0)
        return NULL;
    if (logs_fd >= 0 && (fill_first_line(boot_id, logs_fd, line) < 0 ||
                         strncmp(text + CHECKED_FROM, line, strlen(line)) != 0))
        return NULL;
    return end + 1;
}

static bool parse_line(char *text, struct roster_line *ret_line)
{
    ret_line->key = strsep(&text, " ");
    ret_line->id = text ? strsep(&text, " ") : NULL;
    return text && sha256_is_hex(ret_line->key) && session_id_is_valid(ret_line->id) &&
           sscanf(text, "%" SCNu64 " %" SCNu64, &ret_line->serial, &ret_line->log_size_bytes) == 2;
}

int roster_each(int scratch_fd, int logs_fd, const char *boot_id, roster_visitor *visit,
                void *context, int *ret_answer)
{
    AUTO_FREE char *text = NULL;
    size_t size;
    int r = dir_read_file(scratch_fd, file_name, ROSTER_BYTES_MAX, &text, &size);
    if (r == -ENOMEM)
        return r;
    char *lines = r < 0 ? NULL : find_lines(text, size, boot_id, logs_fd);
    if (!lines)
        return -ENOENT;
    *ret_answer = 0;
    for (char *text_line; *ret_answer == 0 && (text_line = strsep(&lines, "\n")) && *text_line;) {
        struct roster_line line;
        if (parse_line(text_line, &line))
            *ret_answer = visit(&line, context);
    }
    return 0;
}
