# shellcheck shell=bash disable=SC2154
# Background processes, remembered in files "PID START", START being the kernel's start time of the
# process: so a file left over from before a reboot never names a stranger.

# start_process PIDFILE LOG COMMAND...: a session of its own, so that Ctrl-C does not reach it.
start_process() {
  local file=$1 log=$2
  shift 2
  setsid "$@" >>"$log" 2>&1 </dev/null &
  printf '%s %s\n' "$!" "$(start_time "$!")" >"$file"
}

start_time() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The second field, the name in parentheses, may hold blanks: count from behind it.
  stat=${stat##*) }
  read -ra fields <<<"$stat"
  printf '%s' "${fields[19]}"
}

# True while the very process that PIDFILE names is alive (a zombie is not).
is_running() {
  local id='' started=''
  [[ -r $1 ]] && read -r id started <"$1" || return 1
  [[ $id && $started && $(start_time "$id") == "$started" ]] && ! is_zombie "$id"
}

is_zombie() { [[ $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) == Z ]]; }

process_id() { cut -d ' ' -f 1 "$1"; }

# stop_process PIDFILE PATIENCE_S: asks with SIGTERM, and after PATIENCE_S ends it with SIGKILL.
stop_process() {
  local file=$1 deadline_ms=$(($(now_ms) + $2 * 1000))
  if is_running "$file"; then
    kill -TERM "$(process_id "$file")" 2>/dev/null || true
    while is_running "$file" && (($(now_ms) < deadline_ms)); do sleep 0.05; done
    if is_running "$file"; then
      say "$(basename "$file" .pid) did not stop within $2 s and was killed."
      kill -KILL "$(process_id "$file")" 2>/dev/null || true
      while is_running "$file"; do sleep 0.05; done
    fi
  fi
  rm -f "$file"
}

# await_process PIDFILE TIMEOUT_S COMMAND...: until the command succeeds; fails as soon as the
# process is gone.
await_process() {
  local file=$1 deadline_ms=$(($(now_ms) + $2 * 1000))
  shift 2
  until "$@" >/dev/null 2>&1; do
    is_running "$file" || return 1
    (($(now_ms) < deadline_ms)) || return 1
    sleep 0.1
  done
}

# Prints a port of 127.0.0.1 that nobody listens on, below the range from which the kernel draws
# ports for outgoing connections.
free_port() {
  local port
  for _ in {1..200}; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
    port_is_free "$port" || continue
    printf '%s' "$port"
    return 0
  done
  return 1
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
