#!/bin/sh
# usage: compile_java.sh SOURCE_DIR KAFKA_JARS_DIR CLASSES_DIR
set -eu
if [ ! -d "$2" ]; then
  echo "compile_java.sh: Kafka's jars are not in $2; run ./dev setup" >&2
  exit 1
fi
mkdir -p "$3"
javac -Xlint:all,-classfile,-path -Werror -cp "$2/*" -d "$3" "$1"/*.java
