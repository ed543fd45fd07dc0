/* SPDX-License-Identifier: MIT */
/* For the checker, which never calls most of it. */
#pragma once
#include <sys/types.h>
#define getpid()         1
#define sysconf(what)    2
#define unlinkat(...)    (-1)
#define read(...)        0
#define write(...)       0
static inline int close(int fd)
{
    (void)fd;
    return 0;
}
enum { _SC_NPROCESSORS_ONLN };
