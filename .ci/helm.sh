#!/usr/bin/env bash
# The chart's gate: helm, kat and kubeconform come from the Go module proxy into a cache, then lint, goldens,
# refusals, the policy on pods, and Kubernetes' own schemas. With --cluster also an API server of its own, on which
# the chart is installed. Needs Go and `npm ci`. Ends with one line that counts the steps.
set -u
cd "$(dirname "$0")/.." || exit 1
cache=${TURNPIKE_CI_CACHE:-$HOME/.cache/turnpike-ci}
export PATH="$PWD/node_modules/.bin:$cache/bin:$PATH"
mkdir -p "$cache/bin"
passed=0
failed=0

step() {
  local name=$1
  shift
  printf '\n=== %s: %s\n' "$name" "$*"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf '=== %s FAILED\n' "$name"
  fi
}

# program module[/package] version: built once per version. From within the module, because `go install` also asks
# for the list of all versions, which not every proxy has.
build() {
  local program=$1 module=$2 package=$3 version=$4 folder
  [ -x "$cache/bin/$program-$version" ] || {
    folder=$(module_folder "$module" "$version") || return 1
    (cd "$folder" && go build -buildvcs=false -o "$cache/bin/$program-$version" "./$package") || return 1
  }
  ln -sf "$program-$version" "$cache/bin/$program"
}

module_folder() {
  (cd / && go mod download -json "$1@$2") | node -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).Dir'
}

# Kubernetes' OpenAPI document of a version, as kubeconform's schemas.
schemas() {
  local folder
  [ -f "$cache/schemas-$1/pod-v1.json" ] && return
  folder=$(module_folder k8s.io/kubernetes "$1") || return 1
  node test/helm/support/kubernetes-schemas.ts "$folder/api/openapi-spec/swagger.json" "$cache/schemas-$1"
}

# version files…: ServiceMonitor is the Prometheus operator's, whose schema Kubernetes does not have.
conform() {
  local version=$1
  shift
  schemas "$version" && kubeconform -strict -summary -skip ServiceMonitor \
    -schema-location "$cache/schemas-$version/{{ .ResourceKind }}{{ .KindSuffix }}.json" "$@"
}

agent_chart() {
  rm -rf examples/kubernetes/agent-chart/charts &&
    helm dependency update examples/kubernetes/agent-chart &&
    helm lint --strict examples/kubernetes/agent-chart &&
    helm template agent examples/kubernetes/agent-chart > "$cache/agent-chart.yaml" &&
    conform v1.36.2 "$cache/agent-chart.yaml" && conform v1.29.15 "$cache/agent-chart.yaml"
  local code=$?
  rm -rf examples/kubernetes/agent-chart/charts examples/kubernetes/agent-chart/Chart.lock
  return $code
}

step helm build helm helm.sh/helm/v4 cmd/helm v4.2.4
step kubeconform build kubeconform github.com/yannh/kubeconform cmd/kubeconform v0.7.0
step kat build kat github.com/zemanlx/kat . v0.3.0

step lint helm lint --strict helm/turnpike
step tests npm run test:helm
step 'conform to 1.36' conform v1.36.2 test/helm/golden/*.yaml examples/kubernetes/*job*.yaml
step 'conform to 1.29' conform v1.29.15 test/helm/golden/gateway*.yaml examples/kubernetes/job-with-sidecar.yaml
step 'agent chart' agent_chart
[ "${1-}" = --cluster ] && step cluster test/helm/cluster/api-server.sh npm run test:cluster

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
