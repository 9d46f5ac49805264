#!/usr/bin/env bash
# scripts/ready says that a machine is ready when it is, and only then: its last line and its exit code.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"
export LIMIT=600 USER=${USER:-$(id -un)} # a container may not set it: the doctor minds

last() { tail -n 1 <<< "$OUT"; }
expect "a machine that is ready" 0 "短い検査はすべて合格です" "== 4/4" -- "$ROOT/scripts/ready" --lang ja
verdict "says so in its last line" "$([[ $(last) == 準備完了* ]] || last)"
expect "a fault that the doctor finds" 3 "FAULT" "!Ready for the workshop" "!== 3/4" -- env PGRX_PG_CONFIG_PATH=/nowhere "$ROOT/scripts/ready" --lang en
verdict "is said in its last line" "$([[ $(last) == *"not ready for the workshop"* ]] || last)"
mkdir "$TMP/bin"
for p in bash sh env id sed cut sha256sum dirname basename sort date uname mkdir flock rm stat; do ln -s "$(type -P "$p")" "$TMP/bin/"; done
expect "no Rust" 1 "no Rust compiler" "next: install Rust" "not ready for the workshop" -- env PATH="$TMP/bin" CARGO_HOME="$TMP/none" WORKBOOK_CACHE="$TMP/c" "$ROOT/scripts/ready" --lang en
expect "an unknown option" 2 "--nonsense" "usage" "!not ready" -- "$ROOT/scripts/ready" --nonsense --lang en
