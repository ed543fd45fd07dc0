/* SPDX-License-Identifier: MIT */
/* The history checker and the harness themselves: they must go red for every breach they are for.
 * Histories are written by hand; no socket is used. */
#include "support/harness.h"
#include "support/history.h"

#include <signal.h>

enum { ANNA, BERT, CARL, DORA, ACTORS };

static struct history *h;

static void begin(void)
{
    h = history_new(ACTORS, 64);
}

static void end(void)
{
    history_free(h);
}

static void sends(unsigned actor, uint64_t number)
{
    history_log(h, actor, HISTORY_CALL, actor, number);
    history_log(h, actor, HISTORY_RETURN, actor, number);
}

static void gets(unsigned actor, unsigned sender, uint64_t number)
{
    history_log(h, actor, HISTORY_GOT, sender, number);
}

static void logs(unsigned actor, enum history_kind kind, unsigned sender, uint64_t number)
{
    history_log(h, actor, kind, sender, number);
}

static void is_right(const char *wrong)
{
    if (wrong)
        FAIL("the checker complains: %s", wrong);
}

static void is_wrong(const char *wrong, const char *part)
{
    if (!wrong)
        FAIL("the checker did not notice (%s)", part);
    if (!strstr(wrong, part))
        FAIL("the checker says \"%s\", not \"...%s...\"", wrong, part);
}

/* Anna sends 1, 2, 3. */
static void begin_three(void)
{
    begin();
    for (uint64_t n = 1; n <= 3; n++)
        sends(ANNA, n);
}

/* ---- Negative: one to one ---- */

static void fifo_notices_a_lost_message(void)
{
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 3);
    is_wrong(history_check_fifo(h, ANNA, BERT), "3 came where 2 was due");
    end();
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 2);
    is_wrong(history_check_fifo(h, ANNA, BERT), "3 was lost");
    end();
}

static void fifo_notices_a_duplicate_and_a_swap(void)
{
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 1);
    is_wrong(history_check_fifo(h, ANNA, BERT), "1 came where 2 was due");
    end();
    begin_three();
    for (uint64_t n = 1; n <= 3; n++)
        gets(BERT, ANNA, n);
    gets(BERT, ANNA, 3);
    is_wrong(history_check_fifo(h, ANNA, BERT), "3 came twice");
    end();
    begin_three();
    gets(BERT, ANNA, 2);
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 3);
    is_wrong(history_check_fifo(h, ANNA, BERT), "2 came where 1 was due");
    end();
}

static void fifo_notices_what_was_never_sent(void)
{
    begin_three();
    for (uint64_t n = 1; n <= 4; n++)
        gets(BERT, ANNA, n);
    is_wrong(history_check_fifo(h, ANNA, BERT), "4 was never sent");
    end();
    /* a live sender has nothing in hand */
    begin();
    logs(ANNA, HISTORY_CALL, ANNA, 1);
    gets(BERT, ANNA, 1);
    is_wrong(history_check_fifo(h, ANNA, BERT), "1 was never sent");
    end();
    begin();
    logs(ANNA, HISTORY_CALL, ANNA, 1);
    logs(ANNA, HISTORY_CANCEL, ANNA, 1);
    logs(ANNA, HISTORY_DIED, 0, 0);
    gets(BERT, ANNA, 1);
    is_wrong(history_check_fifo(h, ANNA, BERT), "1 was never sent");
    end();
}

static void every_check_notices_a_torn_message(void)
{
    unsigned char message[100];

    history_message_make(message, sizeof message, ANNA, 1);
    message[99] ^= 1;
    begin();
    sends(ANNA, 1);
    history_log_message(h, BERT, message, sizeof message, false);
    is_wrong(history_check_fifo(h, ANNA, BERT), "torn");
    is_wrong(history_check_shared(h, true), "torn");
    is_wrong(history_check_fanout(h), "torn");
    is_wrong(history_check_calls(h, true), "torn");
    end();
}

static void messages_notice_every_flipped_bit_and_every_cut(void)
{
    unsigned char message[61];
    unsigned sender;
    uint64_t number;

    history_message_make(message, sizeof message, BERT, 77);
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (unsigned char)(1 << bit % 8);
        CHECK(!history_message_read(message, sizeof message, &sender, &number));
        message[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t size = 0; size < sizeof message; size++)
        CHECK(!history_message_read(message, size, &sender, &number));
    CHECK(history_message_read(message, sizeof message, &sender, &number));
    CHECK_INT(sender, BERT);
    CHECK_INT(number, 77);
}

