#!/usr/bin/env bash
# Starts the service, asks it from Python and from C, and stops it again. `run.sh --trigger nudity=0.97` shows what
# happens when something is found, without anything harmful (test mode).
set -euo pipefail
cd "$(dirname "$0")"

folder=$(mktemp -d)
service=
finish() {
  [ -z "$service" ] || { kill "$service" 2>/dev/null || true; wait "$service" || true; }
  rm -rf "$folder"
}
trap finish EXIT

"${PYTHON:-python3}" -m safelight serve --socket "$folder/safelight.sock" --age-band 10_12 --country GB \
  --tier live --json "$@" >"$folder/log" &
service=$!

"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -Werror -o "$folder/client" client.c

until grep -q '"ready"' "$folder/log" 2>/dev/null; do
  kill -0 "$service" 2>/dev/null || { echo "the service did not start" >&2; exit 1; }
  sleep 0.05
done

status=0
echo "== Python"
"${PYTHON:-python3}" client.py "$folder/safelight.sock" ../pictures/portrait.jpg || status=$?
echo "== C"
"$folder/client" "$folder/safelight.sock" || status=$?
exit "$status"
