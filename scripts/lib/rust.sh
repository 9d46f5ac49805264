# shellcheck shell=bash disable=SC2016,SC2317 # the linker's word in single quotes; functions that progress calls
# The Rust of rust-toolchain.toml. Readers have it from rustup, which fetches it by itself. Where rustup cannot (no network but Debian's,
# or no rustup), Debian's own archive has the compiler that it builds browsers with: rustc-web, at least as new, signed by Debian. It
# is unpacked into the private cache and not installed. Sourced by common.sh, so each script uses it once set-up has fetched it.

RUST_VERSION=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
RUST_PREFIX=$TOOLS/rust-$RUST_VERSION

# The version of the compiler that cargo would use here, or nothing.
rust_version() { (cd "$ROOT" && rustc --version 2> /dev/null) | sed -n 's/^rustc \([0-9.]*\).*/\1/p' || true; }
recent_rust() { [ -n "$1" ] && [ "$(printf '%s\n' "$RUST_VERSION" "$1" | sort -V | head -n 1)" = "$RUST_VERSION" ]; }

# RUSTUP_TOOLCHAIN for rustup's cargo wherever it stands in PATH, and PATH for where there is no rustup.
use_debian_rust() {
  [ -x "$RUST_PREFIX/bin/cargo" ] || return 1
  export RUSTUP_TOOLCHAIN=$RUST_PREFIX
  [[ :$PATH: == *":$RUST_PREFIX/bin:"* ]] || PATH=$RUST_PREFIX/bin:$PATH
}

get_debian_rust() { # sets why where it fails
  local apt=$DOWNLOADS/.rust new=$TOOLS/.new-rust log=$CACHE/rust.log
  command -v apt-get > /dev/null || return 1
  rm -rf "$apt" "$new"; mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/got" "$apt/root" "$new/lib"
  # This machine's sources, but lists of our own: an ordinary user may fetch them, and the machine's stay as they are.
  our_apt() { apt-get -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none -o Acquire::Retries=2 "$@"; }
  fetch_rust() {
    local packages
    our_apt update || return
    packages=$(our_apt -s --no-install-recommends install rustc-web cargo-web rust-web-clippy rustfmt-web patchelf) || return
    # Of what would be installed: the compiler and the libraries that this machine lacks. The C compiler's are set-up's business.
    packages=$(sed -n 's/^Inst \([^ ]*\).*/\1/p' <<< "$packages" | grep -E '^(rust|cargo|patchelf|libstd-rust|lib.*[0-9]$)' | grep -vE '^lib(gcc|cc|asan|lsan|tsan|ubsan|hwasan|itm|atomic|gomp|quadmath|isl|mpc|mpfr|gmp|binutils|ctf)') || return
    # shellcheck disable=SC2086 # several words
    cd "$apt/got" && our_apt download $packages
  }
  unpack_rust() {
    local p patchelf=$apt/root/usr/bin/patchelf
    for p in "$apt"/got/*.deb; do dpkg-deb -x "$p" "$apt/root" || return; done
    if [ -x "$patchelf" ]; then mv "$patchelf" "$apt/" && patchelf=$apt/patchelf; else patchelf=patchelf; fi
    mv "$apt/root/usr/bin" "$new/bin" && mv "$apt/root/usr/lib/rustlib" "$new/lib/" && mv "$apt"/root/usr/lib/*-linux-gnu/* "$new/lib/" || return
    # The programs find their libraries beside themselves, wherever the folder is.
    for p in "$new"/bin/* "$new"/lib/librustc_driver-*.so; do "$patchelf" --force-rpath --set-rpath '$ORIGIN/../lib' "$p" || return; done
    "$new/bin/cargo" --version && "$new/bin/rustc" --version && "$new/bin/cargo-clippy" --version && "$new/bin/rustfmt" --version
  }
  text rust_fetch "$RUST_VERSION"
  if ! { progress "$(text rust_download)" "$log" fetch_rust && unpack_rust >> "$log" 2>&1; }; then tail -n 5 "$log"; return 1; fi
  recent_rust "$("$new/bin/rustc" --version | sed -n 's/^rustc \([0-9.]*\).*/\1/p')" || return
  rm -rf "$RUST_PREFIX" && mv "$new" "$RUST_PREFIX" && rm -rf "$apt"
}

# For set-up: the compiler that counts, or an error with the next command.
need_rust() {
  local said found
  found=$(rust_version)
  if command -v cargo > /dev/null && recent_rust "$found"; then return; fi
  use_debian_rust && return
  said=$(cd "$ROOT" && RUST_BACKTRACE=0 rustc --version 2>&1 | head -n 3) || true
  get_debian_rust && use_debian_rust && return
  command -v cargo > /dev/null || die no_rust
  if [ -n "$found" ]; then die old_rust "$found" "$RUST_VERSION"; else die bad_cargo "$said" "$RUST_VERSION"; fi
}

recent_rust "$(rust_version)" || use_debian_rust || true
