#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing in src is without use.

    unreached   a function of a .c file that no public function calls, nor the tool (the linker's --gc-sections says so)
    unused      what the compiler finds in a .c file: functions, variables, types and macros of its own without a use
    undefined   a function that a header declares and no file defines
    unwanted    an inline function or a macro of a header whose name is nowhere else in src, tools or tests

A function that is only referred to by a table counts as called. Usage: check_unused.py SOURCE_ROOT, or --self-test.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import compile as structure  # noqa: E402

# Layers that are not in the library yet: what their headers declare is their interface.
STANDALONE = ['gpu']

COMPILE = ['-c', '-ffunction-sections', '-fdata-sections', '-aux-info', '@STEM@.aux',
           '-Wunused', '-Wunused-macros', '-Wunused-const-variable', '-Wno-unused-parameter']
COLLECTED = re.compile(r"removing unused section '\.text\.([^']+)' in file '([^']+)'")
WARNING = re.compile(r'^(\S+?):(\d+):(?:\d+:)? warning: (.*) \[-Wunused[a-z0-9=-]*\]$', re.M)
DECLARED = re.compile(r'^/\* ([^:*]+):(\d+):N([CF]) \*/ (extern|static) ([^(]*?)(\w+) \(')
MACRO = re.compile(r'^[ \t]*#[ \t]*define[ \t]+(\w+)', re.M)

Function = collections.namedtuple('Function', 'file line name defined static')


def functions_of(root, objects):
    """Each declaration and definition of a function in src, as the compiler saw it."""
    found = set()
    for stem, _ in objects.values():
        with open(stem + '.aux', encoding='utf-8') as file:
            for match in filter(None, map(DECLARED.match, file)):
                path, line, kind, linkage, _, name = match.groups()
                inside = structure.short(path, root)
                if inside:
                    found.add(Function(inside, int(line), name, kind == 'F', linkage == 'static'))
    return sorted(found)


def words_of(root, *folders):
    """How often each word is written in the C files of these folders."""
    count = collections.Counter()
    for folder in folders:
        for place, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                if name.endswith(('.c', '.h')):
                    with open(os.path.join(place, name), encoding='utf-8') as file:
                        count.update(re.findall(r'\w+', re.sub(r'/\*.*?\*/', '', file.read(), flags=re.S)))
    return count


def collected(root, objects, functions, scratch):
    """{object file: [function, ...]}: what the linker throws away when the public functions are kept."""
    tool = words_of(root, 'tools')
    roots = {f.name for f in functions if f.name.startswith('shm_') or f.name in tool or
             (f.file.split('/')[0] in STANDALONE and f.file.endswith('.h'))}
    run = subprocess.run(
        [os.environ.get('STRUCTURE_CC', 'gcc'), '-shared', '-o', os.path.join(scratch, 'all.so'), '-Wl,--gc-sections',
         '-Wl,--print-gc-sections', '-Wl,--unresolved-symbols=ignore-all', *('-Wl,-u,' + name for name in sorted(roots)),
         *(stem + '.o' for stem, _ in objects.values())],
        capture_output=True, text=True, check=False, env={**os.environ, 'LC_ALL': 'C'})
    if run.returncode != 0:
        sys.exit('does not link:\n' + run.stderr)
    result = collections.defaultdict(list)
    for name, path in COLLECTED.findall(run.stderr):
        result[path].append(name)
    return result


def unreached(root, objects, functions, scratch):
    """Without those static ones that the compiler names itself."""
    thrown_away = collected(root, objects, functions, scratch)
    found = []
    for source, (stem, messages) in objects.items():
        named = {line for _, line, _ in WARNING.findall(messages)}
        own = {f.name: f.line for f in functions
               if f.defined and f.file == structure.short(source, root) and str(f.line) not in named}
        found += [f'unreached: {structure.short(source, root)}:{own[name]}: {name}()'
                  for name in thrown_away[stem + '.o'] if name in own]
    return found


def unused(root, objects):
    found = set()
    for _, messages in objects.values():
        for path, line, text in WARNING.findall(messages):
            found.add(f'unused: {structure.short(path, root) or path}:{line}: {text}')
    return sorted(found)


def undefined(functions):
    defined = {f.name for f in functions if f.defined}
    return [f'undefined: {f.file}:{f.line}: {f.name}()' for f in functions
            if f.file.endswith('.h') and f.name not in defined]


def unwanted(root, functions):
    """By name alone: a name that is pasted together from parts is missed, and no worse happens."""
    words = words_of(root, 'src', 'tools', 'tests')
    found = [f'unwanted: {f.file}:{f.line}: {f.name}()' for f in functions
             if f.file.endswith('.h') and f.defined and words[f.name] == 1]
    for place, _, names in os.walk(os.path.join(root, 'src')):
        for name in sorted(names):
            path = os.path.join(place, name)
            if name.endswith('.h'):
                with open(path, encoding='utf-8') as file:
                    found += [f'unwanted: {structure.short(path, root)}: {macro}'
                              for macro in MACRO.findall(file.read()) if words[macro] == 1]
    return found


def check(root):
    with tempfile.TemporaryDirectory() as scratch:
        objects = structure.compile_all(root, scratch, COMPILE)
        functions = functions_of(root, objects)
        return unreached(root, objects, functions, scratch) + unused(root, objects) + undefined(functions) + \
            unwanted(root, functions)


# ---- the test of this file: each breach, planted alone, must be found; clean trees pass ----

def library(more_header='', more_source='', body='', **files):
    """A public function shm_f(), with BODY, and what else is wanted."""
    return {'src/core/f.h': '#ifndef F_H\n#define F_H\nint shm_f(void);\nint g(void);\n' + more_header + '#endif\n',
            'src/core/f.c': '#include "core/f.h"\n' + more_source + 'int shm_f(void) { ' + body + ' return g(); }\n',
            'src/core/g.c': '#include "core/f.h"\nint g(void) { return 1; }\n', **files}


INLINE = 'static inline int i(void) { return 2; }\n'

CASES = [
    ([], library()),
    (['unreached: core/f.c:2: lonely()'], library('int lonely(void);\n', 'int lonely(void) { return 1; }\n')),
    # Also what only such a function calls, and such a function that calls itself.
    (['lonely()', 'helper()'], library('int lonely(void);\n', 'static int helper(void) { return 1; }\n'
                                       'int lonely(void) { return helper(); }\n')),
    (['lonely()'], library('int lonely(void);\n', 'int lonely(void) { return lonely(); }\n')),
    ([], library('extern int (*const table[])(void);\n', 'static int of_table(void) { return 1; }\n'
                 'int (*const table[])(void) = {of_table};\n', 'table[0]();')),
    ([], library('int lonely(void);\n', 'int lonely(void) { return 1; }\n',
                 **{'tools/main.c': 'int main(void) { return lonely(); }\n'})),
    ([], {**library(), 'src/gpu/d.h': 'int d(void);\n', 'src/gpu/d.c': '#include "gpu/d.h"\nint d(void) { return 1; }\n'}),
    (["unused: core/f.c:2: 's' defined but not used"], library('', 'static int s(void) { return 1; }\n')),
    (['unused: core/f.c:2: macro "M"'], library('', '#define M 1\n')),
    (["unused: core/f.c:2: 'c' defined but not used"], library('', 'static const int c = 1;\n')),
    (["unused: core/f.c:2: unused variable 'v'"], library('', '', 'int v = 1;')),
    (['undefined: core/f.h:5: nowhere()'], library('int nowhere(void);\n')),
    (['unwanted: core/f.h:5: i()'], library(INLINE)),
    ([], library(INLINE, '', 'i();')),
    (['unwanted: core/f.h: M'], library('#define M 1 /* M */\n')),
    ([], library('#define M 1\n', '', '(void)M;')),
]


def main():
    structure.require_gcc()
    if sys.argv[1:] == ['--self-test']:
        structure.self_test(CASES, check)
    if len(sys.argv) != 2:
        sys.exit('usage: check_unused.py SOURCE_ROOT, or --self-test')
    breaches = check(sys.argv[1])
    for breach in breaches:
        print('breach:', breach)
    sys.exit(1 if breaches else 0)


if __name__ == '__main__':
    main()
