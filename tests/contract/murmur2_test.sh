#!/bin/sh
# Java's partitioner must still say what the committed table says.
# usage: murmur2_test.sh CLASSES_DIR KAFKA_JARS_DIR TABLE
set -eu
java -cp "$1:$2/*" Murmur2Table | cmp - "$3"