/* ---- Negative: competing receivers ---- */

static void shared_notices_loss_duplicate_and_disorder(void)
{
    begin_three();
    gets(BERT, ANNA, 1);
    gets(CARL, ANNA, 3);
    is_wrong(history_check_shared(h, true), "1 messages were lost");
    end();
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 2);
    gets(CARL, ANNA, 2);
    gets(CARL, ANNA, 3);
    is_wrong(history_check_shared(h, true), "more than once");
    end();
    begin_three();
    gets(BERT, ANNA, 3);
    gets(BERT, ANNA, 1);
    gets(CARL, ANNA, 2);
    is_wrong(history_check_shared(h, true), "came to 1 behind 3");
    end();
}

static void shared_notices_a_redelivery_that_nobody_died_for(void)
{
    begin_three();
    for (uint64_t n = 1; n <= 3; n++)
        gets(BERT, ANNA, n);
    logs(CARL, HISTORY_GOT_AGAIN, ANNA, 2);
    is_wrong(history_check_shared(h, false), "more than once");
    end();
    begin_three();
    gets(BERT, ANNA, 1);
    logs(CARL, HISTORY_GOT_AGAIN, ANNA, 2);
    gets(CARL, ANNA, 3);
    is_wrong(history_check_shared(h, false), "1 messages were redelivered, 0 receivers died");
    end();
    /* one death pays for one */
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 2);
    logs(BERT, HISTORY_DIED, 0, 0);
    logs(CARL, HISTORY_GOT_AGAIN, ANNA, 1);
    logs(CARL, HISTORY_GOT_AGAIN, ANNA, 2);
    gets(CARL, ANNA, 3);
    is_wrong(history_check_shared(h, false), "2 messages were redelivered");
    end();
}

static void shared_allows_loss_by_a_death_only_where_it_is_told_to(void)
{
    begin_three();
    gets(BERT, ANNA, 1);
    logs(BERT, HISTORY_DIED, 0, 0);
    gets(CARL, ANNA, 3);
    is_right(history_check_shared(h, true));
    is_wrong(history_check_shared(h, false), "1 messages were lost");
    end();
}

/* ---- Negative: fan-out ---- */

static void fanout_notices_a_gap_that_was_not_told(void)
{
    begin_three();
    logs(BERT, HISTORY_JOINED, ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 3);
    logs(BERT, HISTORY_LOST, 0, 0);
    is_wrong(history_check_fanout(h), "missed 1 messages and was told of 0");
    end();
    begin_three();
    logs(BERT, HISTORY_JOINED, ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 3);
    logs(BERT, HISTORY_LOST, 0, 2);
    is_wrong(history_check_fanout(h), "missed 1 messages and was told of 2");
    end();
    /* also when the counter is never read */
    begin_three();
    logs(BERT, HISTORY_JOINED, ANNA, 1);
    gets(BERT, ANNA, 3);
    is_wrong(history_check_fanout(h), "missed 2 messages and was told of 0");
    end();
}

static void fanout_notices_disorder_duplicates_and_a_missing_end(void)
{
    begin_three();
    gets(BERT, ANNA, 2);
    gets(BERT, ANNA, 1);
    is_wrong(history_check_fanout(h), "0.1 came to 1 where 3 was due");
    end();
    begin_three();
    gets(BERT, ANNA, 2);
    gets(BERT, ANNA, 2);
    is_wrong(history_check_fanout(h), "0.2 came to 1 where 3 was due");
    end();
    begin_three();
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 2);
    is_wrong(history_check_fanout(h), "1 never got the last of 0");
    end();
}

/* ---- Negative: requests and answers ---- */

