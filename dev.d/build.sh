# shellcheck shell=bash disable=SC2154
# Configure and build. The presets are in CMakePresets.json; each builds into build/PRESET.

build() {
  local preset=${1:-release}
  [[ ! $preset == -* ]] || usage "./dev build [PRESET]"
  setup
  configure_preset "$preset"
  step "build-$preset" "build $preset" "The compiler's words are above; ./dev build tries again." \
    cmake --build "$root/build/$preset" -j "$(build_jobs)"
}

# Ninja configures again by itself when a CMakeLists.txt changed; the presets it does not watch.
configure_preset() {
  local preset=$1 cache=$root/build/$1/CMakeCache.txt
  if [[ ! -e $cache || ! -e $root/build/$preset/build.ninja ||
    $root/CMakePresets.json -nt $cache ]]; then
    step "configure-$preset" "configure $preset" "cmake --list-presets shows the presets." \
      cmake --preset "$preset"
  fi
}

# One compiler per core, but each may want 1.5 GB.
build_jobs() {
  local by_cores by_memory
  by_cores=$(nproc)
  by_memory=$(($(awk '/MemAvailable/ {print $2}' /proc/meminfo) / 1500000))
  printf '%d' $((by_memory < 1 ? 1 : by_memory < by_cores ? by_memory : by_cores))
}
