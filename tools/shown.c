#include "tools/shown.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fs/base/log.h"
#include "fs/base/wrap.h"
#include "fs/store/catalog.h"

enum { COLUMNS_MAX = 16, GAP = 2, CUT_MIN = 16, PROSE_MAX = 80 };

static const int64_t second_ns = 1000000000;

const char *shown_size(uint64_t bytes, char ret_text[SHOWN_SIZE])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_LENGTH(units); unit++)
        value /= 1024;
    (void)snprintf(ret_text, SHOWN_SIZE, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
                   units[unit]);
    return ret_text;
}

const char *shown_time(int64_t ns, char ret_text[SHOWN_SIZE])
{
    time_t seconds = (time_t)(ns / second_ns);
    struct tm local;
    if (!ns || !localtime_r(&seconds, &local) ||
        !strftime(ret_text, SHOWN_SIZE, "%Y-%m-%d %H:%M", &local))
        (void)snprintf(ret_text, SHOWN_SIZE, "-");
    return ret_text;
}

static void format_long(int64_t seconds, char *text)
{
    if (seconds < 60)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < 86400)
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        (void)snprintf(text, SHOWN_SIZE, "%" PRId64 " d", seconds / 86400);
}

const char *shown_age(int64_t ns, char ret_text[SHOWN_SIZE])
{
    int64_t seconds = (catalog_now_ns() - ns) / second_ns;
    format_long(seconds < 0 ? 0 : seconds, ret_text);
    return ret_text;
}

const char *shown_duration(int64_t ns, char ret_text[SHOWN_SIZE])
{
    if (ns < 10 * second_ns)
        (void)snprintf(ret_text, SHOWN_SIZE, "%.1f s", (double)ns / (double)second_ns);
    else if (ns < 3600 * second_ns)
        format_long(ns / second_ns, ret_text);
    else
        (void)snprintf(ret_text, SHOWN_SIZE, "%.1f h", (double)ns / (double)second_ns / 3600);
    return ret_text;
}

void shown_clean(char *text)
{
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = '?';
}

int shown_json(json_t *json)
{
    if (!json)
        return log_errno(ENOMEM, "JSON");
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(json);
    putchar('\n');
    return 0;
}

/* Of the UTF-8 character that begins there; 0: none does. */
static size_t character_length(const unsigned char *at)
{
    size_t length = *at < 0x80   ? 1
                    : *at < 0xc2 ? 0
                    : *at < 0xe0 ? 2
                    : *at < 0xf0 ? 3
                    : *at < 0xf5 ? 4
                                 : 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    /* Too long for what it says, a surrogate, or behind the last character that there is. */
    bool is_wrong = (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f) ||
                    (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f);
    return is_wrong ? 0 : length;
}

json_t *shown_text(const char *text)
{
    json_t *json = json_string(text);
    if (json)
        return json;
    AUTO_FREE char *clean = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&clean, &size);
    if (!stream)
        return NULL;
    while (*text) {
        size_t length = character_length((const unsigned char *)text);
        (void)fprintf(stream, "%.*s", length ? (int)length : 3, length ? text : "\xef\xbf\xbd");
        text += length ? length : 1;
    }
    return fclose(stream) == 0 ? json_string(clean) : NULL;
}

json_t *shown_names(const char *names)
{
    json_t *array = json_array();
    while (array && *names) {
        size_t length = strcspn(names, " ");
        (void)json_array_append_new(array, json_stringn(names, length));
        names += length + (names[length] == ' ');
    }
    return array;
}

unsigned shown_columns(void)
{
    const char *asked = getenv("COLUMNS");
    int columns = asked ? atoi(asked) : 0;
    return columns > 0 ? (unsigned)columns : wrap_columns(STDOUT_FILENO);
}

void shown_wrapped(const char *text, unsigned indent)
{
    wrap_print(stdout, text, 0, indent, shown_columns());
    putchar('\n');
}

void shown_line(const char *format, ...)
{
    enum { INDENT = 2 };
    AUTO_FREE char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    shown_wrapped(text ? text : "", INDENT);
}

/* The lines from here that are indented alike, as one; *ret_rest is what follows. */
static char *join_lines(const char *text, size_t indent, const char **ret_rest)
{
    char *joined = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&joined, &size);
    for (bool first = true; stream && (first || strspn(text, " ") == indent); first = false) {
        size_t length = strcspn(text, "\n");
        if (length <= indent)
            break;
        (void)fprintf(stream, "%s%.*s", first ? "" : " ", (int)(length - indent), text + indent);
        text += length + (text[length] == '\n');
    }
    *ret_rest = text;
    if (stream && fclose(stream) == 0)
        return joined;
    free(joined);
    return NULL;
}

void shown_paragraphs(const char *text)
{
    unsigned width = shown_columns();
    if (!width) {
        (void)fputs(text, stdout);
        return;
    }
    width = width < PROSE_MAX ? width : PROSE_MAX;
    while (*text) {
        if (*text == '\n') {
            putchar(*text++);
            continue;
        }
        unsigned indent = (unsigned)strspn(text, " ");
        AUTO_FREE char *joined = join_lines(text, indent, &text);
        if (!joined)
            return;
        printf("%*s", (int)indent, "");
        wrap_print(stdout, joined, indent, indent, width);
        putchar('\n');
    }
}

/* ---- tables ---- */

struct table {
    struct column columns[COLUMNS_MAX];
    size_t count;
    char **cells; /* row by row */
    size_t rows;
    size_t capacity;
};

