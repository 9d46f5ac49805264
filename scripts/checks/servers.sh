#!/usr/bin/env bash
# shellcheck disable=SC2016 # small scripts are written in single quotes here
# Whose server it is. A postmaster.pid that a killed server has left names a number, and numbers come again, after a reboot or in a
# container: then another PostgreSQL of the reader's has it, or any other process. Whatever the scripts do, that one lives on.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"

# shellcheck disable=SC2153 # common.sh sets them
pg=$HERE/pg tools=$TOOLS downloads=$DOWNLOADS
export WORKBOOK_LANG=en WORKBOOK_CACHE=$TMP/c
unset PG_CONFIG WORKBOOK_PG WORKBOOK_HOMES PGRX_HOME WORKBOOK_STEP
here=$WORKBOOK_CACHE/${HERE##*/} major=$EMBEDDED_MAJOR
bin=$here/pg/$major/bin data=$here/step1/data-$major run=$ROOT/scripts/run
export ROOT LIB TMP here bin data run
# A cache of our own with set-up's tools, but for a cargo-pgrx that builds nothing: no worker is needed here.
mkdir -p "$WORKBOOK_CACHE/tools/cargo-pgrx-$PGRX_VERSION/bin"
ln -s "$downloads" "$WORKBOOK_CACHE/dl"
ln -s "$tools"/* "$WORKBOOK_CACHE/tools/" 2> /dev/null
printf '#!/bin/sh\necho cargo-pgrx %s\n' "$PGRX_VERSION" > "$WORKBOOK_CACHE/tools/cargo-pgrx-$PGRX_VERSION/bin/cargo-pgrx"
chmod +x "$WORKBOOK_CACHE/tools/cargo-pgrx-$PGRX_VERSION/bin/cargo-pgrx"
cluster() { # of step 1
  mkdir -p "$here"; ln -sfn "$pg" "$here/pg"
  "$LIB/environment.sh" step1 --quiet > /dev/null
}
start() { "$bin/pg_ctl" start -w -D "$1" -l "$TMP/log" -o "-c listen_addresses= -c shared_preload_libraries= -c unix_socket_directories=${2:-.}" > /dev/null 2>&1; }
export -f start
user=() # whoever the servers run as
if [ "$(id -u)" = 0 ]; then user=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups); fi

# ---- what is the reader's own: a server with its processes, and something else
cluster
"$bin/initdb" -D "$TMP/pgother" -A trust --no-sync > /dev/null 2>&1
others() { # anew where one of them is gone
  [ -z "$(as_it_was 2> /dev/null)" ] || start "$TMP/pgother"
  read -r server < "$TMP/pgother/postmaster.pid"
  backend=$(pgrep -P "$server" -f checkpointer)
  kill -0 "$process" 2> /dev/null || { "${user[@]}" env --default-signal=INT sleep 1000 & process=$!; }
}
server=- backend=- process=-
trap 'kill $process; finish' EXIT
as_it_was() { # neither stopped nor restarted
  if [ "$(pgrep -P "$server" -f checkpointer 2> /dev/null)" = "$backend" ] && kill -0 "$process" 2> /dev/null &&
    [ "$("$pg/$major/bin/psql" -XAtc 'SELECT 1' -h "$TMP/pgother" postgres 2> /dev/null)" = 1 ]; then return; fi
  echo "it is not:"; tail -n 5 "$TMP/log"
}
left() { # DATA PID: the file as a killed server leaves it
  mkdir -p "$1"; echo "$major" > "$1/PG_VERSION"
  printf '%s\n' "$2" "$1" 1700000000 12345 "$here/step1" 127.0.0.1 '  12345678       123' 'ready   ' > "$1/postmaster.pid"
  if [ "$(id -u)" = 0 ]; then chown -R nobody: "$1"; fi
}

# The script that `cargo workbook new` gives to an extension of one's own stands alone.
mkdir -p "$TMP/mine/bin"
sed "s/@MAJOR@/$major/; s/@NAME@/mine/; s/@SCHEMA@/mine/; s/@PORT@/29000/" "$ROOT/workbook/cli/templates/run" > "$TMP/mine/run"
printf '#!/bin/sh\n' > "$TMP/mine/bin/cargo"; chmod +x "$TMP/mine/run" "$TMP/mine/bin/cargo"
mine() { PATH=$TMP/mine/bin:$PATH PG_CONFIG=$bin/pg_config "$TMP/mine/run" "$@"; }; export -f mine

for kind in server backend process; do
  others
  verdict "another server runs" "$(as_it_was)"
  left "$data" "${!kind}"
  expect "a stale file names another $kind: there is nothing to stop" 0 "Nothing of this checkout is running" "!stopped" -- "$run" --stop
  expect "to select the step removes the file" 0 "removed" -- bash -c '"$LIB/environment.sh" step1 --quiet > /dev/null && [ ! -e "$data/postmaster.pid" ] && echo removed'
  verdict "the other $kind is as it was" "$(as_it_was)"
  others
  left "$TMP/mine/.run/data-$major" "${!kind}"
  LIMIT=20 expect "an extension of one's own has nothing to stop" fail "PID file" "!stopped" -- bash -c 'mine stop'
  others
  left "$TMP/mine/.run/data-$major" "${!kind}"
  LIMIT=20 expect "and is started" fail "could not access the server configuration file" -- bash -c mine # there is none
  verdict "the other $kind is as it was" "$(as_it_was)"
  others
  left "$data" "${!kind}"
  LIMIT=400 expect "run starts a server" 1 "PostgreSQL did not start: it has to preload" "!cannot be stopped" -- "$run" step1 # there is no such library
  verdict "the other $kind is as it was after run" "$(as_it_was)"
  others
  left "$data" "${!kind}"
  expect "clean stops nothing, and removes what is ours" 0 "!stopped" "removed  $here (" -- "$ROOT/scripts/clean"
  verdict "the other $kind is as it was after clean" "$(as_it_was)"
  cluster
done

others
expect "where HOME is not set, a step can be selected all the same" 0 "PGRX_HOME=$here/step1" -- env -u HOME -u CARGO_HOME "$LIB/environment.sh" step1 --quiet

# ---- ours is found, however it was started and wherever we are
expect "a server of ours, started by hand from the folder above" 0 "stopped  the server of step1" -- bash -c 'cd "$here/step1" && start data-18 .. && "$run" --stop'
if [ "$(id -u)" = 0 ]; then
  # Root in a container may look into no other user's process.
  expect "in a container, where root may do less" 0 "stopped  the server of step1" -- setpriv --bounding-set -sys_ptrace bash -c 'start "$data" .. && "$run" --stop'
  verdict "nor does it take another server for ours there" "$(left "$data" "$server"; setpriv --bounding-set -sys_ptrace "$run" --stop | grep -v Nothing; as_it_was; rm "$data/postmaster.pid")"
fi
# Where process 1 buries no orphans, a killed server stays in the process table.
cluster
"${user[@]}" bash -c 'cd /; "$bin/postgres" -D "$data" -c listen_addresses= -c shared_preload_libraries= -c unix_socket_directories=.. > /dev/null 2>&1 & exec sleep 1000' & parent=$!
await() { local i; for ((i = 0; i < 100; i++)); do if "$@"; then return; fi; sleep 0.1; done; return 1; } # the process table sends no event
await server_pid "$data" > /dev/null; ours=$(server_pid "$data")
kill -KILL "$ours"
unburied() { [[ $(ps -o stat= -p "$ours") == Z* ]]; }
verdict "killed, and not buried" "$(await unburied || ps -o pid,stat,args -p "$ours")"
expect "a server that nobody has buried is none" 0 "Nothing of this checkout is running" -- "$run" --stop
cluster
expect "and another one is started in its place" 0 "stopped  the server of step1" -- bash -c 'start "$data" .. && "$run" --stop'
kill "$parent"
