#!/bin/sh
# Pins every package for Python 3.11 and newer. CUDA's own packages stay unpinned: pip brings them with the torch that it chooses.
set -eu
cd "$(dirname "$0")"
uv=../.venv/bin/uv
for name in dev worker web; do
    constraints=""
    [ "$name" = dev ] || constraints="-c dev.txt"
    "$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate $constraints "$name.in" |
        grep -viE '^(nvidia-|cuda-|triton)' > "$name.txt.new"
    mv "$name.txt.new" "$name.txt"
done
