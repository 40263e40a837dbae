#include "tools/columns.h"

#include <stdio.h>
#include <string.h>

#include "fs/base/printable.h"
#include "fs/base/wrap.h"
#include "tools/output.h"

enum { COLUMNS_MAX = 16, GAP = 2, CUT_MIN = 16 };

struct columns {
    struct column columns[COLUMNS_MAX];
    size_t count;
    char **cells; /* row by row */
    size_t rows;
    size_t capacity;
};

/* The width on the screen: the number of bytes that begin a character. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

int columns_new(const struct column *columns, size_t count, struct columns **ret_table)
{
    struct columns *table = calloc(1, sizeof(*table));
    if (!table || count > COLUMNS_MAX) {
        free(table);
        return -ENOMEM;
    }
    memcpy(table->columns, columns, count * sizeof(*columns));
    table->count = count;
    *ret_table = table;
    return 0;
}

void columns_free(struct columns *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->rows * table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table);
}

void columns_freep(struct columns **table)
{
    columns_free(*table);
}

size_t columns_rows(const struct columns *table)
{
    return table->rows;
}

int columns_add(struct columns *table, const char *const *cells)
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
            printable_clean(row[i]);
        else
            r = -ENOMEM;
    }
    return r;
}

struct layout {
    unsigned width[COLUMNS_MAX]; /* 0: left out */
};

static unsigned total_width(const struct columns *table, const struct layout *layout)
{
    unsigned total = 0;
    for (size_t i = 0; i < table->count; i++)
        if (layout->width[i])
            total += layout->width[i] + (total ? GAP : 0);
    return total;
}

/* By how much the columns with `cut` can be shortened. */
static unsigned slack(const struct columns *table, const struct layout *layout)
{
    unsigned sum = 0;
    for (size_t i = 0; i < table->count; i++)
        if (table->columns[i].cut && layout->width[i] > CUT_MIN)
            sum += layout->width[i] - CUT_MIN;
    return sum;
}

static void fit(const struct columns *table, struct layout *layout, unsigned columns)
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

/* The offset of the character after the first `width`. */
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

static void print_row(const struct columns *table, const struct layout *layout,
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

/* For rows that do not fit in a line: prints each as a paragraph, with one cell per line. */
static void print_records(const struct columns *table)
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
        wrap_print(stdout, table->cells[i], indent, indent, output_columns());
        putchar('\n');
    }
}

void columns_print(const struct columns *table)
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
    unsigned columns = output_columns();
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
