/* SPDX-License-Identifier: MIT */
/*
 * Sleeping and waking (bell.h, wait.c, wake_readers in tx.c) with a waker that dies anywhere: for Spin,
 * which sees the order of steps and how things go on, not weak memory (that is bell.c's).
 *
 * RINGERS senders of one message each to a ring that SLEEPERS readers take from. DEATH: a ringer may end
 * before any step. SLICE: a sleep ends by itself some time. MANY: the readers say so by `has_waiters`, and
 * one ringer, who has all the messages, wakes one at a time of those who are sure to take one. READER_DEATH:
 * one reader may die, too, in its sleep or right after. DECLINES: the first one is not sure to, and does not.
 *
 * Shown, by the assertion: when nothing can move any more, no message lies there while a reader sleeps.
 * With a slice, by the formula: every message is taken in the end, whoever died.
 *
 * spin: ok  -DRINGERS=2 -DSLEEPERS=1                        nobody dies: no slice is needed
 * spin: bad -DRINGERS=2 -DSLEEPERS=1 -DDEATH                a ringer dies: without slices one would sleep on
 * spin: ltl -DRINGERS=2 -DSLEEPERS=1 -DDEATH -DSLICE        with them not
 * spin: ok  -DRINGERS=1 -DSLEEPERS=2 -DMANY -DMESSAGES=2    two readers, one woken at a time
 * spin: bad -DRINGERS=1 -DSLEEPERS=2 -DMANY -DMESSAGES=2 -DREADER_DEATH        the woken one dies
 * spin: ltl -DRINGERS=1 -DSLEEPERS=2 -DMANY -DMESSAGES=2 -DREADER_DEATH -DSLICE
 * spin: ok  -DRINGERS=1 -DSLEEPERS=2 -DMANY -DMESSAGES=2 -DDECLINES   it is woken, and others are as well
 * spin: bad -DRINGERS=1 -DSLEEPERS=2 -DMANY -DMESSAGES=2 -DDECLINES -DONE_IS_ENOUGH    but for it
 * spin: bad -DRINGERS=1 -DSLEEPERS=1 -DNO_RECHECK           without the look of P2 (the model would notice)
 * spin: bad -DRINGERS=1 -DSLEEPERS=1 -DNO_COMPARE           without the kernel's look of P3
 */
#ifndef MESSAGES
#define MESSAGES 1
#endif

byte work;              /* published, not taken */
bit parked[SLEEPERS];   /* in the readers' bells */
bit queued[SLEEPERS];   /* asleep in the kernel */
bit has_waiters;           /* in the sender's bell */

#ifdef NO_RECHECK
#define P2_SEES_WORK false
#else
#define P2_SEES_WORK work > 0
#endif
#ifdef NO_COMPARE
#define P3_IS_PARKED true
#else
#define P3_IS_PARKED parked[self]
#endif

#if defined(DECLINES) && !defined(ONE_IS_ENOUGH)
#define TAKES(r) (r != 0)
#else
#define TAKES(r) true
#endif
#ifdef DEATH
#define MAY_DIE if :: goto died :: skip fi
#else
#define MAY_DIE skip
#endif

/* S2, S3 */
inline ring(r) {
    MAY_DIE;
    if
    :: parked[r] ->
        MAY_DIE;
        d_step { how = parked[r]; parked[r] = 0 }
        MAY_DIE;
        if
        :: how -> queued[r] = 0
        :: else
        fi
    :: else -> how = 0
    fi
}

active [RINGERS] proctype ringer() {
    bit how;
    byte i, n;
    do
    :: n == MESSAGES -> break
    :: else ->
        MAY_DIE;
        work++; /* S1 */
        n++;
#ifdef MANY
        MAY_DIE;
        if
        :: has_waiters ->
            has_waiters = 0;
            bit found = 0, again = 0;
            i = 0;
            do
            :: i == SLEEPERS -> break
            :: i < SLEEPERS && found && TAKES(i) && parked[i] -> again = 1; i++
            :: i < SLEEPERS && !(found && TAKES(i) && parked[i]) -> ring(i); found = found || (how && TAKES(i)); i++
            od;
            if
            :: again -> has_waiters = 1
            :: else
            fi
        :: else
        fi
#else
        ring(0)
#endif
    od;
died:
    skip
}

active [SLEEPERS] proctype reader() {
    byte self = _pid - RINGERS;
    do
    :: atomic { work > 0 -> work-- }
    :: work == 0 ->
        parked[self] = 1; /* P1 */
#ifdef MANY
        has_waiters = 1;
#endif
        if
        :: P2_SEES_WORK
        :: else ->
            atomic { /* P3 */
                if
                :: P3_IS_PARKED -> queued[self] = 1
                :: else
                fi
            };
end_asleep:
            if
            :: !queued[self]
#ifdef SLICE
            :: queued[self] -> queued[self] = 0
#endif
            fi
#ifdef DECLINES
            if
            :: self == 0 -> goto dead
            :: else
            fi;
#endif
#ifdef READER_DEATH
            if
            :: self == 0 -> goto dead
            :: skip
            fi
#endif
        fi;
        parked[self] = 0
    od;
dead:
    skip
}

#ifndef SLICE
/* Nothing moves any more. */
active proctype at_the_end() {
end:
    timeout -> assert(work == 0)
}
#else
ltl taken { [] (work > 0 -> <> (work == 0)) }
#endif
