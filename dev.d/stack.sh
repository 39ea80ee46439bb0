# shellcheck shell=bash disable=SC2154
# A stack: one Kafka broker and one PostgreSQL (and, where wanted, one anvil) with ports and data of
# their own. `run`, `test` and `bench` each have one, so they never meet; nor do several clones.
#
#   .dev/stacks/NAME/ports       kafka, controller, postgres, chain: kept while the server that has
#                                them lives, and over a restart when free
#   .dev/stacks/NAME/kafka/      server.properties, data/, broker.log, broker.pid
#   .dev/stacks/NAME/postgres/   data/, server.log, password (elsewhere where PostgreSQL's user
#                                cannot come here; .dev/stacks/NAME/postgres.path says where)
#   .dev/stacks/NAME/chain/      anvil.log, anvil.pid
#   .dev/stacks/NAME/token-keys  development keys, drawn at the first start; never printed
#   .dev/stacks/NAME/state/      VOKETAG_STATE_DIR

stack() {
  local verb=${1:-} name=${2:-}
  [[ $verb != list ]] || {
    stack_list
    return 0
  }
  [[ $name =~ ^[a-z][a-z0-9-]{0,30}$ ]] || usage "./dev stack start|env|stop|remove NAME"
  shift 2
  case $verb in
    start) setup && stack_start "$name" "$@" ;;
    env) stack_env "$name" ;;
    stop) stack_stop "$name" ;;
    remove) stack_remove "$name" ;;
    *) usage "./dev stack start|env|stop|remove NAME" ;;
  esac
}

stack_dir() { printf '%s' "$root/.dev/stacks/$1"; }

