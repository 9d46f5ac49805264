# shellcheck shell=bash
# The tools that are built with cargo: cargo-pgrx and mdBook; and system packages. Sourced after common.sh.

# A cargo-pgrx of exactly our version: the private one, or the reader's. Prints its path.
find_cargo_pgrx() {
  local p=$TOOLS/cargo-pgrx-$PGRX_VERSION/bin/cargo-pgrx
  if [ -x "$p" ]; then echo "$p"; return; fi
  for p in "${CARGO_HOME:-${HOME:-/}/.cargo}/bin/cargo-pgrx" "$(command -v cargo-pgrx || true)"; do
    if [ -x "$p" ] && [ "$(tool_version "$p" pgrx)" = "$PGRX_VERSION" ]; then echo "$p"; return; fi
  done
  return 1
}
tool_version() { "$@" --version 2>/dev/null | sed -n 's/^[a-z-]* v\{0,1\}\([0-9][0-9a-z.-]*\).*/\1/p' | head -n 1; }
find_mdbook() {
  local p=$TOOLS/mdbook-$MDBOOK_VERSION/bin/mdbook
  if [ -x "$p" ]; then echo "$p"; return; fi
  p=$(command -v mdbook) && [ "$(tool_version "$p")" = "$MDBOOK_VERSION" ] && echo "$p"
}

# Built without optimisation (a quarter of the time, and as good for this use) and without TLS (we never let it download).
# The build folder survives an interruption, so that the next run goes on; what is installed appears whole or not at all.
build_tool() { # NAME VERSION FLAGS...
  local name=$1 version=$2 work=$TOOLS/.build-$1-$2; shift 2
  rm -rf "$work/root"
  text tool_build "$name" "$version" "$TOOLS"
  progress "cargo install $name" "$CACHE/$name.log" env -u RUSTFLAGS CARGO_TARGET_DIR="$work/target" CARGO_TERM_PROGRESS_WHEN=never \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_STRIP=debuginfo \
    cargo install "$name" --version "$version" --locked --root "$work/root" "$@" ||
    die tool_failed "$name $version" "$CACHE/$name.log" "$(tail -n 8 "$CACHE/$name.log")"
  rm -rf "${TOOLS:?}/$name-$version"
  mv "$work/root" "$TOOLS/$name-$version"
  rm -rf "$work"
}
# The programs of workbook/ that scripts call before anything else is there. That one is built is said only where it takes its time.
build_program() { # NAME: sets PROGRAM
  local target log=$CACHE/$1.log build
  target=$(target_dir)
  PROGRAM=$target/debug/$1
  build=(env -u RUSTFLAGS CARGO_TARGET_DIR="$target" cargo build --package "$1" --manifest-path "$ROOT/Cargo.toml")
  if [ -x "$PROGRAM" ]; then "${build[@]}" > "$log" 2>&1 9>&-
  else progress "cargo build $1" "$log" "${build[@]}"; fi && return
  [ "$1" != cluster ] || die cluster_failed "$log" "$(tail -n 8 "$log")"
  die tool_failed "$1" "$log" "$(tail -n 8 "$log")"
}
# mdBook, and what it calls: our own xtask. Built here, it waits for no other cargo when the book is built.
# What a book passes through is optimised a little: a quarter more of the time here, a third of the time for each book.
need_mdbook() {
  local p flags=()
  build_program xtask
  export XTASK=$PROGRAM
  if find_mdbook > /dev/null; then return; fi
  for p in elasticlunr-rs pest handlebars regex regex-automata memchr aho-corasick sha2 serde_json pulldown-cmark html5ever ego-tree mdbook-{html,driver,core,markdown}; do
    flags+=(--config "profile.release.package.$p.opt-level=1")
  done
  build_tool mdbook "$MDBOOK_VERSION" "${flags[@]}"
}

# Whether a C compiler is here, with the headers of the C library.
has_cc() { command -v cc > /dev/null && printf '#include <stdio.h>\nint main(void){return 0;}\n' | cc -x c -o /dev/null - 2> /dev/null; }

# Installs `packages`, which bring `what`: tools and Debian packages that the caller has found to be missing.
what=() packages=()
install_packages() {
  local as_root=() log=$CACHE/apt.log
  command -v apt-get > /dev/null || die no_apt "${what[*]}"
  text need_packages "${what[*]}" "${packages[*]}"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || die no_sudo "${what[*]}" "${packages[*]}"
    text need_sudo
    if [ -t 0 ]; then sudo -v || die no_sudo "${what[*]}" "${packages[*]}"
    else sudo -n true 2> /dev/null || die no_sudo "${what[*]}" "${packages[*]}"; fi
    as_root=(sudo)
  fi
  # shellcheck disable=SC2317 # progress calls them
  apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@"; }
  # shellcheck disable=SC2317
  apt_all() { apt update && apt install -y --no-install-recommends "${packages[@]}"; }
  progress "$(text apt)" "$log" apt_all || die apt_failed "${packages[*]}" "$(tail -n 5 "$log")"
}
