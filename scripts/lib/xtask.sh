# shellcheck shell=bash
# xtask COMMAND ARGUMENTS...: becomes `cargo xtask COMMAND`. Where cargo or a C compiler is missing, they are set up first.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tools.sh
. "$LIB/tools.sh"
xtask() {
  local target
  target=$(target_dir)
  if ! recent_rust "$(rust_version)" || ! has_cc; then
    "$ROOT/scripts/setup" --quiet
    use_debian_rust || true
  fi
  [ -x "$target/debug/xtask" ] || text build_command >&2
  env -u RUSTFLAGS CARGO_TARGET_DIR="$target" cargo build --quiet --manifest-path "$ROOT/Cargo.toml" --package xtask || {
    printf '\n0 passed, 1 failed\n' # programs read it
    exit 1
  }
  exec -a "$0" "$target/debug/xtask" "$@"
}
