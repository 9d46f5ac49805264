# shellcheck shell=bash
# What all the scripts share: where things are, messages in two languages, errors that say what to do next.
# It is sourced by the scripts, which run in bash; only scripts/env is sourced by the reader's own shell.
set -euo pipefail
if [ "${BASH_VERSINFO[0]}" -lt 4 ]; then # macOS's own: it could not even read our messages
  echo "error: bash $BASH_VERSION is too old / エラー: bash が古すぎます" >&2
  echo "  next: brew install bash" >&2
  exit 1
fi
: "${HOME:=$(getent passwd "$(id -u)" 2> /dev/null | cut -d: -f6)}" # cron and some containers set none
export HOME
umask 022 # as root, the server runs as another user: it must be able to read what we install

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
LIB=$ROOT/scripts/lib
# Unpacked from an offline pack: its toolchain, crates and cache stand beside the checkout, and a new terminal need not know it.
# shellcheck source=/dev/null
if [ -r "$ROOT/../bgworkbook.env" ]; then . "$ROOT/../bgworkbook.env"; fi

# The versions, each written once: pgrx's in Cargo.toml, mdBook's here, PostgreSQL's in postgresql.toml.
# shellcheck disable=SC2034 # used by tools.sh and setup
PGRX_VERSION=$(sed -n 's/^pgrx = "=\(.*\)"$/\1/p' "$ROOT/Cargo.toml")
# shellcheck disable=SC2034 # used by tools.sh
MDBOOK_VERSION=0.5.4
EMBEDDED_MAJOR=$(sed -n 's/^default = \([0-9]*\).*/\1/p' "$ROOT/postgresql.toml") # the one that is taken when nothing is said
# shellcheck disable=SC2034 # used by setup and test
MAJORS=$(sed -n 's/^\[major\.\([0-9]*\)\]$/\1/p' "$ROOT/postgresql.toml")
MAJORS=${MAJORS//$'\n'/ }

# ---- languages --------------------------------------------------------------------------------------------------------------
choose_language() { # LANGUAGE-OR-LOCALE: sets WORKBOOK_LANG
  case $1 in ja*) WORKBOOK_LANG=ja ;; *) WORKBOOK_LANG=en ;; esac
  export WORKBOOK_LANG
  # shellcheck disable=SC1090,SC1091
  . "$LIB/$WORKBOOK_LANG.sh"
}
declare -A MSG
choose_language "${WORKBOOK_LANG:-${LC_ALL:-${LC_MESSAGES:-${LANG:-en}}}}"

