# shellcheck shell=bash
# For the tests in scripts/checks: expectations, a folder that is removed at the end, and a closing line that scripts/test counts.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# Stops the servers in a test's folder, and removes it.
clear_away() { # FOLDER
  local d
  for d in "$1"/*/*/{step*,worker_spi}/data-* "$1"/*/{step*,worker_spi}/data-* "$1"/pg*; do stop_server "$d"; done
  rm -rf "$1"
}
# What a test that was killed has left: whoever made it has ended.
for d in /var/tmp/bgwt.*; do
  if [ -O "$d" ] && [ -s "$d/.pid" ] && ! kill -0 "$(< "$d/.pid")" 2> /dev/null; then (set +e; clear_away "$d"); fi
done

good=0 bad=0
TMP=$(mktemp -d /var/tmp/bgwt.XXXXXX) # short: it serves as a cache, and the cache holds sockets. Without it a test does not begin
set +e                                # a test goes on after a failure
echo $$ > "$TMP/.pid"
chmod 755 "$TMP"                      # as root, the server's user passes through
finish() {
  clear_away "$TMP"
  printf 'test result: %s. %s passed; %s failed\n' "$([ $bad = 0 ] && echo ok || echo FAILED)" "$good" "$bad"
  [ $bad = 0 ] || exit 1
}
trap finish EXIT
trap 'exit 130' INT TERM

ok() { good=$((good + 1)); printf 'ok      %s\n' "$1"; }
not_ok() { bad=$((bad + 1)); printf 'not ok  %s\n' "$1"; shift; printf '%s\n' "$@" | sed 's/^/        | /'; }
verdict() { if [ -z "$2" ]; then ok "$1"; else not_ok "$@"; fi; } # NAME PROBLEM: good if there is no problem

# expect NAME STATUS TEXT... -- COMMAND...: the command ends with this status within 60 s, and its output has each text
# (a text that begins with ! must not be there). STATUS: a number, or "fail" for any but 0 and a time-out.
expect() {
  local name=$1 want=$2 texts=() t status problem=''; shift 2
  while [ "$1" != -- ]; do texts+=("$1"); shift; done; shift
  OUT=$(timeout --kill-after=5 "${LIMIT:-60}" "$@" 2>&1 < /dev/null); status=$?
  case $want:$status in
    "$status:$status") ;;
    fail:0 | fail:124 | fail:137) problem="status $status, expected a failure" ;;
    fail:*) ;;
    *) problem="status $status, expected $want" ;;
  esac
  for t in "${texts[@]}"; do
    case $t in
      !*) [[ $OUT != *"${t#!}"* ]] || problem+=" ; there is: ${t#!}" ;;
      *) [[ $OUT == *"$t"* ]] || problem+=" ; missing: $t" ;;
    esac
  done
  if [ -z "$problem" ]; then ok "$name"; else not_ok "$name" "$problem" "$OUT"; fi
}

# fault NAME WORDS FILE SED-SCRIPT: with this change in a copy of the checkout, the test's own function `look FOLDER` prints the words.
# So a check cannot be green because it looks at nothing.
fault() {
  local copy=$TMP/copy out
  if [ ! -d "$copy" ]; then
    mkdir "$copy"
    (cd "$ROOT" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -P --parents -t "$copy") 2> /dev/null
  fi
  sed -i "$4" "$copy/$3"
  if cmp -s "$ROOT/$3" "$copy/$3"; then not_ok "$1" "the fault changes nothing in $3"; return; fi
  out=$(look "$copy" 2>&1)
  cp -P "$ROOT/$3" "$copy/$3"
  if [[ $out == *"$2"* ]]; then ok "found: $1"; else not_ok "found: $1" "expected: $2" "${out:-nothing is found}"; fi
}
