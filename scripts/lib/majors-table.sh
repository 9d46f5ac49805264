#!/usr/bin/env bash
# The table of step by major: what a whole run saw, and whether README and book (which includes steps/majors.md) say the same.
#   majors-table.sh check [RESULTS]   status 1 and the difference when a committed table is stale
#   majors-table.sh write RESULTS     writes it
# RESULTS has a line for each step and major: STEP MAJOR TESTS CHECKS.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

TABLE=$ROOT/steps/majors.md
table() { # RESULTS: a cell is "tests + checks", or the tests alone
  awk '{ steps[$1] = 1; majors[$2] = 1; cell[$1, $2] = $3 ($4 > 0 ? " + " $4 : "") }
    function sorted(set, out,   k, n, i, j, t) {
      for (k in set) out[++n] = k
      for (i = 2; i <= n; i++) for (j = i; j > 1 && out[j] < out[j - 1]; j--) { t = out[j]; out[j] = out[j - 1]; out[j - 1] = t }
      return n
    }
    END {
      n = sorted(steps, s); m = sorted(majors, v)
      line = "| PostgreSQL |"; rule = "|---|"
      for (j = 1; j <= m; j++) { line = line " " v[j] " |"; rule = rule "---|" }
      print line; print rule
      for (i = 1; i <= n; i++) {
        line = "| `" s[i] "` |"
        for (j = 1; j <= m; j++) line = line " " cell[s[i], v[j]] " |"
        print line
      }
    }' "$1"
}
section() { sed -n '/^<!-- from steps\/majors.md -->$/,/^$/p' "$1" | sed '1d;/^$/d'; }

case ${1:-} in
  check)
    status=0
    if [ -n "${2:-}" ] && ! diff <(table "$2") "$TABLE"; then text table_stale "${TABLE#"$ROOT"/}"; status=1; fi
    for f in README.md README.ja.md; do
      diff <(section "$ROOT/$f") "$TABLE" || { text table_stale "$f"; status=1; }
    done
    [ $status = 0 ] || text next 'scripts/test --pg all; scripts/test --write-table'
    exit $status ;;
  write)
    [ -s "${2:-}" ] || die no_results
    table "$2" > "$TABLE"
    for f in README.md README.ja.md; do
      awk -v table="$TABLE" '
        /^<!-- from steps\/majors.md -->$/ { print; while ((getline line < table) > 0) print line; old = 1; next }
        old && /^$/ { old = 0 }
        !old' "$ROOT/$f" > "$ROOT/$f.new"
      cat "$ROOT/$f.new" > "$ROOT/$f"; rm "$ROOT/$f.new"
    done ;;
  *) exit 2 ;;
esac
