# SPDX-License-Identifier: MIT
"""What the checkers of tests/structure share: the library's sources through the compiler, and its notes."""
import concurrent.futures
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77  # how a test tells meson that it cannot run here


def sources(root):
    """Every .c file under src."""
    found = []
    for folder, _, names in os.walk(os.path.join(root, 'src')):
        found += [os.path.join(folder, name) for name in names if name.endswith('.c')]
    return sorted(found)


@functools.lru_cache(maxsize=None)
def short(path, root):
    """src/core/link.c of ROOT as core/link.c; None for what lies elsewhere."""
    inside = os.path.relpath(os.path.realpath(path), os.path.join(os.path.realpath(root), 'src'))
    return None if inside.startswith('..') else inside


def flags(root):
    """As meson compiles the library, without optimization: every call stays a call."""
    sodium = subprocess.run(['pkg-config', '--cflags', 'libsodium'], capture_output=True, text=True, check=False) \
        if shutil.which('pkg-config') else None
    return ['-std=gnu11', '-O0', '-D_GNU_SOURCE', '-DSHMQ_BUILDING', '-fvisibility=hidden', '-fPIC',
            '-I' + os.path.join(root, 'include'), '-I' + os.path.join(root, 'src'),
            *(sodium.stdout.split() if sodium and sodium.returncode == 0 else [])]


def compile_one(source, stem, arguments):
    """The compiler's messages; None where a library that the file is for is not installed."""
    command = [os.environ.get('STRUCTURE_CC', 'gcc'), *arguments, source, '-o', stem + '.o']
    command = [word.replace('@STEM@', stem) for word in command]
    run = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, 'LC_ALL': 'C'})
    if run.returncode == 0:
        return run.stderr
    missing = re.search(r'fatal error: (\S+): No such file', run.stderr)
    if missing and re.search(r'#\s*include\s*<' + re.escape(missing[1]), open(source, encoding='utf-8').read()):
        return None
    sys.exit(f'{source} does not compile:\n{run.stderr}')


def compile_all(root, scratch, arguments):
    """Compile every source into SCRATCH. Returns {source: (stem, messages)}; @STEM@ in ARGUMENTS is its stem there."""
    files = sources(root)
    stems = [os.path.join(scratch, short(path, root).replace('/', '-')[:-2]) for path in files]
    arguments = [*flags(root), *arguments]
    with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        messages = list(pool.map(lambda job: compile_one(*job, arguments), zip(files, stems)))
    done = {path: (stem, text) for path, stem, text in zip(files, stems, messages) if text is not None}
    # auth_none.c stands in for auth_sodium.c: only one of the two is in a library.
    for path in list(done):
        twin = path.removesuffix('_none.c')
        if twin != path and any(other != path and other.startswith(twin + '_') for other in done):
            del done[path]
    return done


def require_gcc():
    """The notes that we read are GCC's, since version 10."""
    compiler = os.environ.get('STRUCTURE_CC', 'gcc')
    if not shutil.which(compiler):
        print(f'skipped: no {compiler}')
        sys.exit(SKIPPED)
    probe = subprocess.run([compiler, '-fcallgraph-info', '-x', 'c', '-E', '/dev/null'], capture_output=True, check=False)
    if probe.returncode != 0:
        print(f'skipped: {compiler} does not know -fcallgraph-info')
        sys.exit(SKIPPED)


def self_test(cases, check):
    """CASES: (breaches wanted, {file: text}). CHECK(root) returns the breaches of a tree. Exits."""
    failed = 0
    for wanted, tree in cases:
        with tempfile.TemporaryDirectory() as root:
            for name, text in tree.items():
                path = os.path.join(root, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, 'w', encoding='utf-8') as file:
                    file.write(text)
            found = check(root)
        # Each wanted text is part of exactly one breach, and there are no others.
        if len(found) != len(wanted) or any(sum(text in breach for breach in found) != 1 for text in wanted):
            print(f'self-test: wanted {wanted}\n    found {found}\n    in {tree}')
            failed = 1
    sys.exit(failed)
