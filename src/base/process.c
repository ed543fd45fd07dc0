/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <pthread.h>
#include <unistd.h>

#include "base/wiped.h"

/* What the kernel wipes in a forked child. The bytes of a mutex that nobody holds are zero. */
struct page {
    shared_u64 mark;
    pthread_mutex_t locks[PROCESS_LOCKS];
};

shared_u64 *process_mark_word;

/* Counts the generations of this family of processes: a child inherits the number that its parent
 * had reached and takes the next, so that no socket's mark is ever that of a descendant. */
static shared_u64 last_mark;

static struct page *page_of_process(void)
{
    /* Relaxed: who finds a page finds zeroes, which nobody wrote. */
    shared_u64 *there = __atomic_load_n(&process_mark_word, __ATOMIC_RELAXED);
    if (there != NULL)
        return (struct page *)(void *)there;
    struct page *page = wiped_new(sizeof *page);
    if (page == NULL)
        return NULL;
    if (__atomic_compare_exchange_n(&process_mark_word, &there, &page->mark, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return page;
    wiped_free(page, sizeof *page); /* another thread was first */
    return (struct page *)(void *)there;
}

uint32_t process_id(void)
{
    return (uint32_t)getpid();
}

/* Without a lock, which a fork could leave held. Who returns a mark has stored `last_mark` before: a child of
 * somebody who was given that one's socket finds it there, whatever gave it. */
uint64_t process_mark(void)
{
    struct page *page = page_of_process();
    if (page == NULL)
        return 0;
    uint64_t mark = 0, next = load_relaxed(&last_mark) + 1;
    if (atomic_compare_exchange_strong_explicit(&page->mark, &mark, next, memory_order_relaxed, memory_order_relaxed))
        mark = next;
    store_relaxed(&last_mark, mark);
    return mark;
}

bool process_lock(enum process_lock which)
{
    struct page *page = page_of_process();
    return page != NULL && pthread_mutex_lock(&page->locks[which]) == 0;
}

void process_unlock(enum process_lock which)
{
    pthread_mutex_unlock(&page_of_process()->locks[which]);
}
