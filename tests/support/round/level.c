/* SPDX-License-Identifier: MIT */
/* What must stay level: a survivor's descriptors and mappings, whoever came and died meanwhile. */
#include "round.h"

#include <dirent.h>

struct level level_now(void)
{
    struct level level = {count_files("/proc/self/fd"), 0};
    FILE *file = fopen("/proc/self/maps", "re");
    char line[1024];

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        level.maps += strstr(line, getenv("SHMQ_DIR")) != NULL;
    fclose(file);
    return level;
}

/* Once the dead are known, which takes 100 ms at most. */
void level_note(struct actor *actor, const struct level *before)
{
    int64_t end_ms = now_ms() + 2000;
    struct level now;

    if (actor->plan->victims < 12)
        return;
    actor_says(actor, "letting go of the dead");
    while (get_stats(actor->end.socket).peers > 0 && now_ms() < end_ms)
        if (shm_poll(&(shm_pollitem_t){actor->end.socket, -1, SHM_POLLPRI, 0}, 1, 5) > 0)
            actor_drop_events(actor);
    CHECK_INT(get_stats(actor->end.socket).peers, 0);
    now = level_now();
    if (now.fds > before->fds + actor->stage->fd_growth)
        actor->stage->fd_growth = now.fds - before->fds;
    if (now.maps > before->maps + actor->stage->map_growth)
        actor->stage->map_growth = now.maps - before->maps;
}
