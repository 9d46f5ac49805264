# shellcheck shell=bash disable=SC2016 # words for apt in single quotes
# What the offline pack, its installer and its test share. It needs nothing else.

# cargo takes what is compiled for fresh only where the crates' sources have the same absolute path. So everything lives in one
# place on each machine: there the first build has nothing to compile. (Elsewhere it works, too, and compiles the dependencies.)
# shellcheck disable=SC2034 # used by those who source this
PREFIX=/opt/bgworkbook

# What scripts/setup looks for, and what a reader needs besides. zstd unpacks the pack itself.
PACKAGES='gcc libc6-dev libclang-dev procps python3 git zstd'
# What the root file system has on top, for who lives in it.
# shellcheck disable=SC2034
ROOTFS_PACKAGES='sudo nano ca-certificates'

# The variables of everything that is unpacked. What the reader has set counts.
write_environment() { # FOLDER
  cat > "$1/bgworkbook.env" << ENV
# . $1/bgworkbook.env: makes this shell use what the offline pack has brought, and no network.
case :\$PATH: in *:$1/rust/bin:*) ;; *) export PATH="$1/rust/bin:\$PATH" ;; esac
export USER="\${USER:-\$(id -un)}" # which a container does not set, and the tests' client wants
export CARGO_HOME="\${CARGO_HOME:-$1/cargo}" WORKBOOK_CACHE="\${WORKBOOK_CACHE:-$1/cache}" CARGO_NET_OFFLINE=true
ENV
}

# Where cargo finds the crates: a setting of this CARGO_HOME, so the checkout's own files stay as they are.
write_cargo_config() { # FOLDER
  mkdir -p "$1/cargo"
  printf '[source.crates-io]\nreplace-with = "pack"\n\n[source.pack]\ndirectory = "%s/vendor"\n\n[net]\noffline = true\n' "$1" > "$1/cargo/config.toml"
}

# A folder of packages as a repository for apt: Debian's tools for that are not on every machine.
write_index() { # FOLDER
  local deb
  (cd "$1" && for deb in *.deb; do
    dpkg-deb --field "$deb"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$deb" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -d' ' -f1)"
  done > Packages)
}

# Installs packages from such a folder. apt takes what is missing or too old, and asks no other source. As root.
install_from() { # FOLDER PACKAGE...
  local folder=$1 state; shift
  state=$(mktemp -d)
  mkdir -p "$state/lists/partial" "$state/archives/partial"
  printf 'deb [trusted=yes] file:%s ./\n' "$folder" > "$state/sources.list" # its checksums have been compared
  from_there() {
    DEBIAN_FRONTEND=noninteractive apt-get -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
      -o Dir::State::lists="$state/lists" -o Dir::Cache="$state" -o APT::Sandbox::User=root -o DPkg::Lock::Timeout=300 "$@"
  }
  local status=0
  { from_there update && from_there install -y --no-install-recommends "$@"; } || status=$?
  rm -rf "$state"
  return $status
}

# ---- apt with a state of its own ------------------------------------------------------------------------------------------------
# The mirror is the one that this machine uses anyway. Nothing is installed, the machine's lists stay as they are, no other source
# is asked, and what comes must be signed by Debian.
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
private_apt() { # ARGUMENTS...: an apt-get (or another of its programs) that knows only $APT/sources.list
  local program=$1; shift
  "$program" -o Dir::Etc::sourcelist="$APT/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State="$APT/state" \
    -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$APT/cache" -o APT::Sandbox::User=root \
    -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=60 "$@"
}
# mirror SUITE: the address from which this machine takes the suite's packages
mirror() { apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2> /dev/null | sed -n "s/^$1 main //p" | head -n 1 || true; }
start_apt() { # LINE...: writes the list of sources and fetches what they have
  rm -rf "$APT"; mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial" "$APT/got"
  printf '%s\n' "$@" > "$APT/sources.list"
  private_apt apt-get update -o APT::Update::Error-Mode=any
}
os() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "${OS_RELEASE:-/etc/os-release}" 2> /dev/null || uname -s; }
