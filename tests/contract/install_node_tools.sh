#!/bin/sh
# Installs what package-lock.json pins, outside the source tree, and once per lock file.
# usage: install_node_tools.sh SOURCE_DIR TARGET_DIR
set -eu
mkdir -p "$2"
if cmp -s "$1/package-lock.json" "$2/installed.json"; then exit 0; fi
cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$2/"
(cd "$2" && npm ci --silent)
cp "$1/package-lock.json" "$2/installed.json"
