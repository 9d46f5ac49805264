#!/usr/bin/env bash
# environment.sh STEP [--pg MAJOR|PATH]: makes the step's PGRX_HOME (its own database cluster, port and preload setting) if it is
# missing, and prints the shell commands that select it. scripts/env and scripts/run evaluate them. Messages go to stderr.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tools.sh
. "$LIB/tools.sh"
exec 3>&1 1>&2

want='' pg=$(chosen_pg) HELP='. scripts/env --help'
while [ $# -gt 0 ]; do
  case $1 in
    --pg) need_value "$@"; pg=$2; shift ;;
    --lang) need_value "$@"; choose_language "$2"; shift ;;
    --quiet) QUIET=1 ;;
    -h | --help) want=''; break ;;
    -*) die unknown_option "$1" ;;
    *) want=$1 ;;
  esac
  shift
done
[ -n "$want" ] || { text usage_env "$(list_steps | sed 's/^/    /')"; exit 2; }
step=$(resolve_step "$want")
one_major "$pg"

# ---- what set-up has made
prefix_config=$(selected_pg_config "$pg")
tool_path=$(find_cargo_pgrx) || tool_path=''
if [ ! -x "$prefix_config" ] || [ -z "$tool_path" ]; then die not_set_up; fi
version=$("$prefix_config" --version); version=${version#PostgreSQL }
major=${version%%[!0-9]*}

# ---- the PGRX_HOME
home=$HOMES/$(short_name "$step")
data=$home/data-$major
mkdir -p "$home" "$HERE/t"
if [ "$(id -u)" = 0 ]; then chown nobody: "$home" "$HERE/t"; fi # sockets are made there by the server
exec 9>> "$home/.lock"; flock 9 # two shells at once: one makes it, the other finds it

if [ ! -d "$data" ]; then
  rm -rf "$data.new" # what an interrupted run has left
  # Made under another name and renamed: there is a whole cluster or none. UTF-8 as cargo-pgrx does it.
  locale=C; if locale -a 2>/dev/null | grep -qi '^C.utf-\?8$'; then locale=C.UTF-8; fi
  out=$("${prefix_config%/*}/initdb" -D "$data.new" --locale=$locale --encoding=UTF8 --no-sync --auth=trust 2>&1 9>&-) ||
    die initdb_failed "$data" "$(tail -n 8 <<< "$out")"
  mv "$data.new" "$data"
fi
remove_stale_locks "$data"
cat > "$data/workbook.conf" << CONF
# Written by the workbook's scripts each time a step is selected. Your own settings: ALTER SYSTEM, or postgresql.conf.
shared_preload_libraries = '$step'
lc_messages = 'C'
log_line_prefix = '%m [%p] '
CONF
# The include stands last, where it wins.
if [ "$(tail -n 1 "$data/postgresql.conf")" != "include = 'workbook.conf'" ]; then
  sed -i "/^include = 'workbook.conf'/d" "$data/postgresql.conf"
  echo "include = 'workbook.conf'" >> "$data/postgresql.conf"
  if [ "$(id -u)" = 0 ]; then chown nobody: "$data/postgresql.conf"; fi # sed -i has made a new file
fi
# ALTER SYSTEM has the last word. In this cluster exactly the step is preloaded: a library that is gone would keep the server down.
auto=$data/postgresql.auto.conf
if other=$(grep -s '^shared_preload_libraries' "$auto") && [ "$other" != "shared_preload_libraries = '$step'" ]; then
  warn preload_overridden "${other#*= }" "$step"
  sed -i '/^shared_preload_libraries/d' "$auto"
  if [ "$(id -u)" = 0 ]; then chown nobody: "$auto"; fi
fi

# ---- the port: derived from the checkout and the step; another one when a foreign program has it
in_use() { local hex; hex=$(printf %04X "$1"); grep -qsE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A" /proc/net/tcp /proc/net/tcp6; }
number=$(short_name "$step"); number=${number#step}; [[ $number =~ ^[0-9]+$ ]] || number=9 # worker_spi comes after the steps
first=$((16#${HERE##*/} % 150 * 100))
[ -e "$home/config.toml" ] || touch "$home/config.toml"
base=$(sed -n 's/^base_port = //p' "$home/config.toml")
if [ -z "$base" ] || { ! server_pid "$data" > /dev/null && in_use $((base + major)); }; then
  taken=$base; base=''
  for ((i = 0; i < 140; i++)); do # 110 further each time: past the ports of this checkout's other steps
    candidate=$((10000 + (first + number % 10 * 10 + i * 110) % 15000))
    in_use $((candidate + major)) || { base=$candidate; break; }
  done
  [ -n "$base" ] || die no_port 10000 25000
  if [ -n "$taken" ]; then warn port_taken $((taken + major)) "$step" $((base + major)); fi
fi
# The other majors of this home stay in the file, as long as they exist.
configs=$({ printf 'pg%s = "%s"\n' "$major" "$prefix_config"
  sed -n 's/^\(pg[0-9]* = \)"\(.*\)"$/\1 \2/p' "$home/config.toml" |
    while read -r name _ path; do if [ "$name" != "pg$major" ] && [ -x "$path" ]; then printf '%s = "%s"\n' "$name" "$path"; fi; done; } | sort)
printf 'base_port = %s\nbase_testing_port = %s\n\n[configs]\n%s\n' "$base" $((base + 6000)) "$configs" > "$home/config.toml.new"
if cmp -s "$home/config.toml.new" "$home/config.toml"; then
  rm "$home/config.toml.new"
else
  mv "$home/config.toml.new" "$home/config.toml"
fi

# cargo would compile the bindings of all majors anew whenever this file is newer than they are: a new port, or a further major,
# is no reason for that. So it is always old.
touch -d @0 "$home/config.toml"

# The bindings are compiled from the headers of one PostgreSQL. When the same major comes from another place than the last time,
# they have to be compiled again: cargo does so when the output of their build script is gone.
target=$(target_dir)
made_from="$prefix_config in $target"
if [ "$(cat "$HERE/bindings-$major" 2> /dev/null)" != "$made_from" ]; then
  if [ -e "$HERE/bindings-$major" ]; then
    for d in "$target"/{*,workshops/*/*}/build/pgrx-pg-sys-*/out/pg"$major".rs; do rm -f "${d%/out/*}/output"; done
  fi
  echo "$made_from" > "$HERE/bindings-$major"
fi

# ---- what the shell has to know
set_variable() { printf 'export %s=%q\n' "$1" "$2" >&3; }
set_variable PGRX_HOME "$home"
set_variable CARGO_PGRX_TEST_PGDATA "$HERE/t"
# Without this, cargo-pgrx links `run` and `test` with different flags, and cargo builds pgrx once for each.
set_variable CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND 1
set_variable USER "$(id -un)" # pgrx's tests connect as $USER, the cluster's superuser is who we are
set_variable WORKBOOK_ROOT "$ROOT"
set_variable WORKBOOK_STEP "$step"
set_variable WORKBOOK_LANG "$WORKBOOK_LANG"
set_variable WORKBOOK_PG_CONFIG "$prefix_config"
set_variable WORKBOOK_PG_MAJOR "$major"
set_variable WORKBOOK_PORT $((base + major))
if [ -z "${CARGO_TARGET_DIR:-}" ] && unusual_checkout; then set_variable CARGO_TARGET_DIR "$HERE/target"; fi
# cargo looks for subcommands in $CARGO_HOME/bin first, unless that folder is in PATH itself: then the order of PATH counts.
path=:$PATH:
while [[ $path =~ :($TOOLS/[^:]*|${CARGO_HOME:-$HOME/.cargo}/bin): ]]; do path=${path/":${BASH_REMATCH[1]}:"/:}; done # those of an earlier time
path=${path#:}; path=${path%:}
rust=''
if [ "${RUSTUP_TOOLCHAIN:-}" = "$RUST_PREFIX" ]; then set_variable RUSTUP_TOOLCHAIN "$RUST_PREFIX"; rust=$RUST_PREFIX/bin:; fi
set_variable PATH "$rust${tool_path%/*}:${CARGO_HOME:-$HOME/.cargo}/bin:$path"
# The user's flags would make cargo build PostgreSQL's bindings again; PGRX_PG_CONFIG_PATH would make pgrx ignore this PGRX_HOME.
if [ "${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-}" ]; then warn rustflags; fi
echo 'unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS PGRX_PG_CONFIG_PATH PG_VERSION' >&3

say env_ready "$step" "$home" "$version" $((base + major)) "steps/$step" "$major"
if [ ! -e "$("$prefix_config" --pkglibdir)/$step.so" ]; then say env_not_installed "$step"; fi
