# shellcheck shell=bash disable=SC2153 # variables of common.sh
# PostgreSQL's own worker_spi: its tests, and the C sample. Sourced after common.sh, tools.sh and majors.sh. What is fetched stays in
# $DOWNLOADS/worker_spi-SERIES (module/ and perl/); nothing of it is in this repository.

upstream_series() { table_of "$1" | sed -n 's/^worker_spi = //p' | grep . || echo "$1"; } # MAJOR: whose tests are run
# No source of 19 can be fetched yet. Its first test is that of 18, so it judges ours; the C sample and the install script of 18 do not
# fit it, and its second test is not there. What that one demands, the checks `interruptible` and `not_interruptible` demand.
upstream_kinds() { case $1 in 19) echo none ours ;; *) echo none c ours script ;; esac; }
upstream_of() { echo "$DOWNLOADS/worker_spi-$(upstream_series "$1")"; }

get_upstream() { # MAJOR
  if [ -e "$(upstream_of "$1")" ]; then return; fi
  lock "$CACHE/.lock"
  ask_cluster worker_spi "$1"
  exec 9>&-
}

# An installation of its own, without the libraries that will be installed into it: $HERE/upstream/MAJOR-KIND. It stands as deep below $HERE as the original, since
# the programs find their libraries relative to themselves. Prints the path of its pg_config.
fresh_installation() { # MAJOR KIND
  local from=$HERE/pg/$1 to=$HERE/upstream/$1-$2 config
  rm -rf "$to"; mkdir -p "$HERE/upstream"
  cp -al "$from" "$to" 2> /dev/null || { rm -rf "$to"; cp -a "$from" "$to"; }
  config=$(cd "$to/bin" && pwd -P)/pg_config
  # Links to the files of the original: what is installed must be new files, so the old names go.
  for p in worker_spi step7_dynamic_launch; do
    rm -f "$("$config" --pkglibdir)/$p.so" "$("$config" --sharedir)/extension/$p"{.control,--*.sql}
  done
  echo "$config"
}

# The C sample, built with PGXS as its own Makefile does it. 16 hides what is not exported by name, and the sources of 15 do not know
# that yet; Debian's 15 would also like to have the code for LLVM. The warnings go, since this compiler may not know them all.
install_c() { # MAJOR PG_CONFIG LOG
  local work=$HERE/upstream/c-$1 flags=()
  flags=("CFLAGS=$("$2" --cflags | sed -E 's/(^| )-W[^ ]*//g')")
  rm -rf "$work"; cp -r "$(upstream_of "$1")/module" "$work"
  if [ "$1" = 16 ]; then flags+=(CFLAGS_SL_MODULE=); fi
  env -u MAKEFLAGS make -C "$work" USE_PGXS=1 "PG_CONFIG=$2" with_llvm=no "${flags[@]}" install > "$3" 2>&1 || die upstream_c_failed "$3" "$(tail -n 8 "$3")"
}

# Our library, as `cargo pgrx install` does it.
install_ours() { install_crate worker_spi "$@"; } # MAJOR PG_CONFIG LOG FLAGS...
install_crate() { # CRATE MAJOR PG_CONFIG LOG FLAGS...
  local crate=$1 major=$2 config=$3 log=$4 environment; shift 4
  environment=$("$LIB/environment.sh" "$crate" --quiet --pg "$major")
  (
    eval "$environment"
    cd "$ROOT/steps/$crate"
    cargo pgrx install "$@" --no-default-features --features "pg$major" --pg-config "$config"
  ) > "$log" 2>&1 || die upstream_rust_failed "$log" "$(tail -n 15 "$log")"
}

# Files that root has made, for the user as whom PostgreSQL runs.
readable() { chmod -R a+rX "$@"; }
# PostgreSQL refuses root, and so do its tests.
as_server_user() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups --no-new-privs -- env USER=nobody HOME=/nonexistent "$@"
  else "$@"; fi
}

# PostgreSQL's tests of worker_spi, against what is installed there. Their output goes to OUT/output.
# 15 and 16: pg_regress, one test; 17 and later: a TAP script of 8 tests.
run_suite() { # MAJOR PG_CONFIG OUT
  local major=$1 config=$2 out=$3 module bin status=0
  module=$(upstream_of "$major")/module bin=$("$config" --bindir)
  rm -rf "$out"; mkdir -p "$out"
  if [ "$(id -u)" = 0 ]; then chown nobody: "$out"; fi
  local regress; regress=$(dirname "$("$config" --pgxs)")/../../src/test/regress/pg_regress
  if [ "$major" -le 16 ]; then
    (cd "$out" && as_server_user timeout --kill-after=10 300 "$regress" --temp-instance="$out/instance" --temp-config="$module/dynamic.conf" \
      --bindir="$bin" --inputdir="$module" --outputdir="$out" --dbname=contrib_regression --port=$((20000 + RANDOM % 10000)) worker_spi)
  else
    # Only its --config-auth is called, which is the same in all majors. That of the embedded 18 crashes at once.
    if ! "$regress" --version > /dev/null 2>&1; then
      config=$(selected_pg_config 16); regress=$(dirname "$("$config" --pgxs)")/../../src/test/regress/pg_regress
    fi
    (cd "$module" && as_server_user timeout --kill-after=10 300 env TESTDATADIR="$out/data" TESTLOGDIR="$out/log" PG_REGRESS="$regress" \
      PATH="$bin:$PATH" PGPORT=$((20000 + RANDOM % 10000)) enable_injection_points=no prove -v -I "$(upstream_of "$major")/perl" -I . t/*.pl)
  fi > "$out/output" 2>&1 || status=$?
  return $status
}
