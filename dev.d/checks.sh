# shellcheck shell=bash disable=SC2154
# ./dev test, lint and bench.

# ---------------------------------------------------------------- test

run_tests() {
  local fast='' sanitize=${CI:+yes} option
  for option in "$@"; do
    case $option in
      --fast) fast=yes ;;
      --sanitize) sanitize=yes ;;
      *) usage "./dev test [--fast] [--sanitize]" ;;
    esac
  done
  failed_stages=() closing_lines=()
  local started_ms
  started_ms=$(now_ms)

  build release
  test_stage unit "unit tests" release -L unit -j "$(nproc)"
  if [[ ! $fast ]]; then
    on_end end_test_stack
    stack_start test --fresh
    # One after another: some say how soon an answer must come.
    test_stage integration "one connector at a time, against the real broker and database" \
      release -L integration
    # All that is neither of the two, so that no test can be forgotten for want of a label. Each has
    # topics and a database of its own, or servers of its own, and waits much of its time.
    test_stage end-to-end "the whole system, kill -9 and all; contracts; simulated clusters" \
      release -LE '^(unit|integration)$' -j "$(($(nproc) + 1))"
  fi
  if [[ $sanitize ]]; then
    build_unit_tests sanitize
    test_stage unit-sanitize "unit tests, address and undefined-behaviour sanitizers" sanitize \
      -L unit -j "$(nproc)"
  fi
  report_tests "$started_ms"
}

# test_stage NAME TITLE PRESET CTEST-ARGUMENT...: a stage that fails does not keep the others from
# being run. A stage without tests fails, and so does a test that skips itself: all it may need is
# here.
test_stage() {
  local name=$1 title=$2 preset=$3 log=$log_dir/test-$1.log
  shift 3
  attempt "test-$name" "$title" with_stack_env test \
    ctest --test-dir "$root/build/$preset" --output-on-failure --no-tests=error "$@"
  if ((attempt_result == 0)) && grep -qE '\((Skipped|Disabled)\)$' "$log"; then
    say "       ... but tests were skipped, which ./dev test does not accept."
    attempt_result=1
  fi
  closing_lines+=("$name: $(grep -E 'tests passed|No tests were found' "$log" | tail -n 1)")
  if ((attempt_result != 0)); then
    failed_stages+=("$name")
    show_log "$log" 60
  fi
}

# Runs the command with the stack's variables where the stack is up, and else without any. psql is
# the server's own: Debian's is a Perl program that looks for it, which costs more than most of the
# questions that tests ask by the thousand.
with_stack_env() {
  local name=$1
  shift
  if stack_is_up "$name"; then eval "$(stack_env "$name")"; fi
  PATH=$(postgres_bin):$PATH "$@"
}

report_tests() {
  local line
  say
  for line in "${closing_lines[@]}"; do say "$line"; done
  say "Total time: $(duration $(($(now_ms) - $1)))"
  ((${#failed_stages[@]} == 0)) || fail "Failed: ${failed_stages[*]}" \
    "The output: .dev/log/test-*.log. One test alone: ctest --test-dir build/release -R NAME"
}

# Only the unit tests: the rest would take as long again and is not run under the sanitizers.
build_unit_tests() {
  local preset=$1 folder targets=()
  for folder in tests/unit/*/; do
    [[ -z $(find "$folder" -name '*.cc' -print -quit) ]] || targets+=("$(basename "$folder")_tests")
  done
  configure_preset "$preset"
  step "build-$preset" "build the unit tests with $preset" "The compiler's words are above." \
    cmake --build "$root/build/$preset" -j "$(build_jobs)" --target "${targets[@]}"
}

# What a failed run wrote is worth a look; after a good one nothing is left.
end_test_stack() {
  if ((${#failed_stages[@]} == 0)); then
    stack_remove test
  else
    stack_stop test
  fi
}

# ---------------------------------------------------------------- lint

# All files that git knows or would add, or those named. --fix formats them first.
lint() {
  local fix='' files cpp=() shell=() python=() sources=() file
  if [[ ${1:-} == --fix ]]; then fix=yes && shift; fi
  files=("$@")
  for file in "${files[@]}"; do [[ -f $file ]] || usage "there is no file '$file'"; done
  setup
  ((${#files[@]})) || mapfile -t files < <(git ls-files --cached --others --exclude-standard)
  for file in "${files[@]}"; do
    [[ -f $file ]] || continue
    case $file in
      *.cc) cpp+=("$file") sources+=("$file") ;;
      *.h) cpp+=("$file") ;;
      *.sh | dev) shell+=("$file") ;;
      *.py) python+=("$file") ;;
      *)
        [[ ! -x $file || $(head -c 2 "$file" | tr -d '\0') != '#!' ]] ||
        case $(head -n 1 "$file") in
          *python*) python+=("$file") ;;
          *sh | *sh\ *) shell+=("$file") ;;
        esac ;;
    esac
  done

  [[ ! $fix || ${#cpp[@]} -eq 0 ]] || clang-format-14 -i "${cpp[@]}"
  failed_stages=()
  lint_stage shell "shell syntax of ${#shell[@]} files" check_shell "${shell[@]}"
  lint_stage columns "100 columns in $((${#cpp[@]} + ${#shell[@]} + ${#python[@]})) files" \
    check_columns "${cpp[@]}" "${shell[@]}" "${python[@]}"
  lint_stage format "format of ${#cpp[@]} files" check_format "${cpp[@]}"
  if ((${#sources[@]})); then
    configure_preset release
    mapfile -t sources < <(compiled_sources "${sources[@]}")
    lint_stage tidy "clang-tidy on ${#sources[@]} sources" check_tidy "${sources[@]}"
  fi
  ((${#failed_stages[@]} == 0)) || fail "Failed: ${failed_stages[*]}" \
    "./dev lint --fix formats; the whole output is in .dev/log/lint-*.log"
}

lint_stage() {
  local name=$1 title=$2
  shift 2
  (($# > 1)) || return 0
  attempt "lint-$name" "$title" "$@"
  if ((attempt_result != 0)); then
    failed_stages+=("$name")
    show_log "$log_dir/lint-$name.log" 60
  fi
}

check_shell() {
  local file result=0
  for file in "$@"; do
    bash -n "$file" || result=1
  done
  if command -v shellcheck >/dev/null; then
    shellcheck --external-sources --severity=warning "$@" || result=1
  fi
  return "$result"
}

# A table of a test's raw text counts, too: what is wider than a window is not read.
check_columns() {
  ! LC_ALL=C.UTF-8 grep -HnE '^.{101}' "$@"
}

check_format() { clang-format-14 --dry-run -Werror "$@"; }

check_tidy() {
  printf '%s\0' "$@" | xargs -0 -n 1 -P "$(build_jobs)" \
    clang-tidy-14 -p "$root/build/release" --quiet --warnings-as-errors='*' \
    --extra-arg=-Wno-unknown-warning-option
}

# Those of the sources that the compile database knows; no other can be looked at.
compiled_sources() {
  local file
  for file in "$@"; do
    ! grep -qF "\"$root/${file#"$root"/}\"" "$root/build/release/compile_commands.json" ||
      printf '%s\n' "$file"
  done
}

# ---------------------------------------------------------------- bench

bench() {
  build release
  exec "$root/bench/run" "$@"
}
