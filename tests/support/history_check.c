/* SPDX-License-Identifier: MIT */
/* The checks of a history. See history.h. */
#include "history.h"
#include "history_logs.h"
#include "harness.h"

#include <stdarg.h>

static char verdict[256];

__attribute__((format(printf, 1, 2))) static const char *say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(verdict, sizeof verdict, format, arguments);
    va_end(arguments);
    return verdict;
}

static bool is_dead(const struct history *h, unsigned actor)
{
    return history_count(h, actor, HISTORY_DIED) > 0;
}

static const char *check_torn(const struct history *h)
{
    for (unsigned actor = 0; actor < h->actors; actor++)
        if (history_count(h, actor, HISTORY_TORN))
            return say("actor %u got a torn message", actor);
    return NULL;
}

/* ---- What became of each message of one sender ------------------------------------------------
 */

enum fate { NEVER, CALLED, RETURNED, CANCELLED };

struct sent {
    uint8_t *fates; /* by number */
    uint16_t *got, *again, *got_alive;
    uint64_t last; /* the highest number called */
    bool died;     /* the sender */
};

static void sent_free(struct sent *sent)
{
    free(sent->fates);
    free(sent->got);
    free(sent->again);
    free(sent->got_alive);
}

static void sent_read(struct sent *sent, const struct history *h, unsigned actor)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, actor, &count);

    *sent = (struct sent){.died = is_dead(h, actor)};
    for (unsigned i = 0; i < count; i++)
        if (entries[i].kind == HISTORY_CALL && entries[i].number > sent->last)
            sent->last = entries[i].number;
    sent->fates = calloc(sent->last + 1, 1);
    sent->got = calloc(sent->last + 1, sizeof *sent->got);
    sent->again = calloc(sent->last + 1, sizeof *sent->again);
    sent->got_alive = calloc(sent->last + 1, sizeof *sent->got_alive);
    CHECK(sent->fates && sent->got && sent->again && sent->got_alive);
    for (unsigned i = 0; i < count; i++) {
        uint32_t kind = entries[i].kind;

        if (kind == HISTORY_CALL)
            sent->fates[entries[i].number] = CALLED;
        else if (kind == HISTORY_RETURN)
            sent->fates[entries[i].number] = RETURNED;
        else if (kind == HISTORY_CANCEL)
            sent->fates[entries[i].number] = CANCELLED;
    }
}

/* Was this message sent, as far as a receiver may know? In hand counts for the dead only. */
static bool was_sent(const struct sent *sent, uint64_t number)
{
    if (number == 0 || number > sent->last)
        return false;
    return sent->fates[number] == RETURNED || (sent->fates[number] == CALLED && sent->died);
}

/* ---- One to one --------------------------------------------------------------------------------
 */

static uint64_t next_returned(const struct sent *sent, uint64_t after)
{
    for (uint64_t n = after + 1; n <= sent->last; n++)
        if (sent->fates[n] == RETURNED)
            return n;
    return 0;
}

static const char *walk_fifo(const struct history *h, const struct sent *sent, unsigned sender, unsigned receiver)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, receiver, &count);
    uint64_t last = 0;
    bool had_in_hand = false;

    for (unsigned i = 0; i < count; i++) {
        uint64_t number = entries[i].number, wanted = next_returned(sent, last);

        if (entries[i].kind == HISTORY_GOT_AGAIN)
            return say("%llu was redelivered", (unsigned long long)number);
        if (entries[i].kind != HISTORY_GOT || entries[i].sender != sender)
            continue;
        if (had_in_hand)
            return say("%llu came behind the last", (unsigned long long)number);
        if (!was_sent(sent, number))
            return say("%llu was never sent", (unsigned long long)number);
        had_in_hand = wanted == 0;
        if (wanted && number != wanted)
            return say("%llu came where %llu was due", (unsigned long long)number, (unsigned long long)wanted);
        if (number <= last)
            return say("%llu came twice", (unsigned long long)number);
        last = number;
    }
    if (!is_dead(h, receiver) && next_returned(sent, last))
        return say("%llu was lost", (unsigned long long)next_returned(sent, last));
    return NULL;
}

const char *history_check_fifo(const struct history *h, unsigned sender, unsigned receiver)
{
    const char *wrong = check_torn(h);
    struct sent sent;

    if (wrong)
        return wrong;
    sent_read(&sent, h, sender);
    wrong = walk_fifo(h, &sent, sender, receiver);
    sent_free(&sent);
    return wrong;
}

/* ---- Senders to competing receivers ------------------------------------------------------------
 */

