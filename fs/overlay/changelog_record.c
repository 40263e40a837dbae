#include "fs/overlay/changelog_record.h"

#include <string.h>

#include "fs/overlay/changelog_format.h"

void frame_init(struct frame *frame)
{
    frame->data = frame->small;
    frame->room = sizeof(frame->small);
    frame->size = sizeof(struct frame_disk);
    frame->failed = false;
    frame->frees = false;
    frame->owner = 0;
}

void frame_fini(struct frame *frame)
{
    if (frame->data != frame->small)
        free(frame->data);
}

static void *frame_reserve(struct frame *frame, size_t size)
{
    if (frame->size + size > frame->room) {
        size_t room = (frame->size + size) * 2;
        char *data = malloc(room);
        if (!data) {
            frame->failed = true;
            return NULL;
        }
        memcpy(data, frame->data, frame->size);
        frame_fini(frame);
        frame->data = data;
        frame->room = room;
    }
    void *place = frame->data + frame->size;
    frame->size += size;
    return place;
}

static void add(struct frame *frame, enum record_type type, uint32_t node, const void *fixed,
                size_t fixed_size, const char *tail)
{
    size_t tail_size = tail ? strlen(tail) : 0;
    size_t padded = (tail_size + 7) & ~(size_t)7;
    struct record_disk head = {.type = (uint16_t)type, .tail = (uint16_t)tail_size, .node = node};
    char *place = frame_reserve(frame, sizeof(head) + fixed_size + padded);
    if (!place)
        return;
    memcpy(place, &head, sizeof(head));
    memcpy(place + sizeof(head), fixed, fixed_size);
    memset(place + sizeof(head) + fixed_size, 0, padded);
    if (tail_size)
        memcpy(place + sizeof(head) + fixed_size, tail, tail_size);
}

void frame_add_header(struct frame *frame, const struct session_header *header)
{
    struct header_disk disk = {
        .serial = header->serial, .uid = header->uid, .gid = header->gid, .owner = header->owner};
    memcpy(disk.boot_id, header->boot_id, BOOT_ID_SIZE);
    memcpy(disk.key, header->key, SHA256_HEX_LENGTH);
    add(frame, RECORD_HEADER, 0, &disk, sizeof(disk), header->id);
    frame->owner = header->owner;
}

void frame_add_template(struct frame *frame, const struct template_record *record)
{
    struct template_disk disk;
    memcpy(disk.digest, record->digest, sizeof(disk.digest));
    add(frame, RECORD_TEMPLATE, 0, &disk, sizeof(disk), NULL);
}

void frame_add_identity(struct frame *frame, const struct identity_record *record)
{
    const struct process_id *owner = &record->lease.owner;
    struct identity_disk disk = {
        .ends_ns = record->lease.ends_ns,
        .owner_start = owner->start,
        .owner_pid_namespace = owner->pid_namespace,
        .owner_time_namespace = owner->time_namespace,
        .owner_pid = owner->pid,
        .replaced = record->replaced,
    };
    add(frame, RECORD_IDENTITY, 0, &disk, sizeof(disk), record->id);
}

void frame_add_node(struct frame *frame, const struct node_record *record, const char *target)
{
    struct node_disk disk = {
        .rdev = record->rdev,
        .size_bytes = record->size_bytes,
        .lower_limit_bytes = record->lower_limit_bytes,
        .atime_ns = record->atime_ns,
        .mtime_ns = record->mtime_ns,
        .ctime_ns = record->ctime_ns,
        .entry = record->entry,
        .mode = record->mode,
        .uid = record->uid,
        .gid = record->gid,
    };
    add(frame, RECORD_NODE, record->node, &disk, sizeof(disk), target);
}

void frame_add_extent(struct frame *frame, const struct extent_record *record)
{
    struct extent_disk disk = {
        .size_bytes = record->size_bytes,
        .mtime_ns = record->mtime_ns,
        .at = record->at,
        .count = record->count,
        .block = record->block,
    };
    add(frame, RECORD_EXTENT, record->node, &disk, sizeof(disk), NULL);
}

void frame_add_link(struct frame *frame, uint32_t parent, const char *name, uint32_t node)
{
    struct link_disk disk = {.target = node};
    add(frame, RECORD_LINK, parent, &disk, sizeof(disk), name);
}

void frame_add_unlink(struct frame *frame, uint32_t parent, const char *name)
{
    struct link_disk disk = {0};
    add(frame, RECORD_UNLINK, parent, &disk, sizeof(disk), name);
}
