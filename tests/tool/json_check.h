/* SPDX-License-Identifier: MIT */
/* Is TEXT one JSON value (RFC 8259) of valid UTF-8, and nothing else? */
#ifndef SHMQ_TEST_JSON_CHECK_H
#define SHMQ_TEST_JSON_CHECK_H

#include <stdbool.h>

bool is_json(const char *text);

#endif
