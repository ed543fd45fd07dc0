/* SPDX-License-Identifier: MIT */
/*
 * Random SIGKILLs among workers, servers, clients and those who come and go: rounds (support/round) written down.
 * What the survivors saw is checked against the contract by history. The seed is printed when a check fails.
 */
#include "support/round/round.h"

static unsigned key_as_told(void)
{
    return !test_has_key()                                   ? KEY_NONE
           : strcmp(getenv("SHMQ_TEST_AUTH"), "sealed") == 0 ? KEY_SEALED
                                                             : KEY_AUTHENTICATED;
}

/* Ten rounds (times SHMQ_TEST_KILLS), in each of which three at a time die, as many as the plan says; no file stays. */
static void run(struct plan plan, const char *pair)
{
    struct tally tally = {0};

    plan.pipe.pair = CHECK_PTR((void *)(uintptr_t)pair_named(pair));
    plan.seed = test_seed();
    plan.slots = 3;
    plan.survivors = 1;
    plan.messages = 20;
    plan.waiting = BY_BLOCKING;
    plan.settled = true;
    plan.policy.parts = 1;
    plan.policy.key = key_as_told();
    plan.policy.once = !plan.policy.views;
    for (; plan.round < kills(10); plan.round++) {
        round_must_hold(&plan, &tally);
        CHECK_INT(tally.kills, (plan.round + 1) * plan.victims);
        CHECK_INT(count_files(test_dir()), 0);
    }
    CHECK(tally.acked > 100);
}

static void killed_workers_give_every_job_back(void)
{
    run((struct plan){.kind = RECEIVERS, .victims = 50, .size_max = 394, .hwm = 64, .policy.views = true}, "PUSH/PULL");
}

static void killed_receivers_lose_at_most_the_message_in_hand(void)
{
    run((struct plan){.kind = RECEIVERS, .victims = 50, .size_max = 394, .hwm = 64}, "PUSH/PULL");
}

/* A client that binds, and servers that connect to it: each request to one of them in turn. */
static void killed_servers_leave_no_call_without_an_end(void)
{
    run((struct plan){.kind = CALLS, .victims = 50, .size_max = 94}, "REQ/REP");
}

static void killed_clients_do_not_disturb_the_others(void)
{
    run((struct plan){.kind = CALLS, .victims = 50, .size_max = 94, .left_dies = true, .pipe.right_binds = true},
        "REQ/REP");
}

static void killed_subscribers_do_not_hold_up_a_lossless_pub(void)
{
    run((struct plan){.kind = RECEIVERS, .victims = 50, .size_max = 273, .hwm = 32}, "PUB/SUB");
}

/* Killed anywhere between shm_socket() and shm_close(): after each, two others meet under the name. */
static void those_killed_while_they_come_and_go_leave_the_name_usable(void)
{
    struct plan plan = {.seed = test_seed(), .kind = CHURN, .slots = 1, .victims = 1, .messages = 1, .settled = true};
    struct tally tally = {0};

    leave_files(); /* of sockets that had no name yet: nobody but `shmq gc` finds them */
    plan.pipe.pair = pair_named("PUSH/PULL");
    plan.policy = (struct policy){.parts = 1, .key = key_as_told()};
    for (; plan.round < kills(150); plan.round++)
        round_must_hold(&plan, &tally);
    CHECK_INT(tally.kills, kills(150));
    CHECK(count_files(test_dir()) <= 2 * kills(150)); /* two for each that was killed so early */
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        SLOW_TEST(killed_workers_give_every_job_back, 300),
        SLOW_TEST(killed_receivers_lose_at_most_the_message_in_hand, 300),
        SLOW_TEST(killed_servers_leave_no_call_without_an_end, 300),
        SLOW_TEST(killed_clients_do_not_disturb_the_others, 300),
        SLOW_TEST(killed_subscribers_do_not_hold_up_a_lossless_pub, 300),
        SLOW_TEST(those_killed_while_they_come_and_go_leave_the_name_usable, 300),
    };

    return test_main("kill", tests, COUNT_OF(tests), argc, argv);
}
