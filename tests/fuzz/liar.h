/* SPDX-License-Identifier: MIT */
/*
 * The liar: what a peer says, made from the fuzzer's bytes. A target is a function of one input; the
 * library is built with SHMQ_FUZZ, so that each of its reads of a peer's memory asks here.
 *
 * The input: a byte that says what is answered when there is no more to answer from (0 the truth; else lies,
 * that often, from a generator that the input seeds); a byte that says which part of the rest, in 256ths, is
 * for answers to reads; the answers; the target's own choices. Apart, so that one read more does not turn
 * all choices after it into others. Each answer begins with a byte: the truth, or one kind of lie (liar.c).
 *
 * A finding is a sanitizer's report, a broken CHECK, or more reads in one call than it may make.
 */
#ifndef SHMQ_FUZZ_LIAR_H
#define SHMQ_FUZZ_LIAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the input ---- */

void liar_begin(const uint8_t *data, size_t size);
bool liar_has_more(void);
uint8_t liar_byte(void);
uint64_t liar_number(void); /* as a lie is made */
/* One of COUNT. */
unsigned liar_choice(unsigned count);
/* A byte of the answers. */
uint8_t liar_answer(void);

/* ---- the answers ---- */

/* The target's most dangerous values of the moment, by number; may be NULL. */
extern uint64_t (*liar_tempt)(unsigned which);
/* Whether the memory at P is a liar's. NULL: all is. */
extern bool (*liar_lies_at)(const volatile void *p);

/* How many reads the next call may make. */
void liar_allow(const char *call, uint64_t reads);

/* ---- findings ---- */

#define CHECK(condition) ((condition) ? (void)0 : liar_finding(__FILE__, __LINE__, #condition))
_Noreturn void liar_finding(const char *file, int line, const char *what);
/* Read all of it, for the sanitizer to see. */
void liar_touch(const void *bytes, uint64_t size);

#endif