stack_list() {
  local directory name
  for directory in "$root"/.dev/stacks/*/; do
    [[ -d $directory ]] || continue
    name=$(basename "$directory")
    if stack_is_up "$name"; then say "$name  up"; else say "$name  stopped"; fi
  done
}

stack_is_up() {
  local dir
  dir=$(stack_dir "$1")
  if [[ -e $dir/docker ]]; then
    compose "$1" ps --status running --quiet 2>/dev/null | grep -q .
  else
    is_running "$dir/kafka/broker.pid" && postgres_is_running "$1"
  fi
}

# stack_start NAME [--fresh] [--chain]: idempotent; returns when the broker and the database answer.
stack_start() {
  local name=$1 chain='' dir option
  dir=$(stack_dir "$name")
  shift
  for option in "$@"; do
    case $option in
      --fresh) stack_remove "$name" ;;
      --chain) chain=yes ;;
      *) usage "./dev stack start NAME [--fresh] [--chain]" ;;
    esac
  done
  [[ -z $chain ]] || setup_anvil
  mkdir -p "$dir/state"
  make_token_keys "$dir/token-keys"
  if use_docker "$name"; then
    step "stack-$name" "start the stack '$name' in Docker" "docker compose logs says more." \
      start_in_docker "$name"
  else
    step "stack-$name" "start the stack '$name': Kafka and PostgreSQL" \
      "Their logs: ${dir#"$root"/}/kafka/broker.log and $(postgres_dir "$name")/server.log" \
      start_locally "$name"
  fi
  [[ -z $chain ]] || step "stack-$name-chain" "start its chain: anvil" "See the log above." \
    start_anvil "$name"
}

# Both take their seconds to start, mostly on a core of their own: so at once.
start_locally() {
  local name=$1 dir postgres_id postgres_result=0
  dir=$(stack_dir "$name")
  stack_is_up "$name" && return 0
  choose_ports "$name"
  start_postgres "$name" &
  postgres_id=$!
  start_kafka "$name"
  wait "$postgres_id" || postgres_result=$?
  return "$postgres_result"
}

stack_stop() {
  local name=$1 dir
  dir=$(stack_dir "$name")
  [[ -d $dir ]] || return 0
  stop_process "$dir/voketag.pid" 30
  stop_process "$dir/chain/anvil.pid" 5
  if [[ -e $dir/docker ]]; then
    compose "$name" down --timeout 20 >>"$log_dir/docker.log" 2>&1
  else
    stop_kafka "$name"
    stop_postgres "$name"
  fi
}

stack_remove() {
  local name=$1 dir
  dir=$(stack_dir "$name")
  [[ -d $dir ]] || return 0
  stack_stop "$name"
  [[ ! -e $dir/docker ]] || compose "$name" down --volumes >>"$log_dir/docker.log" 2>&1
  rm -rf "$(postgres_dir "$name")" "$dir"
}

# Prints `export` lines for a shell to eval.
stack_env() {
  local name=$1 dir
  dir=$(stack_dir "$name")
  stack_is_up "$name" || fail "The stack '$name' is not up." \
    "Start it: ./dev $([[ $name == run ]] && echo 'run --detach' || echo "stack start $name")"
  # shellcheck source=/dev/null
  source "$dir/ports"
  export_line VOKETAG_KAFKA "127.0.0.1:$kafka_port"
  export_line VOKETAG_POSTGRES "$(postgres_url "$name")"
  export_line VOKETAG_STATE_DIR "$dir/state"
  export_line VOKETAG_TOKEN_KEYS_FILE "$dir/token-keys"
  export_line VERIFICATION_URL_BASE "${VERIFICATION_URL_BASE:-https://verify.example}"
  if is_running "$dir/chain/anvil.pid"; then
    export_line BLOCKCHAIN_RPC_URL "http://127.0.0.1:$chain_port"
  fi
}

export_line() { printf 'export %s=%q\n' "$1" "$2"; }

# ---------------------------------------------------------------- ports and keys

# A port that is taken may be taken by the stack itself, of which only a part has died.
choose_ports() {
  local file port kafka_port='' controller_port='' postgres_port='' chain_port=''
  file=$(stack_dir "$1")/ports
  # shellcheck source=/dev/null
  [[ ! -e $file ]] || source "$file"
  for port in kafka_port controller_port postgres_port chain_port; do
    if [[ -z ${!port} ]] || ! { port_is_ours "$1" "$port" || port_is_free "${!port}"; }; then
      printf -v "$port" '%s' "$(free_port)"
    fi
    printf '%s=%s\n' "$port" "${!port}"
  done >"$file.new"
  mv "$file.new" "$file"
}

# Whether the server that the named port was chosen for is alive.
port_is_ours() {
  local dir
  dir=$(stack_dir "$1")
  case $2 in
    kafka_port | controller_port) is_running "$dir/kafka/broker.pid" ;;
    postgres_port) postgres_is_running "$1" ;;
    chain_port) is_running "$dir/chain/anvil.pid" ;;
  esac
}

make_token_keys() {
  local file=$1
  [[ ! -s $file ]] || return 0
  (
    umask 077
    printf '1:%s\n' "$(random_base64url 32)" >"$file"
  )
}

random_base64url() { openssl rand "$1" | basenc --base64url -w 0 | tr -d =; }

# ---------------------------------------------------------------- Kafka

start_kafka() {
  local home
  home=$(stack_dir "$1")/kafka
  ! is_running "$home/broker.pid" || return 0
  # shellcheck source=/dev/null
  source "$(stack_dir "$1")/ports"
  mkdir -p "$home/data"
  write_server_properties "$home" >"$home/server.properties"
  if [[ ! -e $home/data/meta.properties ]]; then
    run_java "$home/format.log" -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format \
      --config "$home/server.properties" "--cluster-id=$(random_base64url 16)"  # it may begin with -
  fi
  start_process "$home/broker.pid" "$home/broker.out" \
    "${java_command[@]}" "$(class_archive "$home")" "-Dvoketag.log=$home/broker.log" \
    -Xmx1g -Xms256m -XX:+UseG1GC kafka.Kafka "$home/server.properties"
  await_process "$home/broker.pid" 180 kcat -L -b "127.0.0.1:$kafka_port" -m 1 && return 0
  stop_process "$home/broker.pid" 5
  tail -n 20 "$home/broker.out" "$home/broker.log"
  echo "The broker did not answer on 127.0.0.1:$kafka_port."
  return 1
}

readonly java_command=(
  java -cp "$root/.dev/kafka/libs/*" "-Dlog4j2.configurationFile=$root/dev.d/kafka-log4j2.xml"
)

run_java() {
  local log=$1
  shift
  "${java_command[@]}" "-Dvoketag.log=$log" "$@"
}

# Loading classes is half of what a start of the broker costs. The first one in a clone writes them
# into an archive when it stops; the later ones start from it.
readonly class_archive_file=$root/.dev/kafka/classes.jsa

class_archive() {
  if [[ -e $class_archive_file ]]; then
    printf '%s' "-XX:SharedArchiveFile=$class_archive_file"
  else
    printf '%s' "-XX:ArchiveClassesAtExit=$1/classes.jsa"
  fi
}

stop_kafka() {
  local home
  home=$(stack_dir "$1")/kafka
  stop_process "$home/broker.pid" 30
  [[ ! -s $home/classes.jsa ]] || mv "$home/classes.jsa" "$class_archive_file"
}

# One node that is broker and controller. What differs from Kafka's defaults, and why:
write_server_properties() {
  local home=$1
  cat <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$kafka_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$kafka_port
log.dirs=$home/data

# One node cannot replicate; twelve partitions of the inner topics are plenty and start faster.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=12
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=12
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# A topic that nobody created is a mistake, not a wish.
auto.create.topics.enable=false
# Events are the truth and are kept; the largest dead letter is 8 MiB and its envelope.
log.retention.ms=-1
message.max.bytes=9437184
replica.fetch.max.bytes=9437184

# Development restarts often: no waiting for members, and a dead one is noticed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=2000

# Two cores are shared with what is being developed.
num.network.threads=2
num.io.threads=4
PROPERTIES
}

# ---------------------------------------------------------------- PostgreSQL

# PostgreSQL refuses to run as root; then it runs as the system's postgres user.
postgres_user() {
  if ((EUID != 0)); then return 0; fi
  if id -u postgres >/dev/null 2>&1; then printf postgres; else printf nobody; fi
}

as_postgres() {
  local user
  user=$(postgres_user)
  if [[ $user ]]; then
    setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
      env HOME=/nonexistent "$@"
  else
    "$@"
  fi
}

# Where the stack's PostgreSQL lives: beside the rest, unless its user cannot come there.
postgres_dir() {
  local dir
  dir=$(stack_dir "$1")
  if [[ ! -e $dir/postgres.path && -d $dir ]]; then
    if as_postgres test -x "$dir"; then
      echo "$dir/postgres"
    else
      echo "/var/tmp/voketag-$(printf '%s' "$dir" | sha256sum | cut -c 1-12)"
    fi >"$dir/postgres.path"
  fi
  cat "$dir/postgres.path" 2>/dev/null || printf '%s' "$dir/postgres"
}

# pg_ctl takes one that was killed for alive until somebody has reaped it.
postgres_is_running() {
  local home
  home=$(postgres_dir "$1")
  [[ -e $home/data/postmaster.pid ]] &&
    ! is_zombie "$(head -n 1 "$home/data/postmaster.pid")" &&
    as_postgres "$(postgres_bin)/pg_ctl" status -D "$home/data" >/dev/null 2>&1
}

start_postgres() {
  local name=$1 home
  ! postgres_is_running "$name" || return 0
  home=$(postgres_dir "$name")
  # shellcheck source=/dev/null
  source "$(stack_dir "$name")/ports"
  [[ -e $home/created ]] || create_postgres "$home"
  await_burial "$home/data/postmaster.pid"
  # pg_ctl returns when the server accepts connections. It must not stand in a directory that its
  # user cannot read.
  (cd / && as_postgres "$(postgres_bin)/pg_ctl" start --silent --wait --timeout 60 -D "$home/data" \
    -l "$home/server.log" -o "-p $postgres_port") || {
    tail -n 20 "$home/server.log"
    return 1
  }
  [[ -e $home/created ]] ||
    "$(postgres_bin)/psql" -qX "$(postgres_url "$name" postgres)" -c 'CREATE DATABASE voketag'
  touch "$home/created"
}

# PostgreSQL, too, takes a killed server that nobody has reaped for alive, and would not start.
await_burial() {
  local file=$1 deadline_ms=$(($(now_ms) + 10000))
  while [[ -e $file ]] && is_zombie "$(head -n 1 "$file")" && (($(now_ms) < deadline_ms)); do
    sleep 0.05
  done
}

create_postgres() {
  local home=$1 user
  user=$(postgres_user)
  rm -rf "$home"
  mkdir -p "$home"
  openssl rand -hex 16 >"$home/password"
  [[ -z $user ]] || chown -R "$user" "$home"
  chmod 700 "$home"
  (cd / && as_postgres "$(postgres_bin)/initdb" -D "$home/data" --username=voketag \
    --pwfile="$home/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync)
  cat >>"$home/data/postgresql.conf" <<'SETTINGS'
# VokeTag's development settings. What guards the data (fsync, synchronous_commit) stays as it is.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 256MB
max_wal_size = 4GB
SETTINGS
}

stop_postgres() {
  local home
  home=$(postgres_dir "$1")
  postgres_is_running "$1" || return 0
  (cd / && as_postgres "$(postgres_bin)/pg_ctl" stop --silent --wait --timeout 60 -m fast \
    -D "$home/data")
}

# The role is named like the schema, so the default search path ("$user", public) finds our schema
# first.
postgres_url() {
  local name=$1 database=${2:-voketag} dir password=voketag
  dir=$(stack_dir "$name")
  # shellcheck source=/dev/null
  source "$dir/ports"
  [[ -e $dir/docker ]] || password=$(cat "$(postgres_dir "$name")/password")
  printf 'postgresql://voketag:%s@127.0.0.1:%s/%s' "$password" "$postgres_port" "$database"
}

# ---------------------------------------------------------------- anvil

start_anvil() {
  local home
  home=$(stack_dir "$1")/chain
  ! is_running "$home/anvil.pid" || return 0
  # shellcheck source=/dev/null
  source "$(stack_dir "$1")/ports"
  mkdir -p "$home"
  start_process "$home/anvil.pid" "$home/anvil.log" \
    "$(anvil_command)" --host 127.0.0.1 --port "$chain_port" --state "$home/state.json"
  await_process "$home/anvil.pid" 30 curl -sf -H 'content-type: application/json' \
    -d '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}' \
    "http://127.0.0.1:$chain_port" && return 0
  tail -n 20 "$home/anvil.log"
  return 1
}

# ---------------------------------------------------------------- Docker

# Only the stack of ./dev run goes into Docker, and only where an engine answers. A stack stays what
# it was when it was made. DEV_DOCKER=no keeps everything local.
use_docker() {
  local dir
  dir=$(stack_dir "$1")
  [[ $1 == run && ${DEV_DOCKER:-yes} != no ]] || return 1
  [[ ! -e $dir/docker ]] || return 0
  [[ ! -d $dir/kafka ]] && docker_answers
}

docker_answers() {
  docker compose version >/dev/null 2>&1 && timeout 10 docker info >/dev/null 2>&1
}

start_in_docker() {
  local dir
  dir=$(stack_dir "$1")
  [[ -e $dir/ports ]] || choose_ports "$1"
  touch "$dir/docker"
  compose "$1" up --detach --wait
}

# The project's name keeps several clones apart.
compose() {
  local name=$1 dir
  shift
  dir=$(stack_dir "$name")
  # shellcheck source=/dev/null
  source "$dir/ports"
  KAFKA_PORT=$kafka_port POSTGRES_PORT=$postgres_port docker compose \
    --project-name "voketag-$(printf '%s' "$dir" | sha256sum | cut -c 1-12)" \
    --file "$root/compose.yml" "$@"
}
