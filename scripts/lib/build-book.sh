#!/usr/bin/env bash
# build-book.sh MDBOOK FOLDER: builds the book and looks whether both languages are there.
set -euo pipefail
rm -rf "$2"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$1" build "$here/book" --dest-dir "$2"
for language in en ja; do
  compgen -G "$2/html/$language/index.html" > /dev/null || compgen -G "$2/$language/index.html" > /dev/null || {
    echo "the built book has no /$language/"; exit 1; }
done
# What mdBook lets pass: a page or a note in one language only, a dead link, a typed listing.
cd "$here"
if [ "${XTASK:-}" ]; then "$XTASK" book-check; else cargo xtask book-check; fi
