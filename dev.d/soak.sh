# shellcheck shell=bash disable=SC2154
# ./dev soak: it starts the servers that it breaks by itself (tests/soak/README.md).

soak() {
  case ${1:-} in
    -h | --help) exec python3 "$root/tests/soak/soak.py" --help ;;
  esac
  setup
  configure_preset release
  step build-soak "build voketag" "The compiler's words are above." \
    cmake --build "$root/build/release" -j "$(build_jobs)" --target voketag
  exec python3 "$root/tests/soak/soak.py" "$@"
}
