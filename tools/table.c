/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

void table_init(struct table *table, const struct column *columns, size_t column_count)
{
    memset(table, 0, sizeof *table);
    table->columns = columns;
    table->column_count = column_count;
}

void table_add(struct table *table, const char *format, ...)
{
    if (table->count == table->room) {
        size_t more = table->room == 0 ? 64 : 2 * table->room;
        char **cells = realloc(table->cells, more * sizeof *cells);
        if (cells == NULL) {
            table->error = -ENOMEM;
            return;
        }
        table->cells = cells;
        table->room = more;
    }
    va_list arguments;
    char *cell = NULL;
    va_start(arguments, format);
    int n = vasprintf(&cell, format, arguments);
    va_end(arguments);
    if (n < 0)
        table->error = -ENOMEM;
    else
        table->cells[table->count++] = cell;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    int pad = (int)(width - text_width(text));
    if (last && text[0] == '\0')
        pad = 0;
    if (right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

static const char *shown(const struct table *table, size_t row, size_t column)
{
    const char *cell = table->cells[row * table->column_count + column];
    return cell[0] == '\0' ? "-" : cell;
}

static void print(const struct table *table)
{
    size_t width[TABLE_COLUMNS], columns = table->column_count, rows = table->count / columns;
    bool units = false;

    for (size_t c = 0; c < columns; c++) {
        const struct column *column = &table->columns[c];
        units = units || column->unit != NULL;
        width[c] = strlen(column->title);
        if (column->unit != NULL && strlen(column->unit) > width[c])
            width[c] = strlen(column->unit);
        for (size_t r = 0; r < rows; r++)
            if (text_width(shown(table, r, c)) > width[c])
                width[c] = text_width(shown(table, r, c));
    }
    for (size_t c = 0; c < columns; c++)
        print_cell(table->columns[c].title, width[c], table->columns[c].is_right, c + 1 == columns);
    for (size_t c = 0; units && c < columns; c++)
        print_cell(table->columns[c].unit != NULL ? table->columns[c].unit : "", width[c],
                   table->columns[c].is_right, c + 1 == columns);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            print_cell(shown(table, r, c), width[c], table->columns[c].is_right, c + 1 == columns);
}

int table_end(struct table *table)
{
    if (table->error == 0 && table->count >= table->column_count)
        print(table);
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    return table->error;
}
