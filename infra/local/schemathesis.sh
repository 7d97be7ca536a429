#!/usr/bin/env bash
# Holds the running API against its own description: the local stack on free ports, and schemathesis
# (https://schemathesis.io) with a seed, so that a finding is found again.
# Usage: infra/local/schemathesis.sh PATH_OF_SCHEMATHESIS
set -euo pipefail
schemathesis=$(realpath --no-symlinks "$1")
cd "$(dirname "$0")/../.."

scratch=$(mktemp -d)
cargo build --quiet --package bitflow-local
cargo local --ephemeral --ready-file "$scratch/ready.json" \
  --parameter AdminRequestsPerMinute=1000000 --parameter WebhookRequestsPerMinute=1000000 \
  --api-port 0 --aws-port 0 --lambda-port 0 --stripe-port 0 --mailbox-port 0 --portal-port 0 --pusher-port 0 \
  > "$scratch/stack.log" 2>&1 &
stack=$!
trap 'kill "$stack" 2>/dev/null || true; wait "$stack" 2>/dev/null || true; rm -rf "$scratch"' EXIT
until [ -s "$scratch/ready.json" ]; do
  kill -0 "$stack" 2>/dev/null || { cat "$scratch/stack.log"; exit 1; }
  sleep 0.2
done
read -r api token < <(python3 -c '
import json, sys
ready = json.load(open(sys.argv[1]))
print(ready["api_url"], ready["admin_token"])' "$scratch/ready.json")

# It keeps notes of its own where it is run.
cd "$scratch"
"$schemathesis" run "$api/api/openapi.json" --url "$api" \
  --header "Authorization: Bearer $token" \
  --seed 7 --max-examples "${EXAMPLES:-25}" --phases examples,coverage,fuzzing,stateful \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
  --generation-database none --no-color --continue-on-failure
