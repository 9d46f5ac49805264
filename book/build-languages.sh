#!/bin/sh
# A renderer of the landing page's book: builds the books of both languages beside it. mdBook gives the context as JSON on
# standard input and runs this in <build-dir>/languages.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
# The mdBook that runs us: it need not be in PATH.
mdbook=${MDBOOK:-$(readlink "/proc/$PPID/exe" 2> /dev/null || ps -o comm= -p "$PPID")}
# Under `mdbook serve`, the pages of the languages listen for reloads, too.
case $(cat) in
  *'"live-reload-endpoint":"'*) export MDBOOK_OUTPUT__HTML__LIVE_RELOAD_ENDPOINT=__livereload ;;
esac
"$mdbook" build "$here/en" --dest-dir "$PWD/../html/en" &
"$mdbook" build "$here/ja" --dest-dir "$PWD/../html/ja"
wait $!
