#!/usr/bin/env bash
# scripts/serve --lan: what it gives out is what is there, byte for byte, in both languages, and nothing else of this machine.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"
export WORKBOOK_LANG=en
packs=$TMP/packs
mkdir "$packs"
head -c 3000000 /dev/urandom > "$packs/bgworkbook-offline-amd64.tar"
(cd "$packs" && sha256sum bgworkbook-* > SHA256SUMS)

start() { # ARGUMENTS...: sets URL to the first address
  exec {lan}< <(exec "$ROOT/scripts/serve" --lan --port 0 "$@" 2>&1)
  server=$! URL='' OUT=''
  while read -r -t 120 -u "$lan" line; do
    OUT+=$line$'\n'
    if [[ $line =~ (http://)[^:]*(:[0-9]+/) ]]; then URL=${BASH_REMATCH[1]}localhost${BASH_REMATCH[2]}; break; fi
  done
}
stop() { kill "$server"; exec {lan}<&-; }
fetch() { # PATH: to $TMP/got; prints the status
  python3 - "$URL" "$1" "$TMP/got" << 'PY'
import http.client, sys, urllib.parse
url, path, to = sys.argv[1:]
connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
try:
    connection.request("GET", path)
    answer = connection.getresponse()
except OSError as error:
    sys.exit(print(error))
open(to, "wb").write(answer.read())
print(answer.status)
PY
}
has() { [ "$(fetch "$1")" = 200 ] && grep -qF -- "$2" "$TMP/got" || echo "$1 does not have: $2"; }

start --from "$packs"
verdict "it says its address, and how to compare" "$([[ $URL == http://* && $OUT == *"sha256sum --check"* ]] || echo "$OUT")"
verdict "the first page leads to both books" "$(has / 'href="/book/ja/"'; has / 'href="/book/en/"')"
verdict "and to the archive, with its commands" "$(has / 'href="/packs/bgworkbook-offline-amd64.tar"'; has / 'cd bgworkbook-offline-amd64')"
verdict "the book in Japanese and in English" "$(has /book/ja/index.html '<html lang="ja"'; has /book/en/index.html '<html lang="en"')"
status=$(fetch /packs/bgworkbook-offline-amd64.tar)
verdict "the archive, byte for byte" "$(cmp "$TMP/got" "$packs/bgworkbook-offline-amd64.tar" 2>&1 || echo "$status")"
fetch /packs/SHA256SUMS > /dev/null
verdict "its checksum" "$(cd "$packs" && sha256sum --quiet --check "$TMP/got" 2>&1)"
for p in /etc/passwd /packs/ /packs/../../etc/passwd "/packs/%2e%2e/%2e%2e/etc/passwd" /book/../packs/none; do
  verdict "nothing else: $p" "$(s=$(fetch "$p"); [ "$s" = 404 ] || echo "status $s")"
done
port=${URL##*:} port=${port%/}
expect "a port that is taken" 1 "port $port is used" "next: scripts/serve --lan --port" -- "$ROOT/scripts/serve" --lan --port "$port" --from "$packs"
stop
start --from "$TMP/none"
verdict "without packs it says so, and serves the book" "$([[ $OUT == *"no offline pack in $TMP/none"*"scripts/offline-pack"* ]] || echo "$OUT"; has /book/ja/index.html '<html lang="ja"')"
stop