text() { # KEY ARGUMENTS...: prints the message, with {1} replaced by the first argument, and so on
  local message=${MSG[$1]} i
  for ((i = $# - 1; i > 0; i--)); do local n=$((i + 1)); message=${message//"{$i}"/"${!n}"}; done
  printf '%s\n' "$message"
}
QUIET=
say() { [ -n "$QUIET" ] || text "$@"; } # what was found: left out with --quiet
warn() { text "$@" >&2; }
# An error: MSG[key] is the cause, MSG[key.next] is what to type next.
die() {
  local key=$1; shift
  { text error "$(text "$key" "$@")"
    if [ "${MSG[$key.next]+x}" ]; then text next "$(text "$key.next" "$@")"; fi; } >&2
  exit 1
}

# need_value OPTION VALUE...: an option that stands last, or before another one, has none.
need_value() {
  case ${2:-} in
    '' | -*) { text error "$(text no_value "$1")"; text next "$HELP"; } >&2; exit 2 ;;
  esac
}
printf -v HELP '%q --help' "$0" # what prints the usage

# ---- places -----------------------------------------------------------------------------------------------------------------
# PostgreSQL's socket lives below the cache: its path may have 107 bytes, and cargo-pgrx passes it on without quotes.
suitable() { local LC_ALL=C; [ "${#1}" -le 45 ] && [[ ! $1 =~ [^A-Za-z0-9/._+-] ]] && [[ $1 == /* ]]; }

cache_root() {
  local c=${WORKBOOK_CACHE:-}
  if [ -z "$c" ]; then
    if [ "$(id -u)" = 0 ]; then c=/var/cache/bgworkbook; else c=${XDG_CACHE_HOME:-${HOME:-/}/.cache}/bgworkbook; fi
  fi
  suitable "$c" || c=/var/tmp/bgworkbook-$(id -u)
  printf '%s\n' "$c"
}
CACHE=$(cache_root)
TOOLS=$CACHE/tools
DOWNLOADS=$CACHE/dl
# One folder for each checkout, named after its path: two checkouts never share a server or an installed library.
HERE=$CACHE/$(printf %s "$ROOT" | sha256sum | cut -c1-8)
# Where the steps have their clusters. A test has them elsewhere, to leave the reader's alone.
# shellcheck disable=SC2034 # used by run and environment.sh
HOMES=${WORKBOOK_HOMES:-$HERE}

make_cache() {
  mkdir -p "$CACHE" "$TOOLS" "$DOWNLOADS" "$HERE" 2>/dev/null || die cache_not_ours "$CACHE"
  if [ ! -O "$CACHE" ] || [ ! -w "$HERE" ]; then die cache_not_ours "$CACHE"; fi
  [ -s "$HERE/checkout" ] || printf '%s\n' "$ROOT" > "$HERE/checkout"
}

# cargo's target folder. PostgreSQL's build tools do not like every path, so an unusual checkout builds in the cache.
target_dir() {
  if [ "${CARGO_TARGET_DIR:-}" ]; then printf '%s\n' "$CARGO_TARGET_DIR"
  elif unusual_checkout; then printf '%s\n' "$HERE/target"
  else printf '%s\n' "$ROOT/target"; fi
}
unusual_checkout() { local LC_ALL=C; [[ $ROOT =~ [^A-Za-z0-9/._+-] ]]; }

# ---- steps ------------------------------------------------------------------------------------------------------------------
# The steps in their order, then worker_spi, which has the name of PostgreSQL's sample.
list_steps() { (cd "$ROOT/steps" 2>/dev/null && for d in step[0-9]*_*/ worker_spi/; do if [ -f "$d/Cargo.toml" ]; then printf '%s\n' "${d%/}"; fi; done); }

# step3_spi_transaction -> step3
short_name() { case $1 in step*) echo "${1%%_*}" ;; *) echo "$1" ;; esac; }

# A number, "step3" or the full name -> the full name
resolve_step() {
  local want=$1 s
  for s in $(list_steps); do
    case $want in "$s" | "$(short_name "$s")" | "${s#step}" ) echo "$s"; return ;; esac
    [ "step$want" = "$(short_name "$s")" ] && { echo "$s"; return; }
  done
  die unknown_step "$want" "$(list_steps | sed 's/^/    /')"
}

# ---- one at a time ----------------------------------------------------------------------------------------------------------
# lock FILE: waits for whoever holds it. The descriptor is number 9: give 9>&- to what outlives the script.
lock() {
  exec 9>> "$1"
  flock -n 9 && return
  warn waiting_for_lock
  flock -w 1800 9 || die lock_timeout "$1"
}

# ---- long work with progress --------------------------------------------------------------------------------------------------
# progress LABEL LOG COMMAND...: runs it with its output in LOG; says how far it is: on one line on a terminal, else every 20 s.
progress() {
  local label=$1 log=$2 fd status start=$SECONDS shown=0 seconds crates line; shift 2
  : > "$log"
  exec {fd}< <("$@" > "$log" 2>&1 < /dev/null 9>&- && echo finished)
  while :; do
    if read -r -t 1 -u "$fd" _; then status=0; break; elif [ $? -le 128 ]; then status=1; break; fi # > 128: a second has passed
    seconds=$((SECONDS - start))
    crates=$(grep -c '^ *Compiling ' "$log" || true)
    if [ "$crates" = 0 ]; then line=$(text progress "$label" "$seconds"); else line=$(text progress_crates "$label" "$seconds" "$crates"); fi
    if [ -t 1 ]; then printf '\r\033[K%s' "$line"
    elif [ $((seconds / 20)) -gt $shown ]; then shown=$((seconds / 20)); printf '%s\n' "$line"; fi
  done
  exec {fd}<&-
  if [ -t 1 ]; then printf '\r\033[K'; fi
  [ $status != 0 ] || text progress_done "$label" $((SECONDS - start))
  return $status
}

