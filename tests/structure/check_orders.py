#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The orders of every shared word, relaxed ones too, are those of the table in docs/MEMORY_MODEL.md.

usage: check_orders.py SOURCE_ROOT, or --self-test [SOURCE_ROOT], or --table SOURCE_ROOT to print the table

An access is a call of an accessor of base/atomic.h or base/peer.h, or of a C11 atomic operation; its word is the last
field that its first argument names (a parameter has the parameter's name). Where a word is accessed in several orders,
the table says how often in each, so that a change of one of them shows.
"""
import collections
import os
import re
import shutil
import sys
import tempfile

PAGE = os.path.join('docs', 'MEMORY_MODEL.md')
DEFINE = {'base/atomic.h', 'base/peer.h', 'base/peer_fuzz.h'}  # the accessors themselves
CALL = re.compile(r'\b(?:(?P<kind>store|load)_(?P<order>relaxed|acquire|release|seq_cst)'
                  r'|peer_u(?:32|64)(?P<peer>_\w+)?|(?P<count>count_add)|atomic_(?P<atomic>\w+)_explicit)\s*\(')


def argument(text, start):
    """The first argument of the call whose parenthesis ends at START, and the rest up to the closing one."""
    depth, first_end = 1, None
    for at in range(start, len(text)):
        depth += text[at] in '([{'
        depth -= text[at] in ')]}'
        if depth == 1 and text[at] == ',' and first_end is None:
            first_end = at
        if depth == 0:
            return text[start:at if first_end is None else first_end], text[start:at]
    sys.exit('a parenthesis is not closed')


def word_of(expression):
    """`&s->segment.header->challenge[i]` is a look at `challenge`."""
    while re.search(r'\[[^\[\]]*\]', expression):
        expression = re.sub(r'\[[^\[\]]*\]', '', expression)
    return re.findall(r'[A-Za-z_]\w*', expression)[-1]


def accesses_of(call, everything):
    """(store or load, order) of what one call does."""
    if call['kind']:
        return [(call['kind'], call['order'])]
    if call['count']:
        return [('load', 'relaxed'), ('store', 'relaxed')]
    if call['atomic']:
        orders = re.findall(r'memory_order_(\w+)', everything)
        return [(call['atomic'] if call['atomic'] in ('load', 'store') else 'change', orders[0])]
    how = (call['peer'] or '')[1:]
    if how in ('exchange', 'replace'):
        return [('change', 'relaxed')]
    return [('load', {'': 'relaxed', 'once': 'relaxed'}.get(how, how))]


def orders_of_source(root):
    """{word: {'store': Counter, 'load': Counter, 'change': Counter}}"""
    words = collections.defaultdict(lambda: collections.defaultdict(collections.Counter))
    top = os.path.join(root, 'src')
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if not name.endswith(('.c', '.h')) or os.path.relpath(path, top) in DEFINE:
                continue
            with open(path, encoding='utf-8') as file:
                text = re.sub(r'/\*.*?\*/', ' ', file.read(), flags=re.S)
            for call in CALL.finditer(text):
                first, everything = argument(text, call.end())
                for kind, order in accesses_of(call, everything):
                    words[word_of(first)][kind][order] += 1
    return words


def cell(counter):
    """release; or `relaxed 2, release 1`; or nothing."""
    if len(counter) < 2:
        return ''.join(counter)
    return ', '.join(f'{order} {count}' for order, count in sorted(counter.items()))


def rows_of_source(root):
    """{(stores, loads, changes): words}"""
    rows = collections.defaultdict(set)
    for word, kinds in orders_of_source(root).items():
        rows[tuple(cell(kinds[kind]) for kind in ('store', 'load', 'change'))].add(word)
    return rows


def rows_of_page(root):
    """The same, as the page says."""
    rows = collections.defaultdict(set)
    with open(os.path.join(root, PAGE), encoding='utf-8') as page:
        table = page.read().partition('<!-- orders of words -->')[2].partition('\n\n')[0]
    for line in table.splitlines():
        cells = [part.strip() for part in line.split('|')[1:-1]]
        if len(cells) == 4 and cells[1] != 'stored' and not cells[0].startswith('-'):
            rows[tuple(cells[1:])] |= set(cells[0].split(', '))
    return rows


def print_table(root):
    """What belongs on the page, below its mark."""
    print('| words | stored | loaded | read and changed at once |\n|---|---|---|---|')
    for orders, words in sorted(rows_of_source(root).items(), key=lambda row: (-len(row[1]), row[0])):
        print('| ' + ' | '.join([', '.join(sorted(words)), *orders]) + ' |')


def check(root):
    """The differences, as lines."""
    source, page = [{word: orders for orders, words in rows.items() for word in words}
                    for rows in (rows_of_source(root), rows_of_page(root))]
    return [f'{word}: src has {source.get(word)}, {PAGE} has {page.get(word)} (stored, loaded, changed)'
            for word in sorted(source.keys() | page.keys()) if source.get(word) != page.get(word)]


def self_test(root):
    """A planted change of an order must be found, and the tree itself pass."""
    plants = [(None, None, None),
              ('src/core/pipe.c', 'store_release(&pipe->record->connected_to', 'store_relaxed(&pipe->record->connected_to'),
              ('src/core/memory.c', 'memory_order_acq_rel', 'memory_order_relaxed'),
              ('src/transport/slot.h', 'store_release(tail', 'store_relaxed(tail'),
              (PAGE, ' tail', ' tial')]
    failed = 0
    for path, old, new in plants:
        with tempfile.TemporaryDirectory() as scratch:
            for part in ('src', 'docs'):
                shutil.copytree(os.path.join(root, part), os.path.join(scratch, part))
            if path:
                with open(os.path.join(scratch, path), encoding='utf-8') as file:
                    text = file.read()
                with open(os.path.join(scratch, path), 'w', encoding='utf-8') as file:
                    file.write(text.replace(old, new))
                failed += old not in text
            if bool(check(scratch)) != bool(path):
                print(f'self-test: {"not found" if path else "a clean tree is refused"}: {path} {new}')
                failed += 1
    return 1 if failed else 0


def main(arguments):
    """Exit status."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    if arguments and arguments[0] == '--self-test':
        return self_test(arguments[1] if len(arguments) > 1 else here)
    if arguments and arguments[0] == '--table':
        print_table(arguments[1])
        return 0
    wrong = check(arguments[0])
    for line in wrong:
        print(f'orders: {line}')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
