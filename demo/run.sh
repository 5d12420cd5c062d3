#!/bin/sh
# The main job, as a person would do it: look at a live image, see why the old design cannot boot it, boot it.
# Usage: demo/run.sh DIRECTORY-WITH-big.img
set -eu
image=$1/big.img
PATH=$(dirname "$0")/../.venv/bin:$PATH

show() {
    printf '\n\033[1m$ %s\033[0m\n' "$*"
    "$@"
}

show bootpath inspect "$image"

printf '\n# Before: 1 GiB is preloaded, and the daemon knows nothing else.\n'
code=0
show bootpath simulate "$image" --classic --preload 1024MiB || code=$?
if [ "$code" -ne 3 ]; then
    echo "demo: the classic boot ended with $code, expected 3" >&2
    exit 1
fi

printf '\n# Why: a map of what the boot reads.\n'
show bootpath plan "$image" --preload 1024MiB --picture "$1/plan.png" -o "$1/big.plan" || [ $? -eq 3 ]
echo "the picture is $1/plan.png"

printf '\n# Now: the plan is preloaded, the disk comes two seconds late, and one file lies far beyond the preload.\n'
show bootpath simulate "$image" --plan "$1/big.plan" --disk-delay 2s --touch /usr/share/data/blob47
