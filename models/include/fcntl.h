/* SPDX-License-Identifier: MIT */
/* For the checker, which never calls any of it. */
#pragma once
#define openat(...) (-1)
enum { O_RDONLY, O_WRONLY, O_RDWR, O_NONBLOCK, O_CLOEXEC, O_NOFOLLOW };
