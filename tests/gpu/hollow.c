/* SPDX-License-Identifier: MIT */
/*
 * A library that looks like a CUDA driver from before 12.0: it has cuInit, and not the call by which the others are
 * found.
 */
__attribute__((visibility("default"))) int cuInit(unsigned int flags);

int cuInit(unsigned int flags)
{
    return flags == 0 ? 0 : 1;
}
