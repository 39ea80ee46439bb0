# shellcheck shell=bash disable=SC2154,SC2164,SC2191
# Installs what is missing: packages of the distribution, librdkafka, the Kafka broker, anvil.

# Why each is here stands in docs/dependencies.md.
# PACKAGE, or PACKAGE=COMMAND where it is only the command we want, wherever it came from.
readonly packages=(
  g++=g++ make=make cmake=cmake ninja-build=ninja ccache=ccache mold=mold pkg-config=pkg-config
  clang-14=clang++-14 clang-tidy-14=clang-tidy-14 clang-format-14=clang-format-14 libclang-rt-14-dev
  librocksdb-dev libpq-dev libsimdjson-dev rapidjson-dev libexpected-dev libspdlog-dev
  libcli11-dev libtomlplusplus-dev libssl-dev libzstd-dev zlib1g-dev
  libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev
  patch=patch kcat=kcat spin=spin default-jdk-headless=javac maven=mvn nodejs=node npm=npm
  jq=jq curl=curl openssl=openssl python3=python3 ca-certificates
)

readonly librdkafka_version=2.15.1
readonly librdkafka_package=@confluentinc/kafka-javascript@1.10.1
readonly librdkafka_sha512=KVePUBn21EqCVP9mfxzEuM3SYJHHEF7X+iiC2e43QQgDSyEaksI\
nmCGooT3w5q+cNAdkSCrK71j0ICfqoSqZLw==
readonly librdkafka_options=(
  --disable-gssapi --disable-curl --disable-lz4-ext --disable-regex-ext --disable-syslog
  --enable-static --CFLAGS=-O2
)
readonly kafka_version=4.1.0
readonly anvil_version=1.7.1

setup() {
  mkdir -p "$root/.dev"
  # One setup at a time in a clone. The lock is let go before any server is started.
  exec {setup_lock}>"$root/.dev/setup.lock"
  flock "$setup_lock"
  setup_packages
  setup_librdkafka
  setup_kafka
  exec {setup_lock}>&-
}

# ---------------------------------------------------------------- packages

setup_packages() {
  local missing=() entry
  for entry in "${packages[@]}"; do
    have_package "$entry" || missing+=("${entry%%=*}")
  done
  postgres_bin >/dev/null || missing+=(postgresql)
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "These packages are missing: ${missing[*]}" \
    "Only Debian and Ubuntu are known here: install them, or their like, by hand."
  say "Missing packages: ${missing[*]}"
  if ((EUID != 0)); then
    sudo -v || fail "Installing packages needs root." "Run: sudo apt-get install ${missing[*]}"
  fi
  step packages "install ${#missing[@]} packages" \
    "VokeTag needs Debian 12 or Ubuntu 24.04 or later. Is the package archive reachable?" \
    install_packages "${missing[@]}"
}

have_package() {
  local entry=$1
  if [[ $entry == *=* ]]; then
    command -v "${entry#*=}" >/dev/null
  else
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$entry" 2>/dev/null) == installed ]]
  fi
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# The postgresql package would create a cluster and start it on port 5432. We run our own, so it is
# told not to for as long as this installation takes.
install_packages() {
  local no_cluster=/etc/postgresql-common/createcluster.d/voketag-setup.conf
  as_root mkdir -p "${no_cluster%/*}"
  echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
  # shellcheck disable=SC2064 # the path is known now
  trap "as_root rm -f $no_cluster" EXIT
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# ---------------------------------------------------------------- librdkafka

setup_librdkafka() {
  local stamp=$root/.dev/librdkafka/version
  local wanted
  wanted="$librdkafka_version ${librdkafka_options[*]} $(cksum <"$root/dev.d/librdkafka.patch")"
  [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]] || return 0
  step librdkafka "build librdkafka $librdkafka_version from source" \
    "It comes from the npm package $librdkafka_package: is the npm registry reachable?" \
    build_librdkafka "$wanted"
}

# The maintainers ship the whole source in their npm package. What is downloaded must have the hash
# that was reviewed; npm's own check would only compare it with what the registry says today.
build_librdkafka() {
  local wanted=$1 work=$root/.dev/librdkafka.build prefix=$root/.dev/librdkafka archive actual
  rm -rf "$work" "$prefix"
  mkdir -p "$work"
  cd "$work"
  npm pack --silent "$librdkafka_package"
  archive=$(echo ./*.tgz)
  actual=$(openssl dgst -sha512 -binary "$archive" | base64 -w 0)
  if [[ $actual != "$librdkafka_sha512" ]]; then
    echo "The package has the hash $actual, and $librdkafka_sha512 was expected: not used."
    return 1
  fi
  tar -xzf "$archive" package/deps/librdkafka
  cd package/deps/librdkafka
  patch -p1 <"$root/dev.d/librdkafka.patch"
  ./configure "${librdkafka_options[@]}"
  make -j2 -C src librdkafka.a
  mkdir -p "$prefix/include/librdkafka" "$prefix/lib"
  cp src/rdkafka.h src/rdkafka_mock.h "$prefix/include/librdkafka/"
  cp src/librdkafka.a "$prefix/lib/"
  cp LICENSES.txt "$prefix/"
  echo "$wanted" >"$prefix/version"
  rm -rf "$work"
}

# ---------------------------------------------------------------- Kafka

setup_kafka() {
  local pom=$root/dev.d/kafka-pom.xml stamp=$root/.dev/kafka/version wanted
  wanted="$kafka_version $(cksum <"$pom")"
  [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]] || return 0
  step kafka "fetch Apache Kafka $kafka_version" \
    "Its jars come from Maven Central: is it reachable? (mvn reads ~/.m2/settings.xml)" \
    fetch_kafka "$pom" "$wanted"
}

fetch_kafka() {
  local pom=$1 wanted=$2 home=$root/.dev/kafka
  rm -rf "$home"
  mkdir -p "$home"
  mvn -q -B -f "$pom" dependency:copy-dependencies \
    -Dkafka.version="$kafka_version" -DoutputDirectory="$home/libs"
  echo "$wanted" >"$home/version"
}

# ---------------------------------------------------------------- anvil

# A development chain; only fetched where one is wanted.
setup_anvil() {
  [[ ! -x $(anvil_command) ]] || return 0
  step anvil "fetch anvil $anvil_version" "It comes from npm: is the registry reachable?" \
    npm install --silent --no-save --prefix "$root/.dev/anvil" "@foundry-rs/anvil@$anvil_version"
}

anvil_command() { printf '%s' "$root/.dev/anvil/node_modules/.bin/anvil"; }

# ---------------------------------------------------------------- PostgreSQL

# Prints where initdb, pg_ctl and postgres lie: the newest version installed.
postgres_bin() {
  local directory newest=''
  for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    [[ ! -x $directory/initdb ]] || newest=$directory
  done
  [[ $newest ]] && printf '%s' "$newest"
}
