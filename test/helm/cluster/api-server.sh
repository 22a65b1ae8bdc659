#!/usr/bin/env bash
# Runs a command with KUBECONFIG set to a cluster made for it: Kubernetes' API server and controller manager on an
# etcd, built from the Go module proxy. No node: pods are admitted and never run. Usage: api-server.sh COMMAND…
# The first build takes about ten minutes on two cores; it stays in the cache.
set -eu
kubernetes=v1.36.2
etcd=v3.6.6
cache=${TURNPIKE_CI_CACHE:-$HOME/.cache/turnpike-ci}
bin=$cache/bin/kubernetes-$kubernetes
# Where the three listen, on loopback.
etcd_port=23790
api_port=26443
controller_port=26444

# The modules name their siblings by folders that a module of their own does not have: a module that asks for the
# same versions by name stands in.
build() {
  local scratch=$1 go_mod minor=${kubernetes#v1.}
  go_mod=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  mkdir -p "$bin" "$scratch/kubernetes" "$scratch/etcd"
  {
    printf 'module kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$kubernetes"
    sed -n "s|^\t\(k8s.io/[a-z-]*\) => ./staging/.*|\t\1 => \1 v0.$minor|p" "$go_mod"
    printf ')\n'
  } > "$scratch/kubernetes/go.mod"
  printf 'module etcd\n\ngo 1.26.0\n\nrequire go.etcd.io/etcd/server/v3 %s\n' "$etcd" > "$scratch/etcd/go.mod"
  local package=k8s.io/component-base/version
  (cd "$scratch/kubernetes" && go build -mod=mod -buildvcs=false -o "$bin/" \
    -ldflags "-X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" \
    k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager)
  (cd "$scratch/etcd" && go build -mod=mod -buildvcs=false -o "$bin/etcd" go.etcd.io/etcd/server/v3)
}

folder=$(mktemp -d)
pids=()
down() {
  local status=$?
  # Nothing is to be saved, and an API server whose etcd has gone first does not end by itself.
  [ ${#pids[@]} -eq 0 ] || { kill -KILL "${pids[@]}" && wait; } 2> /dev/null || true
  rm -rf "$folder"
  exit $status
}
trap down EXIT

# program arguments…: in the background, with a log of its own.
start() {
  "$bin/$1" "${@:2}" > "$folder/$1.log" 2>&1 &
  pids+=($!)
}

[ -x "$bin/etcd" ] || build "$folder/build"

openssl genrsa -out "$folder/accounts.key" 2048 2> /dev/null
token=$(openssl rand -hex 16)
printf '%s,admin,admin,system:masters\n' "$token" > "$folder/tokens.csv"
cat > "$folder/kubeconfig" << END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$api_port", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
END
export KUBECONFIG=$folder/kubeconfig

start etcd --data-dir "$folder/etcd" --listen-peer-urls "http://127.0.0.1:$((etcd_port + 1))" \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port"
start kube-apiserver --etcd-servers "http://127.0.0.1:$etcd_port" --secure-port $api_port --bind-address 127.0.0.1 \
  --cert-dir "$folder/certificates" --token-auth-file "$folder/tokens.csv" --authorization-mode RBAC \
  --service-account-key-file "$folder/accounts.key" --service-account-signing-key-file "$folder/accounts.key" \
  --service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range 10.96.0.0/16
for _ in $(seq 120); do
  kubectl get --raw /readyz > /dev/null 2>&1 && break
  sleep 1
done
kubectl get --raw /readyz > /dev/null || { tail -n 20 "$folder/kube-apiserver.log"; exit 1; }
start kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false --secure-port $controller_port \
  --bind-address 127.0.0.1 --cert-dir "$folder/certificates" --root-ca-file "$folder/certificates/apiserver.crt" \
  --service-account-private-key-file "$folder/accounts.key"

"$@"
