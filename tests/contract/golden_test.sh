#!/bin/sh
# The committed golden records must be what their script writes.
# usage: golden_test.sh SCHEMAS_DIR
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
python3 "$1/golden/make_golden.py" "$fresh"
for file in "$fresh"/*; do
  cmp "$file" "$1/golden/$(basename "$file")"
done
test "$(find "$fresh" -type f | wc -l)" -eq \
  "$(find "$1/golden" -type f ! -name make_golden.py ! -name README.md | wc -l)"
