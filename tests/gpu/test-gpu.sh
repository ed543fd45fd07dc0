#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds the conformance suite of the CUDA driver and runs it on this machine's GPU.
# Needs a C compiler and the NVIDIA driver; no meson, no cmocka, no CUDA toolkit.
#
#   tests/gpu/test-gpu.sh [--probe] [--standin] [--undefined]
#
#   --probe      only the quick first look (under a minute)
#   --standin    on the stand-in driver instead of a GPU: shows that the suite works
#   --undefined  also what NVIDIA's manual calls undefined
#
# Exit status: 0 everything passed; 1 something failed; 2 it could not be built, or usage;
# 77 there is no GPU, or no driver that can be used (the reason is printed).
set -u

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
root=$(CDPATH='' cd -- "$here/../.." && pwd) || exit 2
cc=${CC:-cc}
probe_only=no
standin=no
undefined=

for argument in "$@"; do
	case $argument in
	--probe) probe_only=yes ;;
	--standin) standin=yes ;;
	--undefined) undefined=--undefined ;;
	*)
		echo "usage: $0 [--probe] [--standin] [--undefined]" >&2
		exit 2
		;;
	esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/shmq-gpu.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 2' HUP INT TERM

build() {
	"$cc" -std=gnu11 -D_GNU_SOURCE -O2 -g -I"$root/src" -I"$here" "$@"
}

if ! build -o "$work/conformance" "$here"/conformance*.c "$root/src/gpu/driver.c" -ldl -lrt \
	-pthread; then
	echo "test-gpu: the suite could not be built with $cc" >&2
	exit 2
fi
if [ "$standin" = yes ]; then
	if ! build -fPIC -shared -fvisibility=hidden -o "$work/libshmq_standin_cuda.so" \
		"$here"/standin/*.c -pthread -Wl,-z,nodelete; then
		echo "test-gpu: the stand-in driver could not be built with $cc" >&2
		exit 2
	fi
	SHMQ_CUDA_DRIVER=$work/libshmq_standin_cuda.so
	export SHMQ_CUDA_DRIVER
fi

# Containers mount the driver where the linker does not always look.
if [ -z "${SHMQ_CUDA_DRIVER:-}" ] && ! ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
	for place in /usr/local/nvidia/lib64 /usr/local/nvidia/lib /usr/lib/wsl/lib; do
		[ -e "$place/libcuda.so.1" ] || continue
		SHMQ_CUDA_DRIVER=$place/libcuda.so.1
		export SHMQ_CUDA_DRIVER
		echo "== driver: $SHMQ_CUDA_DRIVER"
		break
	done
fi

echo "== first look (at most a minute)"
"$work/conformance" --probe --seconds 50
status=$?
if [ $status -eq 77 ]; then
	echo "test-gpu: there is no GPU that can be used here; nothing was tested."
	exit 77
fi
[ "$probe_only" = yes ] && exit $status

echo
echo "== the whole suite (at most two minutes)"
# The suite ends itself; timeout is for a driver that hangs where nothing can.
timeout -k 5 125 "$work/conformance" --seconds 110 $undefined
status=$?
if [ $status -ge 124 ]; then
	echo "test-gpu: the suite hung and was ended"
	status=1
fi
exit $status
