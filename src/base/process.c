/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <pthread.h>
#include <sys/mman.h>

shared_u64 *process_mark_word;

/* Counts the generations of this family of processes: a child inherits the number that its parent
 * had reached and takes the next, so that no socket's mark is ever that of a descendant. */
static uint64_t last_mark;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t process_mark(void)
{
    pthread_mutex_lock(&lock);
    if (process_mark_word == NULL) {
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0) {
            if (page != MAP_FAILED)
                munmap(page, 4096);
            pthread_mutex_unlock(&lock);
            return 0;
        }
        process_mark_word = page;
    }
    if (load_relaxed(process_mark_word) == 0)
        store_relaxed(process_mark_word, ++last_mark);
    uint64_t mark = load_relaxed(process_mark_word);
    pthread_mutex_unlock(&lock);
    return mark;
}
