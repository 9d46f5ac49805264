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

# mdBook knows the titles of notes in English only.
cd ../html/ja
grep -l 'class="blockquote-tag-title"' ./*.html | while read -r page; do
  sed '/class="blockquote-tag-title"/,/<\/p>/{s,</svg>Note</p>,</svg>メモ</p>,;s,</svg>Tip</p>,</svg>ヒント</p>,;s,</svg>Important</p>,</svg>重要</p>,;s,</svg>Warning</p>,</svg>注意</p>,;s,</svg>Caution</p>,</svg>警告</p>,;}' \
    "$page" > "$page.new" && mv "$page.new" "$page"
done
