/* SPDX-License-Identifier: MIT */
/* A table of text, with columns as wide as they have to be. */
#ifndef SHMQ_TOOL_TABLE_H
#define SHMQ_TOOL_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS 20

struct column {
    const char *title;
    const char *unit; /* below the title; NULL none */
    int is_right; /* numbers */
};

struct table {
    const struct column *columns;
    size_t column_count;
    char **cells; /* row by row */
    size_t count, room;
    int error; /* the first: -ENOMEM */
};

void table_init(struct table *table, const struct column *columns, size_t column_count);

/* The next cell; rows end by themselves. An empty one is shown as "-". */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Write it to standard output, if there is a row, and free it. 0 or -ENOMEM. */
int table_end(struct table *table);

#endif
