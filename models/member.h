/* SPDX-License-Identifier: MIT */
/* What the compiler makes of the copy of a struct member: field by field, as they are read. */
#ifndef MEMBER_ID_UNIT /* as which an id is written and read */
#define MEMBER_ID_UNIT uint64_t
#endif
#undef memcpy
__attribute__((used)) void *memcpy(void *to, const void *from, size_t n)
{
    struct member *copy = to;
    const struct member *member = from;
    assert(n == sizeof *copy);
    copy->gen = member->gen;
    for (unsigned i = 0; i < sizeof copy->id / sizeof(MEMBER_ID_UNIT); i++)
        ((MEMBER_ID_UNIT *)(void *)copy->id)[i] = ((const MEMBER_ID_UNIT *)(const void *)member->id)[i];
    copy->type = member->type;
    copy->pid = member->pid;
    copy->pipe_offset = member->pipe_offset;
    return to;
}
#define memcpy(d, s, n) model_copy(d, s, n)