static void calls_notice_answers_that_are_missing_late_or_foreign(void)
{
    begin();
    sends(ANNA, 1);
    gets(BERT, ANNA, 1);
    is_wrong(history_check_calls(h, false), "never got the answer to 1");
    logs(ANNA, HISTORY_CANCEL, ANNA, 1);
    is_right(history_check_calls(h, false));
    sends(ANNA, 2);
    gets(BERT, ANNA, 2);
    gets(ANNA, ANNA, 1);
    is_wrong(history_check_calls(h, false), "got the answer to 1 when 2 was out");
    end();
    begin();
    sends(ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(ANNA, CARL, 1);
    is_wrong(history_check_calls(h, false), "meant for 2");
    end();
    begin();
    sends(ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(ANNA, ANNA, 1);
    gets(ANNA, ANNA, 1);
    is_wrong(history_check_calls(h, false), "when 0 was out");
    end();
}

static void calls_notice_requests_served_twice_or_never(void)
{
    begin();
    sends(ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(CARL, ANNA, 1);
    gets(ANNA, ANNA, 1);
    is_wrong(history_check_calls(h, false), "served twice");
    is_wrong(history_check_calls(h, true), "served twice");
    logs(BERT, HISTORY_DIED, 0, 0);
    is_wrong(history_check_calls(h, false), "served twice");
    is_right(history_check_calls(h, true));
    end();
    begin();
    sends(ANNA, 1);
    gets(ANNA, ANNA, 1);
    is_wrong(history_check_calls(h, false), "which nobody served");
    end();
    begin();
    sends(ANNA, 1);
    gets(BERT, ANNA, 1);
    gets(ANNA, ANNA, 1);
    gets(BERT, ANNA, 2);
    is_wrong(history_check_calls(h, false), "2 was never asked");
    end();
}

/* ---- Positive ---- */

static void right_histories_pass(void)
{
    begin_three();
    for (uint64_t n = 1; n <= 3; n++)
        gets(BERT, ANNA, n);
    is_right(history_check_fifo(h, ANNA, BERT));
    is_right(history_check_shared(h, false));
    is_right(history_check_fanout(h));
    /* the sender dies with a fourth in hand, which may arrive or not */
    logs(ANNA, HISTORY_CALL, ANNA, 4);
    logs(ANNA, HISTORY_DIED, 0, 0);
    is_right(history_check_fifo(h, ANNA, BERT));
    is_right(history_check_shared(h, false));
    gets(BERT, ANNA, 4);
    is_right(history_check_fifo(h, ANNA, BERT));
    is_right(history_check_shared(h, false));
    is_right(history_check_fanout(h));
    end();
    begin_three();
    gets(BERT, ANNA, 1);
    logs(BERT, HISTORY_DIED, 0, 0);
    is_right(history_check_fifo(h, ANNA, BERT));
    logs(CARL, HISTORY_GOT_AGAIN, ANNA, 1);
    gets(CARL, ANNA, 2);
    gets(DORA, ANNA, 3);
    is_right(history_check_shared(h, false));
    end();
    begin_three();
    logs(BERT, HISTORY_LOST, 0, 5); /* from before: its start is not known */
    gets(BERT, ANNA, 1);
    gets(BERT, ANNA, 3);
    logs(BERT, HISTORY_LOST, 0, 6);
    is_right(history_check_fanout(h));
    end();
}

/* ---- The harness ---- */

static void dies_of_a_signal(struct child *up, void *argument)
{
    (void)argument;
    child_hear(up);
}

static void children_can_be_killed_and_heard_of(void)
{
    struct child child = child_start(dies_of_a_signal, NULL);

    await_asleep(child.pid);
    child_kill_unreaped(&child);
    child_reap(&child);
    child = child_start(dies_of_a_signal, NULL);
    child_say(&child, 1);
    child_wait(&child);
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        TEST(fifo_notices_a_lost_message),
        TEST(fifo_notices_a_duplicate_and_a_swap),
        TEST(fifo_notices_what_was_never_sent),
        TEST(every_check_notices_a_torn_message),
        TEST(messages_notice_every_flipped_bit_and_every_cut),
        TEST(shared_notices_loss_duplicate_and_disorder),
        TEST(shared_notices_a_redelivery_that_nobody_died_for),
        TEST(shared_allows_loss_by_a_death_only_where_it_is_told_to),
        TEST(fanout_notices_a_gap_that_was_not_told),
        TEST(fanout_notices_disorder_duplicates_and_a_missing_end),
        TEST(calls_notice_answers_that_are_missing_late_or_foreign),
        TEST(calls_notice_requests_served_twice_or_never),
        TEST(right_histories_pass),
        TEST(children_can_be_killed_and_heard_of),
    };

    return test_main("history", tests, COUNT_OF(tests), argc, argv);
}
