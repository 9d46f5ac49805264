#!/usr/bin/env bash
# build-book.sh MDBOOK FOLDER: builds the book and looks whether both languages are there.
set -euo pipefail
rm -rf "$2"
"$1" build "$(dirname "${BASH_SOURCE[0]}")/../../book" --dest-dir "$2"
for language in en ja; do
  compgen -G "$2/html/$language/index.html" > /dev/null || compgen -G "$2/$language/index.html" > /dev/null || {
    echo "the built book has no /$language/"; exit 1; }
done
