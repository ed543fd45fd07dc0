/* SPDX-License-Identifier: MIT */
/* A table of text whose columns are as wide as their widest cell. */
#ifndef SHMQ_TOOL_TABLE_H
#define SHMQ_TOOL_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS 20

struct column {
    const char *title;
    const char *unit; /* below the title; NULL: none */
    int is_right; /* right-aligned: numbers */
};

struct table {
    const struct column *columns;
    size_t column_count;
    char **cells; /* row by row */
    size_t count, room;
    int error; /* -ENOMEM, or 0 */
};

void table_init(struct table *table, const struct column *columns, size_t column_count);

/* Add the next cell; rows fill up one after another. An empty cell is shown as "-". */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write the table to standard output, if it has a row, and free it. 0 or -ENOMEM. */
int table_end(struct table *table);

#endif
