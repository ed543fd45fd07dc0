/* SPDX-License-Identifier: MIT */
/* The command line. See crash.h. */
#include "cases.h"
#include "../support/cli.h"

struct options options = {.at = NOWHERE, .then = NOWHERE, .jobs = 1, .share = 1, .say = 10, .looks = 30};

static const char usage[] = "usage: crash [OPTION...]\n\n"
                            "Steps operations of the library through all instructions, kills and freezes them "
                            "wherever the shared\n"
                            "memory or the kernel's part may have changed, and checks the contract of "
                            "docs/FAILURE.md.\n\n"
                            "  --operation, --pattern, --policy, --state NAME   only those (with * and ?); --list "
                            "names all cases\n"
                            "  --binds, --side left|right             only with that end bound, only with that end "
                            "as the victim\n"
                            "  --mode kill|freeze|close|join|replace  only that fault\n"
                            "  --pairs N                              two faults (--mode kill-peer|kill-next|"
                            "freeze-both): at N kill\n"
                            "                                         points of the victim, and at each at N of the "
                            "other; by seed\n"
                            "  --at STEPS [--then STEPS]              only there\n"
                            "  --looks N                              stopped also before N of its accesses to shared "
                            "memory (30)\n"
                            "  --count                                only count instructions\n"
                            "  --every                                at every instruction, also where nothing has "
                            "changed\n"
                            "  --share N, --seed N                    of N cases one; which ones\n"
                            "  --minutes N                            until then, and no further\n"
                            "  --jobs N                               processes at work\n"
                            "  --say N                                violations that are shown, by default 10\n";

void options_parse(int argc, char **argv)
{
    static const struct cli_option known[] = {
        {"operation", .text = &options.operation}, {"pattern", .text = &options.pattern},
        {"policy", .text = &options.policy},       {"state", .text = &options.state},
        {"binds", .text = &options.binds},         {"side", .text = &options.side},
        {"mode", .text = &options.mode},           {"at", .large = &options.at},
        {"then", .large = &options.then},          {"jobs", .number = &options.jobs},
        {"share", .number = &options.share},       {"seed", .number = &options.seed},
        {"say", .number = &options.say},           {"minutes", .number = &options.minutes},
        {"pairs", .number = &options.pairs},       {"looks", .number = &options.looks},
        {"every", .flag = &options.every},         {"list", .flag = &options.list},
        {"count", .flag = &options.count},
    };

    cli_parse(known, COUNT_OF(known), argc, argv, usage);
    options.jobs = options.jobs == 0 ? 1 : options.jobs < JOBS_MAX ? options.jobs : JOBS_MAX;
}