static const char *count_receiver(const struct history *h, struct sent *sent, unsigned sender, unsigned receiver)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, receiver, &count);
    bool dead = is_dead(h, receiver);
    uint64_t last = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t number = entries[i].number;
        bool again = entries[i].kind == HISTORY_GOT_AGAIN;

        if ((entries[i].kind != HISTORY_GOT && !again) || entries[i].sender != sender)
            continue;
        if (!was_sent(sent, number))
            return say("%u.%llu was never sent", sender, (unsigned long long)number);
        if (!again && number <= last)
            return say("%u.%llu came to %u behind %llu", sender, (unsigned long long)number, receiver,
                       (unsigned long long)last);
        if (again)
            sent->again[number]++;
        else
            sent->got[number]++, last = number;
        if (!dead)
            sent->got_alive[number]++;
    }
    return NULL;
}

struct shared_sums {
    unsigned missing, again;
};

static const char *sum_shared(const struct sent *sent, unsigned sender, struct shared_sums *sums)
{
    for (uint64_t n = 1; n <= sent->last; n++) {
        if (sent->got[n] > 1 || sent->got_alive[n] > 1)
            return say("%u.%llu was got more than once", sender, (unsigned long long)n);
        if (sent->fates[n] == RETURNED && sent->got[n] + sent->again[n] == 0)
            sums->missing++;
        sums->again += sent->again[n];
    }
    return NULL;
}

static const char *check_sender(const struct history *h, unsigned sender, struct shared_sums *sums)
{
    const char *wrong = NULL;
    struct sent sent;

    sent_read(&sent, h, sender);
    for (unsigned receiver = 0; !wrong && receiver < h->actors; receiver++)
        wrong = count_receiver(h, &sent, sender, receiver);
    if (!wrong)
        wrong = sum_shared(&sent, sender, sums);
    sent_free(&sent);
    return wrong;
}

const char *history_check_shared(const struct history *h, bool lossy_deaths)
{
    const char *wrong = check_torn(h);
    struct shared_sums sums = {0, 0};
    unsigned deaths = 0;

    for (unsigned actor = 0; !wrong && actor < h->actors; actor++) {
        wrong = check_sender(h, actor, &sums);
        if (is_dead(h, actor) && !history_count(h, actor, HISTORY_CALL))
            deaths++;
    }
    if (wrong)
        return wrong;
    if (sums.missing > (lossy_deaths ? deaths : 0))
        return say("%u messages were lost, %u receivers died", sums.missing, deaths);
    if (sums.again > deaths)
        return say("%u messages were redelivered, %u receivers died", sums.again, deaths);
    return NULL;
}

/* ---- Fan-out ------------------------------------------------------------------------------------
 */

struct reader {
    uint64_t *next; /* by sender: the number that is due; 0: not joined */
    uint64_t gaps, base;
    bool based;
};

static const char *fanout_step(struct reader *reader, unsigned receiver, const struct history_entry *entry,
                               const struct sent *sent)
{
    uint64_t *next = &reader->next[entry->sender];

    if (entry->kind == HISTORY_JOINED)
        *next = entry->number, reader->based = true;
    if (entry->kind == HISTORY_LOST && !reader->based)
        reader->base = entry->number, reader->gaps = 0, reader->based = true;
    else if (entry->kind == HISTORY_LOST && entry->number < reader->base + reader->gaps)
        return say("%u missed %llu messages and was told of %llu", receiver, (unsigned long long)reader->gaps,
                   (unsigned long long)(entry->number - reader->base));
    if (entry->kind == HISTORY_GOT_AGAIN)
        return say("a fan-out never redelivers");
    if (entry->kind != HISTORY_GOT)
        return NULL;
    if (!was_sent(&sent[entry->sender], entry->number))
        return say("%u.%llu was never sent", entry->sender, (unsigned long long)entry->number);
    if (*next && entry->number < *next)
        return say("%u.%llu came to %u where %llu was due", entry->sender, (unsigned long long)entry->number, receiver,
                   (unsigned long long)*next);
    for (uint64_t n = *next; n && n < entry->number; n++)
        reader->gaps += sent[entry->sender].fates[n] == RETURNED;
    *next = entry->number + 1;
    return NULL;
}

static const char *walk_fanout(const struct history *h, unsigned receiver, const struct sent *sent)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, receiver, &count);
    struct reader reader = {calloc(h->actors, sizeof *reader.next), 0, 0, false};
    uint64_t told = 0;
    const char *wrong = NULL;

    CHECK(reader.next != NULL);
    for (unsigned i = 0; !wrong && i < count; i++) {
        wrong = fanout_step(&reader, receiver, &entries[i], sent);
        if (entries[i].kind == HISTORY_LOST)
            told = entries[i].number;
    }
    if (!wrong && !is_dead(h, receiver)) {
        if (reader.based && told != reader.base + reader.gaps)
            wrong = say("%u missed %llu messages and was told of %llu", receiver, (unsigned long long)reader.gaps,
                        (unsigned long long)(told - reader.base));
        for (unsigned s = 0; !wrong && s < h->actors; s++)
            if (reader.next[s] && next_returned(&sent[s], reader.next[s] - 1))
                wrong = say("%u never got the last of %u", receiver, s);
    }
    free(reader.next);
    return wrong;
}