# ---- servers ----------------------------------------------------------------------------------------------------------------
# Servers run as the user who has typed the command; root's as nobody, and root in a container may not look into nobody's processes.
as_server() { if [ "$(id -u)" = 0 ]; then setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups -- "$@"; else "$@"; fi; }

# Whether a process is PostgreSQL's and works in this data directory. A number alone says nothing: after a reboot, or in a container,
# another process has it. A zombie works nowhere: where process 1 buries no orphans, a server that has ended stays one for ever.
works_in() { # DATA PID
  local name
  { read -r name < "/proc/$2/comm"; } 2> /dev/null && [[ $name == postgres* ]] && as_server test "/proc/$2/cwd" -ef "$1" 2> /dev/null
}

# The process id of the server of a data directory, if it lives. Its children work there, too; they have a title.
server_pid() {
  local pid title
  { read -r pid < "$1/postmaster.pid"; } 2>/dev/null || return 1
  [[ $pid =~ ^[0-9]+$ ]] && works_in "$1" "$pid" || return 1
  { IFS= read -r -d '' title < "/proc/$pid/cmdline"; } 2> /dev/null && [[ $title != postgres:* ]] && echo "$pid"
}

# Removes what a killed server has left beside its data directory: where its number is another process's, PostgreSQL would not start,
# and pg_ctl would stop that process.
remove_stale_locks() { # DATA
  local file pid of
  for file in "$1/postmaster.pid" "${1%/*}"/.s.PGSQL.*.lock; do
    { { read -r pid && read -r of; } < "$file"; } 2> /dev/null || continue
    if [[ $pid =~ ^[0-9]+$ ]] && [ "$of" -ef "$1" ] && ! works_in "$1" "$pid"; then rm -f "$file"; fi # below 0: single-user mode
  done
}

# Stops the server of a data directory (no pg_ctl: its PostgreSQL may be gone): a fast shutdown, and for a worker that does not listen,
# an immediate one.
stop_server() {
  local pid signal i
  pid=$(server_pid "$1") || return 0
  for signal in INT QUIT; do
    kill -s $signal "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 150; i++)); do works_in "$1" "$pid" || return 0; sleep 0.1; done
  done
  return 1
}

# ---- what set-up has made -----------------------------------------------------------------------------------------------------
# Which PostgreSQL is meant when no --pg is given: a major, the path of a pg_config, or nothing.
chosen_pg() { printf '%s\n' "${WORKBOOK_PG:-${PG_CONFIG:-}}"; }
is_number() { [[ $1 =~ ^[0-9.]+$ ]]; }
one_major() { if is_number "$1" || [ "$1" = all ]; then known_major "$1"; fi; } # where it must be one, or a path
known_major() { [[ " $MAJORS " == *" $1 "* ]] || die unknown_major "$1" "$MAJORS"; }

# The pg_config of the private PostgreSQL: that of a major, or the copy of a pg_config of the reader's.
selected_pg_config() {
  if [ -z "$1" ]; then echo "$HERE/pg/$EMBEDDED_MAJOR/bin/pg_config"
  elif is_number "$1"; then echo "$HERE/pg/$1/bin/pg_config"
  else cat "$(copy_of "$1")/pg_config_path" 2>/dev/null || true; fi
}
# The folder of the copy: a new one when the original has been updated or replaced.
copy_of() {
  local config
  config=$(realpath -- "$1" 2>/dev/null) || config=$1
  echo "$HERE/pg/own-$({ echo "$config"; "$config" --version --bindir --configure 2>/dev/null; stat -Lc '%Y %s' "$("$config" --bindir 2>/dev/null)/postgres" 2>/dev/null; } | sha256sum | cut -c1-6)"
}

# shellcheck source=rust.sh
. "$LIB/rust.sh"
