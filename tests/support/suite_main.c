/* SPDX-License-Identifier: MIT */
/* The main() of a program that has none of its own. */
#include "suite.h"

#include <errno.h>

int main(int argc, char **argv)
{
    return suite_run(program_invocation_short_name, argc, argv);
}