/* Columns on the screen: bytes that begin a character. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

int table_new(const struct column *columns, size_t count, struct table **ret_table)
{
    struct table *table = calloc(1, sizeof(*table));
    if (!table || count > COLUMNS_MAX) {
        free(table);
        return -ENOMEM;
    }
    memcpy(table->columns, columns, count * sizeof(*columns));
    table->count = count;
    *ret_table = table;
    return 0;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void table_freep(struct table **table)
{
    table_free(*table);
}

size_t table_rows(const struct table *table)
{
    return table->rows;
}

int table_add(struct table *table, const char *const *cells)
{
    if (table->rows == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 32;
        char **grown = reallocarray(table->cells, capacity * table->count, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        table->cells = grown;
        table->capacity = capacity;
    }
    char **row = &table->cells[table->rows++ * table->count];
    int r = 0;
    for (size_t i = 0; i < table->count; i++) {
        row[i] = strdup(cells[i]);
        if (row[i])
            shown_clean(row[i]);
        else
            r = -ENOMEM;
    }
    return r;
}

struct layout {
    unsigned width[COLUMNS_MAX]; /* 0: left out */
};

static unsigned total_width(const struct table *table, const struct layout *layout)
{
    unsigned total = 0;
    for (size_t i = 0; i < table->count; i++)
        if (layout->width[i])
            total += layout->width[i] + (total ? GAP : 0);
    return total;
}

/* What can be won by cutting. */
static unsigned slack(const struct table *table, const struct layout *layout)
{
    unsigned sum = 0;
    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].cut && layout->width[i] > CUT_MIN)
            sum += layout->width[i] - CUT_MIN;
    return sum;
}

static void fit(const struct table *table, struct layout *layout, unsigned columns)
{
    for (;;) {
        size_t worst = 0;
        if (total_width(table, layout) <= columns + slack(table, layout))
            break;
        for (size_t i = 1; i < table->count; i++)
            if (layout->width[i] &&
                (!layout->width[worst] || table->columns[i].rank >= table->columns[worst].rank))
                worst = i;
        if (table->columns[worst].rank == 0)
            break;
        layout->width[worst] = 0;
    }
    /* The widest is cut first. */
    while (total_width(table, layout) > columns) {
        size_t widest = table->count;
        for (size_t i = 0; i < table->count; i++)
            if (table->columns[i].cut && layout->width[i] > CUT_MIN &&
                (widest == table->count || layout->width[i] > layout->width[widest]))
                widest = i;
        if (widest == table->count)
            return;
        layout->width[widest]--;
    }
}

/* Where the character behind the first `width` begins. */
static size_t offset_of(const char *text, unsigned width)
{
    size_t i = 0;
    for (; text[i]; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && width-- == 0)
            break;
    return i;
}

static void print_cell(const struct column *column, unsigned width, const char *text, bool last)
{
    unsigned own = width_of(text);
    if (own > width) {
        printf("%.*s..", (int)offset_of(text, width - 2), text);
        return;
    }
    int blanks = (int)(width - own);
    if (column->right)
        printf("%*s%s", blanks, "", text);
    else
        printf("%s%*s", text, last ? 0 : blanks, "");
}

static void print_row(const struct table *table, const struct layout *layout,
                      const char *const *cells)
{
    size_t last = 0;
    bool first = true;
    for (size_t i = 0; i < table->count; i++)
        if (layout->width[i])
            last = i;
    for (size_t i = 0; i < table->count; i++) {
        if (!layout->width[i])
            continue;
        printf("%*s", first ? 0 : GAP, "");
        print_cell(&table->columns[i], layout->width[i], cells[i], i == last);
        first = false;
    }
    putchar('\n');
}

static bool may_color(void)
{
    const char *off = getenv("NO_COLOR");
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(off && *off) && kind && strcmp(kind, "dumb") != 0;
}

/* Where no row fits a line: a row is a paragraph, and a cell a line of it. */
static void print_records(const struct table *table)
{
    unsigned indent = 0;
    for (size_t i = 0; i < table->count; i++) {
        unsigned width = width_of(table->columns[i].title) + GAP;
        indent = width > indent ? width : indent;
    }
    for (size_t i = 0; i < table->rows * table->count; i++) {
        const char *title = table->columns[i % table->count].title;
        if (i && i % table->count == 0)
            putchar('\n');
        if (!*table->cells[i])
            continue;
        printf("%s%*s", title, (int)(indent - width_of(title)), "");
        wrap_print(stdout, table->cells[i], indent, indent, shown_columns());
        putchar('\n');
    }
}

void table_print(const struct table *table)
{
    struct layout layout = {.width = {0}};
    const char *titles[COLUMNS_MAX];
    for (size_t i = 0; i < table->count; i++) {
        titles[i] = table->columns[i].title;
        layout.width[i] = width_of(titles[i]);
        for (size_t row = 0; row < table->rows; row++) {
            unsigned width = width_of(table->cells[row * table->count + i]);
            layout.width[i] = width > layout.width[i] ? width : layout.width[i];
        }
    }
    unsigned columns = shown_columns();
    if (columns)
        fit(table, &layout, columns);
    if (columns && total_width(table, &layout) > columns) {
        print_records(table);
        return;
    }
    bool color = may_color();
    fputs(color ? "\033[1m" : "", stdout);
    print_row(table, &layout, titles);
    fputs(color ? "\033[0m" : "", stdout);
    for (size_t row = 0; row < table->rows; row++)
        print_row(table, &layout, (const char *const *)&table->cells[row * table->count]);
}
