#!/usr/bin/env bash
# A support agent with one tool, with curl and jq. See README.md.
set -euo pipefail

base_url=${OPENAI_BASE_URL:-http://127.0.0.1:8484/v1}
api_key=${OPENAI_API_KEY:-turnpike}
turnpike=$(sed -E 's#^(https?://[^/]+).*#\1#' <<<"$base_url")

post() {
  curl --silent --show-error --fail-with-body "$1" --data-binary @- \
    -H 'content-type: application/json' -H "authorization: Bearer $api_key"
}

order_status() {
  case $1 in
    A-17) echo 'shipped on Monday' ;;
    B-4) echo 'waiting for parts' ;;
    *) echo unknown ;;
  esac
}

tools='[{"type": "function", "function": {"name": "order_status", "parameters": {"type": "object",
  "properties": {"order": {"type": "string", "enum": ["A-17", "B-4"]}}, "required": ["order"]}}}]'

id=order-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
base_url=$(jq -n --arg id "$id" '{$id}' | post "$turnpike/rollouts" | jq -r .base_url)
echo "rollout $id"

messages='[{"role": "user", "content": "Where is order A-17?"}]'
answer=
for _ in 1 2 3 4 5; do
  message=$(jq -n --argjson messages "$messages" --argjson tools "$tools" \
    '{model: "default", $messages, $tools}' | post "$base_url/chat/completions" | jq '.choices[0].message')
  messages=$(jq --argjson message "$message" '. + [$message]' <<<"$messages")
  calls=$(jq -c '.tool_calls // [] | .[]' <<<"$message")
  if [ -z "$calls" ]; then
    answer=$(jq -r .content <<<"$message")
    break
  fi
  while read -r call; do
    order=$(jq -r '.function.arguments | fromjson | .order' <<<"$call")
    result=$(order_status "$order")
    echo "tool    order_status $order → $result"
    messages=$(jq --argjson call "$call" --arg content "$result" \
      '. + [{role: "tool", tool_call_id: $call.id, $content}]' <<<"$messages")
  done <<<"$calls"
done
echo "answer  $answer"

reward=0
case $answer in *shipped*) reward=1 ;; esac
jq -n --argjson reward "$reward" '{$reward}' | post "$turnpike/rollouts/$id/complete" |
  jq -r --arg reward "$reward" '"reward  \($reward), \(.turns.finished) turns, \(.state)"'
