/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { OPTIONS_MAX = 32 };

void cli_parse(const struct cli_option *options, size_t count, int argc, char **argv, const char *usage)
{
    struct option table[OPTIONS_MAX + 2] = {{"help", 0, NULL, 'h'}};
    int got, i;

    for (size_t k = 0; k < count && k < OPTIONS_MAX; k++)
        table[k + 1] = (struct option){options[k].name, options[k].flag == NULL, NULL, 0};
    while ((got = getopt_long(argc, argv, "h", table, &i)) != -1) {
        const struct cli_option *option = &options[i - 1];

        if (got != 0) {
            fputs(usage, got == 'h' ? stdout : stderr);
            exit(got == 'h' ? 0 : 2);
        }
        if (option->text)
            *option->text = optarg;
        else if (option->number)
            *option->number = (unsigned)strtoul(optarg, NULL, 0);
        else if (option->large)
            *option->large = strtoull(optarg, NULL, 0);
        else
            *option->flag = true;
    }
}
