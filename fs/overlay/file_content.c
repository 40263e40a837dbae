#include "fs/overlay/file_content.h"

#include <string.h>

#include "fs/base/io.h"
#include "fs/base/log.h"
#include "fs/store/names.h"
#include "fs/store/sqlite_header.h"

/* A template's databases are in rollback mode; a session shows the mode that the builder left. */
static void show_journal_mode(const struct node *node, char *buffer, size_t size, uint64_t offset)
{
    if (!lower_entry(node->session->lower, node->entry)->starts_in_wal)
        return;
    for (uint64_t i = SQLITE_VERSIONS_OFFSET; i < SQLITE_VERSIONS_OFFSET + SQLITE_VERSIONS_SIZE;
         i++)
        if (i >= offset && i < offset + size)
            buffer[i - offset] = SQLITE_VERSION_WAL;
}

int file_log_damage(const struct node *node, int r)
{
    struct session *session = node->session;
    if (r != -EBADMSG)
        return r;
    if (!atomic_exchange(&session->logged_damage, true))
        log_warning("the session %s of template %" PRI_KEY
                    ": its storage in the scratch is damaged, and "
                    "what is damaged cannot be read; mintfs session reset %s begins again",
                    session->id, lower_key(session->lower), session->id);
    return -EIO;
}

/* Reads what absent blocks show: the template's bytes below the limit, zeros above. */
static int read_lower(struct node *node, char *buffer, size_t size, uint64_t offset)
{
    size_t lower_size = 0;
    if (offset < node->lower_limit_bytes)
        lower_size = (size_t)min_u64(size, node->lower_limit_bytes - offset);
    memset(buffer + lower_size, 0, size - lower_size);
    if (!lower_size)
        return 0;
    int fd = node->lower_fd;
    if (fd < 0) {
        int r = lower_file_acquire(node->session->lower, node->entry, &fd);
        if (r < 0)
            return r;
    }
    int r = io_pread_exact(fd, buffer, lower_size, (off_t)offset);
    if (node->lower_fd < 0)
        lower_file_release(node->session->lower, node->entry);
    if (r == 0)
        show_journal_mode(node, buffer, lower_size, offset);
    return r;
}

int file_read_range(struct node *node, char *buffer, size_t size, uint64_t offset)
{
    while (size > 0) {
        fileblock_t at = block_of(offset);
        uint32_t within = (uint32_t)(offset % BLOCK_SIZE_BYTES);
        uint32_t blocks = (uint32_t)(block_round_up(within + size) / BLOCK_SIZE_BYTES);
        block_t block;
        uint32_t run = blockmap_run(&node->map, at, blocks, &block);
        size_t part = (size_t)min_u64(size, (uint64_t)run * BLOCK_SIZE_BYTES - within);
        int r = 0;
        if (block == BLOCK_ABSENT)
            r = read_lower(node, buffer, part, offset);
        else if (block == BLOCK_ZERO)
            memset(buffer, 0, part);
        else
            r = blocks_read(node->session->blocks, block, within, buffer, part);
        if (r < 0)
            return file_log_damage(node, r);
        buffer += part;
        size -= part;
        offset += part;
    }
    return 0;
}
