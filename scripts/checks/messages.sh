#!/usr/bin/env bash
# The messages of the scripts: both languages have the same keys and placeholders, every key that is used exists, none is left over.
. "$(dirname "${BASH_SOURCE[0]}")/../lib/testing.sh"

keys() { (choose_language "$1"; printf '%s\n' "${!MSG[@]}" | sort); }
placeholders() { (choose_language "$1"; for k in "${!MSG[@]}"; do printf '%s %s\n' "$k" "$(grep -o '{[0-9]}' <<< "${MSG[$k]}" | sort -u | tr -d '\n')"; done | sort); }

verdict "the same keys in English and Japanese" "$(diff <(keys en) <(keys ja))"
verdict "the same placeholders" "$(diff <(placeholders en) <(placeholders ja))"

cd "$ROOT/scripts" || exit 1
files=(setup ready env run serve handout clean lib/common.sh lib/rust.sh lib/tools.sh lib/browser.sh lib/majors.sh lib/environment.sh lib/xtask.sh)
files+=(offline-pack lib/offline/common.sh lib/offline/install)
used=$(grep -hv '^ *#' "${files[@]}" | grep -oE '\b(text|say|warn|die) "?[a-z_]+' | awk '{ print $2 }' | grep -vE '^"' | sort -u)
for k in $used; do [ "${MSG[$k]+x}" ] || unknown+=" $k"; done
verdict "every message that is used exists" "${unknown:-}"
for k in $(keys en); do
  base=${k%.next}
  [ "${MSG[$base]+x}" ] || left+=" $k"
  grep -qE "\b$base\b" "${files[@]}" || left+=" $k"
done
verdict "no message is left over" "${left:-}"
deadly=$(grep -hoE '\bdie [a-z_]+' "${files[@]}" | awk '{ print $2 }' | sort -u)
for k in $deadly; do
  [ "${MSG[$k.next]+x}" ] || [ "$k" = no_book ] || [ "$k" = unknown_option ] || without+=" $k"
done
verdict "every error names the next command" "${without:-}"
