# shellcheck shell=bash disable=SC2154
# ./dev run and ./dev stop: the whole system on this machine, with a sample batch through it.

readonly voketag=$root/build/release/voketag
readonly doctor_says='For voketag doctor, ./dev stack start run brings Kafka and PostgreSQL back.'

run() {
  local detach='' option
  for option in "$@"; do
    case $option in
      --detach) detach=yes ;;
      *) usage "./dev run [--detach]" ;;
    esac
  done
  build release
  # Until all is up, and afterwards unless detached, whatever ends this script ends the stack.
  on_end stop_run
  stack_start run
  load_environment
  step topics "create the topics" "./dev stack env run shows where the broker is." \
    "$voketag" topics create
  step migrate "create the views" "./dev stack env run shows where PostgreSQL is." \
    "$voketag" migrate
  start_voketag
  sample_batch
  if [[ $detach ]]; then
    on_end true
    say
    say "Everything stays up. ./dev stop ends it."
    return 0
  fi
  say
  say "Up until Ctrl-C. The log: .dev/stacks/run/voketag.log"
  watch_voketag
}

# Settings of one's own from .env (see .env.example), then those of the stack.
load_environment() {
  set -a
  # shellcheck source=/dev/null
  [[ ! -e $root/.env ]] || source "$root/.env"
  set +a
  eval "$(stack_env run)"
}

start_voketag() {
  local dir
  dir=$(stack_dir run)
  # What runs was built earlier: the new one takes over.
  stop_process "$dir/voketag.pid" 30
  start_process "$dir/voketag.pid" "$dir/voketag.log" "$voketag" run
}

sample_batch() {
  local dir batch token started_ms
  dir=$(stack_dir run)
  started_ms=$(now_ms)
  batch=$("$voketag" batch request --count 1000 --name "sample" --json | jq -re .batch_id) ||
    fail "The sample batch could not be requested."
  follow_batch "$batch" || {
    show_log "$dir/voketag.log" 12
    fail "The sample batch $batch was not completed." "$doctor_says"
  }
  outcome ok "$green" $(($(now_ms) - started_ms)) "make and anchor a sample batch of 1,000 products"
  token=$(first_token "$batch")
  introduce "$batch" "$token"
}

# The view of products is written by itself: it may be a moment behind the batch's completion.
first_token() {
  local token='' deadline_ms=$(($(now_ms) + 10000))
  until [[ $token ]]; do
    token=$(psql -AtX "$VOKETAG_POSTGRES" -c \
      "SELECT token FROM products WHERE batch_id = '$1' ORDER BY serial LIMIT 1")
    [[ $token ]] || (($(now_ms) < deadline_ms)) ||
      fail "The batch $1 is completed, but the view of products shows none of it." "$doctor_says"
    [[ $token ]] || sleep 0.1
  done
  printf '%s' "$token"
}

# Shows the batch's progress to its end, or until voketag has died.
follow_batch() {
  local batch=$1 result=0 process
  process=$(stack_dir run)/voketag.pid
  set -m
  "$voketag" batch wait "$batch" --timeout 120s </dev/null &
  step_group=$!
  set +m
  while kill -0 "$step_group" 2>/dev/null; do
    if ! is_running "$process"; then
      end_step
      return 1
    fi
    sleep 0.1
  done
  wait "$step_group" || result=$?
  step_group=''
  return "$result"
}

introduce() {
  local batch=$1 token=$2 mock=''
  # What only our own chain has seen proves no point in time; the check insists on being told so.
  [[ ${BLOCKCHAIN_RPC_URL:-} ]] || mock=' --allow-mock'
  cat <<TEXT

${bold}VokeTag is up.${plain} 1,000 products are made.
They are anchored on ${BLOCKCHAIN_RPC_URL:-the mock chain}.

  a product    $VERIFICATION_URL_BASE/r/$token
  the batch    $batch

  its proof, and the check of it, which needs nothing of ours:
    eval "\$(./dev env)"
    build/release/voketag proof export $token > proof.json
    build/release/voketag proof verify proof.json$mock

  Kafka        $VOKETAG_KAFKA         kcat -b $VOKETAG_KAFKA -C -e -t voketag.batch-completed
  PostgreSQL   psql "\$VOKETAG_POSTGRES" -c 'TABLE batches'
  the topics   kcat -b $VOKETAG_KAFKA -L
TEXT
}

watch_voketag() {
  local file
  file=$(stack_dir run)/voketag.pid
  while is_running "$file"; do sleep 1; done
  show_log "$(stack_dir run)/voketag.log" 12
  fail "voketag run has ended." "$doctor_says"
}

stop_run() {
  (($# == 0)) || usage "./dev stop"
  [[ -d $(stack_dir run) ]] || return 0
  say "Stopping."
  stack_stop run
}
