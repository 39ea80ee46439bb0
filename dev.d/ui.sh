# shellcheck shell=bash disable=SC2154,SC2034
# What the person at the terminal sees. Colours and the moving line only where there is a terminal.

readonly log_dir=$root/.dev/log

if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb && -z ${CI:-} ]]; then
  readonly on_terminal=yes green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' bold=$'\e[1m' plain=$'\e[0m'
else
  readonly on_terminal='' green='' red='' dim='' bold='' plain=''
fi

say() { printf '%s\n' "$*"; }

# Ends the script. The first argument says what happened, the second what to do about it.
fail() {
  printf '%s%s%s\n' "$red" "$1" "$plain" >&2
  [[ -z ${2:-} ]] || printf '  %s\n' "$2" >&2
  exit 1
}

usage() {
  printf '%s\n  ./dev help shows what there is.\n' "$1" >&2
  exit 2
}

now_ms() { printf '%s' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }

# Prints milliseconds as "12.3 s" or "4 min 05 s".
duration() {
  local ms=$1
  if ((ms < 100000)); then
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
  else
    printf '%d min %02d s' $((ms / 60000)) $((ms / 1000 % 60))
  fi
}

outcome() {  # word, colour, milliseconds, title
  printf '%s%-6s%s %12s  %s\n' "$2" "$1" "$plain" "$(duration "$3")" "$4"
}

# While a step runs: its title, its time and the last line of its log, on one line of the terminal.
ticker() {
  local title=$1 log=$2 started_ms=$3 width last
  width=$(($(tput cols 2>/dev/null || printf 80) - 24 - ${#title}))
  while true; do
    last=$(tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | tr -cd '[:print:]\n' | tail -n 1)
    ((width > 10)) || last=''
    printf '\r\e[K...    %12s  %s  %s%s%s' "$(duration $(($(now_ms) - started_ms)))" "$title" \
      "$dim" "${last:0:width > 0 ? width : 0}" "$plain"
    sleep 0.3
  done
}

stop_ticker() {
  [[ $ticker_id ]] || return 0
  kill "$ticker_id" 2>/dev/null || true
  { wait "$ticker_id" || true; } 2>/dev/null
  ticker_id=''
  printf '\r\e[K'
}

# What is running now: the process group of a step's command, and the ticker.
step_group='' ticker_id=''

# on_end COMMAND...: runs it when the script ends, however it ends. A signal first ends the step
# that is running, at once.
on_end() { end_command=("$@"); }
end_command=(true)
# A second Ctrl-C does not disturb the cleaning up.
trap 'trap "" INT TERM HUP; end_step; "${end_command[@]}"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

end_step() {
  stop_ticker
  [[ $step_group ]] || return 0
  kill -TERM -- "-$step_group" 2>/dev/null || true
  { wait "$step_group" || true; } 2>/dev/null
  step_group=''
}

# attempt NAME TITLE COMMAND...: runs the command, its output into .dev/log/NAME.log, and says in
# one line how it went. Returns through `attempt_result`, because a command whose status is tested
# loses `set -e`. Call it as a plain statement only.
attempt() {
  local name=$1 title=$2 log=$log_dir/$1.log started_ms
  shift 2
  mkdir -p "$log_dir"
  : >"$log"
  started_ms=$(now_ms)
  if [[ $on_terminal ]]; then
    ticker "$title" "$log" "$started_ms" 2>/dev/null &
    ticker_id=$!
  fi
  # A process group of its own: what the command leaves behind, or all on Ctrl-C, can be ended.
  set -m
  (
    set +m
    "$@"
  ) >"$log" 2>&1 </dev/null &
  step_group=$!
  set +m
  attempt_result=0
  { wait "$step_group" || attempt_result=$?; } 2>/dev/null
  kill -TERM -- "-$step_group" 2>/dev/null || true
  step_group=''
  stop_ticker
  if ((attempt_result == 0)); then
    outcome ok "$green" $(($(now_ms) - started_ms)) "$title"
  else
    outcome FAILED "$red" $(($(now_ms) - started_ms)) "$title"
  fi
}

# As attempt, but a failure shows the end of the log and ends the script. CURE says what to do.
step() {
  local name=$1 title=$2 cure=$3
  shift 3
  attempt "$name" "$title" "$@"
  ((attempt_result != 0)) || return 0
  show_log "$log_dir/$name.log"
  fail "'$title' failed." "$cure"
}

show_log() {
  local log=$1 lines=${2:-30}
  [[ -s $log ]] || return 0
  printf '%s--- the last lines of %s%s\n' "$dim" "${log#"$root"/}" "$plain" >&2
  tail -n "$lines" "$log" >&2
  printf '%s---%s\n' "$dim" "$plain" >&2
}
