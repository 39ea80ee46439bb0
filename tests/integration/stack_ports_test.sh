#!/usr/bin/env bash
# The ports of a stack of which a part has died: what lives keeps its own, a stranger's is left to
# the stranger, and the rest stays as it was. Usage: stack_ports_test.sh REPOSITORY
# shellcheck disable=SC2154
set -euo pipefail

repository=$1
root=$(mktemp -d)
for part in ui process stack; do
  # shellcheck source=/dev/null
  source "$repository/dev.d/$part.sh"
done

finish() {
  stop_process "$root/stranger.pid" 5
  stop_process "$(stack_dir half)/kafka/broker.pid" 5
  rm -rf "$root"
}
on_end finish

# listen PIDFILE: a process with two listening ports, which it prints into PIDFILE.ports.
listen() {
  start_process "$1" "$1.ports" python3 -u -c '
import socket, time
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*[each.getsockname()[1] for each in sockets])
time.sleep(60)'
  await_process "$1" 20 test -s "$1.ports"
}

expect() {  # what, is, should be
  [[ $2 == "$3" ]] || fail "$1 is $2, not $3."
}

dir=$(stack_dir half)
mkdir -p "$dir/kafka"
listen "$dir/kafka/broker.pid"
listen "$root/stranger.pid"
read -r kafka controller <"$dir/kafka/broker.pid.ports"
read -r taken _ <"$root/stranger.pid.ports"
free=$(free_port)
postgres_is_running() { return 1; }
printf '%s\n' "kafka_port=$kafka" "controller_port=$controller" "postgres_port=$free" \
  "chain_port=$taken" >"$dir/ports"

choose_ports half
# shellcheck source=/dev/null
source "$dir/ports"
expect "the living broker's port" "$kafka_port" "$kafka"
expect "the living broker's second port" "$controller_port" "$controller"
expect "the dead database's free port" "$postgres_port" "$free"
[[ $chain_port != "$taken" ]] || fail "the chain was given a port that a stranger listens on."

stop_process "$dir/kafka/broker.pid" 5
choose_ports half
# shellcheck source=/dev/null
source "$dir/ports"
expect "the dead broker's free port" "$kafka_port" "$kafka"
echo "the ports of a half-dead stack: as they should be"
