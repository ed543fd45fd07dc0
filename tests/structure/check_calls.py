#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nobody calls in a circle, and nobody calls upwards, in src.

Read from the compiler's own notes (gcc -fcallgraph-info). A module is a header with the .c files that belong
to it: ring.h, ring_layout.h, ring_in.c and ring_out.c are transport/ring. Breaches are

    recursion  functions that call each other, or themselves, in a circle
    circle     modules that do
    upwards    a call to a layer that the caller's may not use (MAY_CALL), to a module that stands later in order.txt,
               or to a public function from one that serves the public ones

A call through a table of function pointers is how a lower layer reaches a higher one; it does not count.

Usage: check_calls.py SOURCE_ROOT, or --self-test.
"""
import collections
import os
import re
import sys
import tempfile

sys.dont_write_bytecode = True
import compile as structure  # noqa: E402

# The layers, lower ones first, and what each may call besides itself.
MAY_CALL = {
    'base': '',
    'transport': 'base',
    'auth': 'base',
    'gpu': 'base',
    'core': 'base transport auth',
    'patterns': 'base transport core',
}
ORDER = 'tests/structure/order.txt'
PUBLIC = 'shm_'

# Inlined by force, a function would vanish from the notes; and the .o is not wanted, its assembler text will do.
NOTES = ['-S', '-w', '-fcallgraph-info', '-Dalways_inline=noinline']

NODE = re.compile(r'^node: \{ title: "([^"]*)" label: "([^"\\]*)\\n([^"]*?):\d+:\d+(?:\\n[^"]*)?"( shape : ellipse)?')
EDGE = re.compile(r'^edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')


def module_of(path, root):
    """src/transport/ring_in.c is of transport/ring, for ring.h stands beside it."""
    stem = os.path.splitext(path)[0]
    while not os.path.exists(os.path.join(root, 'src', stem + '.h')) or stem.endswith('_layout'):
        shorter = stem.rpartition('_')[0]
        if not os.path.basename(shorter):
            return os.path.splitext(path)[0]
        stem = shorter
    return stem


def read_notes(path, root, graph):
    """Add the functions of one .ci file to GRAPH: {(module, name) or name: set of those it calls}.

    A function with external linkage goes by its name alone, until all files are read: other files' notes do not know
    in which one it is defined."""
    with open(path, encoding='utf-8') as file:
        lines = file.read().splitlines()
    key = {}
    for node in filter(None, map(NODE.match, lines)):
        title, name, where, elsewhere = node.groups()
        inside = structure.short(where, root)
        key[title] = name
        if inside and not elsewhere:
            own = (module_of(inside, root), name)
            if ':' in title:
                key[title] = own  # static; of a header, the same one in every file
            else:
                graph.home[name] = own
            graph.calls[key[title]]
    for edge in filter(None, map(EDGE.match, lines)):
        caller, callee = (key.get(title, title) for title in edge.groups())
        graph.calls[caller].add(callee)


class Graph:
    """Functions, as (module, name), and whom they call."""

    def __init__(self, root):
        self.calls = collections.defaultdict(set)
        self.home = {}  # of functions with external linkage
        with tempfile.TemporaryDirectory() as scratch:
            for stem, _ in structure.compile_all(root, scratch, NOTES).values():
                read_notes(stem + '.ci', root, self)
        resolved = collections.defaultdict(set)
        for caller, callees in self.calls.items():
            targets = {self.home.get(name, name) for name in callees}
            resolved[self.home.get(caller, caller)] |= {target for target in targets if isinstance(target, tuple)}
        self.calls = resolved

    def modules(self):
        """{module: {module it calls: [(caller, callee), ...]}}"""
        result = collections.defaultdict(lambda: collections.defaultdict(list))
        for caller, callees in sorted(self.calls.items()):
            for callee in sorted(callees):
                if caller[0] != callee[0]:
                    result[caller[0]][callee[0]].append((caller, callee))
        return result


def shortest(graph, start, end):
    """The shortest way along GRAPH from START to END, both included; at least one call long. None: there is none."""
    before, queue = {}, collections.deque([start])
    while queue:
        here = queue.popleft()
        for there in sorted(graph.get(here, ())):
            if there not in before:
                before[there] = here
                queue.append(there)
        if end in before:
            way = [end]
            while len(way) == 1 or way[-1] != start:
                way.append(before[way[-1]])
            return way[::-1]
    return None


def circles(graph):
    """The shortest circle through each call that is on one and on none of those found before."""
    seen, result = set(), []
    for start in sorted(graph):
        for there in sorted(graph[start]):
            if (start, there) in seen:
                continue
            back = [start] if there == start else shortest(graph, there, start)
            if back:
                circle = [start, *back]
                seen.update(zip(circle, circle[1:]))
                result.append(circle)
    return result


def label(function):
    return ':'.join(function)


def circle_breaches(graph):
    found = ['recursion: ' + ' -> '.join(map(label, circle)) for circle in circles(graph.calls)]
    modules = graph.modules()
    for circle in circles(modules):
        steps = []
        for caller, callee in zip(circle, circle[1:]):
            example = min(modules[caller][callee])
            steps.append(f'{label(example[0])} -> {label(example[1])}')
        found.append(f'circle: {" -> ".join(circle)}\n    ' + '\n    '.join(steps))
    return found


def read_order(root):
    """{module: its place}, of those layers whose modules are in an order."""
    path = os.path.join(root, ORDER)
    if not os.path.exists(path):
        return {}
    with open(path, encoding='utf-8') as file:
        lines = [line.partition('#')[0].strip() for line in file]
    return {module: place for place, module in enumerate(filter(None, lines))}


def order_breaches(graph, root):
    """order.txt names each module of the layers that it orders, and no other."""
    order = read_order(root)
    ordered = {module.split('/')[0] for module in order}
    there = {caller[0] for caller in graph.calls}
    missing = sorted(module for module in there - set(order) if module.split('/')[0] in ordered)
    gone = sorted(module for module in order
                  if not any(os.path.exists(os.path.join(root, 'src', module + end)) for end in ('.h', '.c')))
    return [f'order: {module} is not in {ORDER}' for module in missing] + \
           [f'order: {module} of {ORDER} is not there' for module in gone]


def direction(caller, callee, order):
    """What is wrong with a call from one module to another; None: nothing."""
    low, high = caller.split('/')[0], callee.split('/')[0]
    if low == high:
        return f'{caller} may not call {callee}: it comes later in order.txt' \
            if order.get(callee, -1) > order.get(caller, len(order)) else None
    if low not in MAY_CALL:
        return f'layer {low} is not in MAY_CALL'
    return None if high in MAY_CALL[low].split() else f'{low} may not call {high}'


def reached(graph, start):
    """The functions that START calls, itself or through static ones of its module."""
    found, stack = set(), [start]
    while stack:
        for callee in graph.calls.get(stack.pop(), ()):
            if callee not in found:
                found.add(callee)
                if callee not in graph.home.values():
                    stack.append(callee)
    return found


def public_breaches(graph):
    """Public functions are the top: what they are made of does not call them. (Their static helpers may.)"""
    return [f'upwards: {label(caller)} -> {label(callee)}: a public function'
            for caller in sorted(graph.home.values()) if not caller[1].startswith(PUBLIC)
            for callee in sorted(reached(graph, caller)) if callee[1].startswith(PUBLIC)]


def direction_breaches(graph, root):
    order, found = read_order(root), []
    for caller, callees in sorted(graph.modules().items()):
        for callee, calls in sorted(callees.items()):
            wrong = direction(caller, callee, order)
            if wrong:
                found.append(f'upwards: {wrong}\n    ' +
                             '\n    '.join(f'{label(one)} -> {label(other)}' for one, other in calls))
    return found


def check(root):
    graph = Graph(root)
    return circle_breaches(graph) + order_breaches(graph, root) + direction_breaches(graph, root) + public_breaches(graph)


# ---- the test of this file: each breach, planted alone, must be found; clean trees pass ----

def pair(first, second):
    """Two functions a() of core/one and b() of core/two, with bodies that may call each other."""
    return {'src/core/one.h': 'void a(void);\n', 'src/core/two.h': 'void b(void);\nvoid c(void);\n',
            'src/core/one.c': '#include "core/one.h"\n#include "core/two.h"\nvoid a(void) {' + first + '}\n',
            'src/core/two.c': '#include "core/one.h"\n#include "core/two.h"\nvoid b(void) {}\n'
                              'void c(void) {' + second + '}\n'}


def layers(low, high):
    """A function of layer LOW calls one of layer HIGH."""
    return {f'src/{high}/h.h': 'void h(void);\n', f'src/{high}/h.c': '#include "h.h"\nvoid h(void) {}\n',
            f'src/{low}/l.c': f'#include "{high}/h.h"\nvoid l(void); void l(void) {{ h(); }}\n'}


def ordered(*modules):
    return {**pair('b();', ''), ORDER: '# lower first\n' + ''.join(module + '\n' for module in modules)}


INLINE = '''__attribute__((always_inline)) static inline void quick(void) { slow(); }\n'''
TABLE = '''void b(void); struct t { void (*f)(void); }; void b(void) {}
extern const struct t t; void a(const struct t *t); void a(const struct t *t) { t->f(); }\n'''

CASES = [
    ([], pair('b();', '')),
    (['recursion: core/one:a -> core/one:a'], pair('a();', '')),
    (['circle: core/one -> core/two -> core/one'], pair('b();', 'a();')),
    (['recursion: core/one:a -> core/two:c -> core/one:a', 'circle: '], pair('c();', 'a();')),
    # A function of a header is its module's, also where it is inlined by force.
    (['circle: core/fast -> core/slow -> core/fast'],
     {'src/core/fast.h': 'void slow(void);\n' + INLINE, 'src/core/slow.c': '#include "core/fast.h"\n'
      'void slow(void) {}\nvoid user(void); void user(void) { quick(); }\n'}),
    # Several .c files of one header are one module, which may call itself.
    ([], {'src/core/r.h': 'void a(void); void b(void); void c(void);\n',
          'src/core/r_in.c': '#include "core/r.h"\nvoid a(void) { b(); }\n',
          'src/core/r_out.c': '#include "core/r.h"\nvoid b(void) {}\nvoid c(void) { a(); }\n'}),
    ([], {'src/core/t.c': TABLE}),
    # Static functions of one name in two files are two functions.
    ([], {'src/core/x.c': 'void y(void);\nstatic void f(void) { y(); }\nvoid x(void); void x(void) { f(); }\n',
          'src/core/y.c': 'void y(void);\nstatic void f(void) {}\nvoid y(void) { f(); }\n'}),
    ([], layers('patterns', 'core')),
    (['upwards: core may not call patterns'], layers('core', 'patterns')),
    (['upwards: transport may not call auth'], layers('transport', 'auth')),
    (['upwards: base may not call transport'], layers('base', 'transport')),
    (['upwards: layer new is not in MAY_CALL'], layers('new', 'base')),
    ([], ordered('core/two', 'core/one')),
    (['upwards: core/one may not call core/two'], ordered('core/one', 'core/two')),
    (['order: core/two is not in'], ordered('core/one')),
    (['order: core/old of'], ordered('core/two', 'core/one', 'core/old')),
    (['upwards: core/p:q -> core/p:shm_q'],
     {'src/core/p.c': 'void shm_q(void); void shm_q(void) {}\nvoid q(void); static void r(void) { shm_q(); }\nvoid q(void) { r(); }\n'}),
    ([], {'src/core/p.c': 'void shm_q(void); void shm_q(void) {}\nstatic void r(void) { shm_q(); }\n'
                          'void shm_r(void); void shm_r(void) { r(); }\n'}),
]


def main():
    structure.require_gcc()
    if sys.argv[1:] == ['--self-test']:
        structure.self_test(CASES, check)
    if len(sys.argv) != 2:
        sys.exit('usage: check_calls.py SOURCE_ROOT, or --self-test')
    breaches = check(sys.argv[1])
    for breach in breaches:
        print('breach:', breach)
    sys.exit(1 if breaches else 0)


if __name__ == '__main__':
    main()