const char *history_check_fanout(const struct history *h)
{
    const char *wrong = check_torn(h);
    struct sent *sent = calloc(h->actors, sizeof *sent);

    CHECK(sent != NULL);
    for (unsigned actor = 0; actor < h->actors; actor++)
        sent_read(&sent[actor], h, actor);
    for (unsigned actor = 0; !wrong && actor < h->actors; actor++)
        if (sent[actor].last == 0)
            wrong = walk_fanout(h, actor, sent);
    for (unsigned actor = 0; actor < h->actors; actor++)
        sent_free(&sent[actor]);
    free(sent);
    return wrong;
}

/* ---- What nobody has got ---- */

unsigned history_missing(const struct history *h, unsigned sender, bool newest_only)
{
    unsigned count, missing = 0, newest = 0;
    struct sent sent;

    sent_read(&sent, h, sender);
    for (unsigned actor = 0; actor < h->actors; actor++) {
        const struct history_entry *entries = history_entries(h, actor, &count);

        for (unsigned i = 0; i < count; i++)
            if ((entries[i].kind == HISTORY_GOT || entries[i].kind == HISTORY_GOT_AGAIN) &&
                entries[i].sender == sender && entries[i].number <= sent.last)
                sent.got[entries[i].number] = 1;
    }
    for (uint64_t n = 1; n <= sent.last; n++)
        if (sent.fates[n] == RETURNED) {
            newest = !sent.got[n];
            missing += newest;
        }
    sent_free(&sent);
    return newest_only ? newest : missing;
}

/* ---- Requests and answers -----------------------------------------------------------------------
 */

static const char *walk_client(const struct history *h, unsigned client, struct sent *sent)
{
    unsigned count;
    const struct history_entry *entries = history_entries(h, client, &count);
    uint64_t out = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t number = entries[i].number;

        if (entries[i].kind == HISTORY_RETURN)
            out = number;
        else if (entries[i].kind == HISTORY_CANCEL && number == out)
            out = 0;
        if (entries[i].kind != HISTORY_GOT)
            continue;
        if (entries[i].sender != client)
            return say("%u got an answer meant for %u", client, entries[i].sender);
        if (number != out)
            return say("%u got the answer to %llu when %llu was out", client, (unsigned long long)number,
                       (unsigned long long)out);
        if (sent->got[number] == 0)
            return say("%u got an answer to %llu, which nobody served", client, (unsigned long long)number);
        out = 0;
    }
    if (out && !is_dead(h, client))
        return say("%u never got the answer to %llu", client, (unsigned long long)out);
    return NULL;
}

static const char *count_served(const struct history *h, unsigned client, struct sent *sent, unsigned *deaths)
{
    for (unsigned server = 0; server < h->actors; server++) {
        unsigned count;
        const struct history_entry *entries = history_entries(h, server, &count);

        if (history_count(h, server, HISTORY_CALL))
            continue;
        *deaths += is_dead(h, server);
        for (unsigned i = 0; i < count; i++) {
            if (entries[i].kind != HISTORY_GOT || entries[i].sender != client)
                continue;
            if (entries[i].number == 0 || entries[i].number > sent->last)
                return say("%u.%llu was never asked", client, (unsigned long long)entries[i].number);
            sent->got[entries[i].number]++;
        }
    }
    return NULL;
}

static const char *check_client(const struct history *h, unsigned client, bool resend)
{
    unsigned deaths = 0, twice = 0;
    struct sent sent;
    const char *wrong;

    sent_read(&sent, h, client);
    wrong = count_served(h, client, &sent, &deaths);
    for (uint64_t n = 1; n <= sent.last; n++)
        twice += sent.got[n] > 1 ? sent.got[n] - 1u : 0;
    if (!wrong && twice > (resend ? deaths : 0))
        wrong = say("%u requests of %u were served twice", twice, client);
    if (!wrong)
        wrong = walk_client(h, client, &sent);
    sent_free(&sent);
    return wrong;
}

const char *history_check_calls(const struct history *h, bool resend)
{
    const char *wrong = check_torn(h);

    for (unsigned actor = 0; !wrong && actor < h->actors; actor++)
        if (history_count(h, actor, HISTORY_CALL))
            wrong = check_client(h, actor, resend);
    return wrong;
}
