/* SPDX-License-Identifier: MIT */
#include "liar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/peer_fuzz.h"

#define TOUCH_ALL (UINT64_C(1) << 20) /* of more, the ends */

uint64_t (*liar_tempt)(unsigned which);
bool (*liar_lies_at)(const volatile void *p);

static struct {
    struct bytes {
        const uint8_t *at, *end;
    } answers, choices, *from;
    uint8_t after;   /* how often to lie once the answers are used up, of 256 */
    uint64_t random; /* from then on */
    uint64_t last;
    uint64_t reads, allowed;
    const char *call;
} liar;

_Noreturn void liar_finding(const char *file, int line, const char *what)
{
    fprintf(stderr, "liar: finding: %s:%d: %s\n", file, line, what);
    abort();
}

void liar_begin(const uint8_t *data, size_t size)
{
    memset(&liar, 0, sizeof liar);
    liar.allowed = UINT64_MAX;
    liar.from = &liar.choices;
    liar.answers = liar.choices = (struct bytes){data + size, data + size};
    if (size < 2)
        return;
    liar.after = data[0];
    liar.answers.at = data + 2;
    liar.answers.end = liar.choices.at = data + 2 + (size - 2) * data[1] / 256;
    liar.random = UINT64_C(0x9e3779b97f4a7c15) * (size + liar.after);
    for (size_t i = 0; i < 8 && i < size; i++)
        liar.random = (liar.random ^ data[size - 1 - i]) * UINT64_C(1099511628211);
}

bool liar_has_more(void)
{
    return liar.choices.at < liar.choices.end;
}

static uint8_t random_byte(void)
{
    liar.random ^= liar.random << 13;
    liar.random ^= liar.random >> 7;
    liar.random ^= liar.random << 17;
    return (uint8_t)(liar.random >> 32);
}

static uint8_t byte(void)
{
    if (liar.from->at < liar.from->end)
        return *liar.from->at++;
    return liar.after == 0 ? 0 : random_byte();
}

uint8_t liar_byte(void)
{
    return byte();
}

uint8_t liar_answer(void)
{
    liar.from = &liar.answers;
    uint8_t value = byte();
    liar.from = &liar.choices;
    return value;
}

static uint64_t bytes(unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)byte() << 8 * i;
    return value;
}

unsigned liar_choice(unsigned count)
{
    return liar_byte() % count;
}

static const uint64_t edges[16] = {
    0, 1, 2, 63, 64, 112, 113, 4096, 65472, 65536, UINT32_MAX, INT64_MAX, UINT64_C(1) << 56, UINT64_C(1) << 63,
    UINT64_MAX - 1, UINT64_MAX,
};

static uint64_t say(uint64_t truth)
{
    uint8_t how = byte();
    if (how < 0x80)
        return truth;
    unsigned low = how & 15;
    switch (how >> 4) {
    case 8:
    case 9:
        return liar.last = liar_tempt != NULL ? liar_tempt(how & 31) : truth;
    case 10:
        return liar.last = bytes(8);
    case 11:
        return liar.last = edges[low];
    case 12:
        return liar.last = truth + low - 8;
    case 13:
        return liar.last + (low & 1);
    case 14:
        return liar.last = (UINT64_C(1) << (byte() & 63)) - (low & 1);
    default:
        return liar.last = bytes(1 + (low & 1));
    }
}

static bool asked(const volatile void *p)
{
    if (++liar.reads > liar.allowed)
        liar_finding(liar.call, 0, "more reads than the call may make");
    if (liar_lies_at != NULL && !liar_lies_at(p))
        return false;
    return liar.answers.at < liar.answers.end || (liar.after != 0 && random_byte() < liar.after);
}

uint64_t liar_number(void)
{
    return say(liar.last);
}

static uint64_t answer(uint64_t truth)
{
    liar.from = &liar.answers;
    uint64_t said = say(truth);
    liar.from = &liar.choices;
    return said;
}

uint64_t liar_u64(const volatile void *p, uint64_t truth)
{
    return asked(p) ? answer(truth) : truth;
}

uint32_t liar_u32(const volatile void *p, uint32_t truth)
{
    if (!asked(p))
        return truth;
    uint32_t word = (uint32_t)answer(truth);
    return word == truth || word < 4096 || word == UINT32_MAX ? word : word % 64; /* large counts: seldom */
}

bool liar_agrees(const volatile void *p, bool truth)
{
    if (!asked(p))
        return truth;
    uint8_t how = liar_answer();
    return how < 0x80 ? truth : how & 1;
}

/* The truth, with a few bytes that are not. */
void liar_copy(void *local, const void *shared, size_t size)
{
    memcpy(local, shared, size);
    if (!asked(shared) || size == 0)
        return;
    if (size == 8) {
        uint64_t word;
        memcpy(&word, local, 8);
        word = answer(word);
        memcpy(local, &word, 8);
        return;
    }
    liar.from = &liar.answers;
    for (unsigned n = byte() % 4; n > 0; n--)
        ((uint8_t *)local)[bytes(2) % size] = byte();
    liar.from = &liar.choices;
}

void liar_allow(const char *call, uint64_t reads)
{
    liar.call = call;
    liar.reads = 0;
    liar.allowed = reads;
}

void liar_touch(const void *from, uint64_t size)
{
    const volatile uint8_t *p = from;
    uint8_t sum = 0;
    for (uint64_t i = 0; i < size && i < TOUCH_ALL; i += 64)
        sum = (uint8_t)(sum + p[i]);
    if (size > 0)
        sum = (uint8_t)(sum + p[size - 1]);
    (void)sum;
}
