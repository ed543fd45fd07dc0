/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "table.h"

int auth_row(struct bench *bench, const struct row *row)
{
    table_words("sent and received with a key", "not built: no libsodium");
    return 0;
}
