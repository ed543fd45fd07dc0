/* SPDX-License-Identifier: MIT */
/*
 * Does the next instruction touch shared memory? One that is stopped differs from one that was
 * killed: what it has read already counts, too. So the moments at which to stop it are those before
 * each access to a file of the runtime directory, loads as well as stores.
 *
 * As much of x86-64's encoding as tells where an instruction's operand in memory lies. What is not
 * understood (there is none in the library or in libc's copies) would be a moment less, not a wrong
 * one.
 */
#include "crash.h"

#include <sys/user.h>

enum { MAPPINGS_MAX = 64 };

static struct {
    uint64_t from, to;
} mappings[MAPPINGS_MAX];
static unsigned mapping_count;

void access_scan(pid_t pid, const char *directory)
{
    char path[64], line[512];
    FILE *maps;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    maps = CHECK_PTR(fopen(path, "re"));
    for (mapping_count = 0; fgets(line, sizeof line, maps) != NULL;) {
        unsigned long long from, to;

        if (strstr(line, directory) == NULL || sscanf(line, "%llx-%llx", &from, &to) != 2)
            continue;
        CHECK(mapping_count < MAPPINGS_MAX);
        mappings[mapping_count].from = from;
        mappings[mapping_count++].to = to;
    }
    fclose(maps);
}

static bool is_shared(uint64_t address)
{
    for (unsigned i = 0; i < mapping_count; i++)
        if (address >= mappings[i].from && address < mappings[i].to)
            return true;
    return false;
}

struct decoded {
    const unsigned char *at;
    unsigned char x, b; /* the registers' fourth bits */
    unsigned map, opcode;
    bool skips; /* relative to a thread's own memory */
};

static bool is_prefix(unsigned char byte)
{
    return byte == 0x66 || byte == 0x67 || byte == 0xf0 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e ||
           byte == 0x36 || byte == 0x3e || byte == 0x26 || byte == 0x64 || byte == 0x65;
}

/* VEX and EVEX have these bits inverted. */
static void take_bits(struct decoded *d, unsigned char byte)
{
    d->x = !(byte & 0x40);
    d->b = !(byte & 0x20);
}

static void decode_opcode(struct decoded *d)
{
    const unsigned char *p = d->at;

    if (*p == 0xc5) {
        d->map = 1, d->opcode = p[2], d->at = p + 3;
    } else if (*p == 0xc4) {
        take_bits(d, p[1]);
        d->map = p[1] & 31, d->opcode = p[3], d->at = p + 4;
    } else if (*p == 0x62) {
        take_bits(d, p[1]);
        d->map = p[1] & 7, d->opcode = p[4], d->at = p + 5;
    } else if (*p != 0x0f) {
        d->map = 0, d->opcode = *p, d->at = p + 1;
    } else if (p[1] == 0x38 || p[1] == 0x3a) {
        d->map = p[1] == 0x38 ? 2 : 3, d->opcode = p[2], d->at = p + 3;
    } else {
        d->map = 1, d->opcode = p[1], d->at = p + 2;
    }
}

static void decode(struct decoded *d, const unsigned char *code)
{
    *d = (struct decoded){.at = code};
    for (; is_prefix(*d->at); d->at++)
        d->skips = d->skips || *d->at == 0x64 || *d->at == 0x65;
    if ((*d->at & 0xf0) == 0x40) {
        d->x = (*d->at & 2) != 0;
        d->b = *d->at & 1;
        d->at++;
    }
    decode_opcode(d);
}

/* Does a byte follow that says where the operand lies, and is it read or written? */
static bool has_operand(const struct decoded *d)
{
    unsigned op = d->opcode;

    if (d->map >= 2)
        return true;
    if (d->map == 1) /* not: prefetches, no-ops, jumps, system calls, clocks */
        return op != 0x05 && op != 0x0b && op != 0x0d && op != 0x18 && op != 0x1e && op != 0x1f && op != 0x31 &&
               op != 0x77 && (op < 0x80 || op > 0x8f) && (op < 0xa0 || op > 0xa2) && (op < 0xa8 || op > 0xaa) &&
               (op < 0xc8 || op > 0xcf);
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f && op != 0x8d) || op == 0xc0 ||
           op == 0xc1 || op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) ||
           op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff;
}

static uint64_t reg(const struct user_regs_struct *r, unsigned number)
{
    const unsigned long long all[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                      r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    return all[number];
}

static uint64_t operand(const struct decoded *d, const struct user_regs_struct *regs)
{
    const unsigned char *p = d->at;
    unsigned mod = *p >> 6, rm = *p & 7;
    uint64_t address = 0;
    int32_t wide;

    p++;
    if (mod == 3 || (mod == 0 && rm == 5))
        return 0; /* a register; the program's own data */
    if (rm == 4) {
        unsigned sib = *p++, index = (sib >> 3 & 7) | (unsigned)d->x << 3;

        if (index != 4)
            address += reg(regs, index) << (sib >> 6);
        if ((sib & 7) == 5 && mod == 0)
            mod = 2;
        else
            address += reg(regs, (sib & 7) | (unsigned)d->b << 3);
    } else {
        address += reg(regs, rm | (unsigned)d->b << 3);
    }
    memcpy(&wide, p, sizeof wide);
    return address + (uint64_t)(mod == 1 ? (int64_t)(signed char)*p : mod == 2 ? (int64_t)wide : 0);
}

bool access_is_next(const unsigned char *code, const struct user_regs_struct *regs)
{
    struct decoded d;

    decode(&d, code);
    if (d.map == 0 && d.opcode >= 0xa4 && d.opcode <= 0xaf && d.opcode != 0xa8 && d.opcode != 0xa9)
        return is_shared(regs->rsi) || is_shared(regs->rdi);
    return !d.skips && has_operand(&d) && is_shared(operand(&d, regs));
}
