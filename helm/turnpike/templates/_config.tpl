{{/* values.config: looked up, refused, and handed to turnpike as a file or as variables. */}}

{{/*
JSON {"value": …} of a key of values.config, {} where it is not set. Takes config and path ("server.port").
*/}}
{{- define "turnpike.config.given" -}}
{{- $node := .config -}}
{{- $found := true -}}
{{- range $name := splitList "." .path -}}
{{- if and $found (kindIs "map" $node) -}}
{{- $found = hasKey $node $name -}}
{{- $node = get $node $name -}}
{{- else -}}
{{- $found = false -}}
{{- end -}}
{{- end -}}
{{- if and $found (not (kindIs "invalid" $node)) -}}
{{- dict "value" $node | toJson -}}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* The value of a key, its default where values.config does not set it, as JSON. Takes config and path. */}}
{{- define "turnpike.config.value" -}}
{{- $given := include "turnpike.config.given" . | fromJson -}}
{{- if hasKey $given "value" -}}
{{- $given.value | toJson -}}
{{- else -}}
{{- $keys := include "turnpike.configKeys" . | fromYaml -}}
{{- (index $keys .path).default | toJson -}}
{{- end -}}
{{- end -}}

{{/* Fails for a key that values.config may not set. */}}
{{- define "turnpike.config.check" -}}
{{- $config := .Values.config -}}
{{- $reasons := dict
  "server.host" "the chart sets it: a sidecar listens on loopback, a gateway on gateway.host"
  "ops.host" "the chart sets it: the kubelet's probes come to the pod's address"
  "state.dir" "the chart sets it and mounts a volume there"
-}}
{{- if eq .Values.mode "sidecar" -}}
{{- $_ := set $reasons "identity.job_arn" "a sidecar reads it from its pod's annotation turnpike.dev/job-arn" -}}
{{- $_ := set $reasons "identity.trajectory_id" "a sidecar reads it from its pod's annotation turnpike.dev/trajectory-id" -}}
{{- end -}}
{{- range $path, $key := include "turnpike.configKeys" . | fromYaml -}}
{{- if $key.secret -}}
{{- $_ := set $reasons $path (printf "it is a secret, and values end up where secrets are read: put it into a Secret (gateway.apiKeys.existingSecret for API keys, extraEnv with secretKeyRef and %s for others)" $key.env) -}}
{{- end -}}
{{- end -}}
{{- range $path, $reason := $reasons -}}
{{- $given := include "turnpike.config.given" (dict "config" $config "path" $path) | fromJson -}}
{{- if hasKey $given "value" -}}
{{- fail (printf "config.%s cannot be set here: %s" $path $reason) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
values.config as variables. Text as it is, all else as JSON, which turnpike takes for lists too; `$` doubled,
since the kubelet expands $(NAME).
*/}}
{{- define "turnpike.config.variables" -}}
{{- $config := .Values.config -}}
{{- range $path, $key := include "turnpike.configKeys" . | fromYaml -}}
{{- $given := include "turnpike.config.given" (dict "config" $config "path" $path) | fromJson -}}
{{- if hasKey $given "value" }}
{{- $text := $given.value -}}
{{- if not (kindIs "string" $text) -}}
{{- $text = toRawJson $text -}}
{{- end }}
- name: {{ $key.env }}
  value: {{ $text | replace "$" "$$" | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* How long a gateway goes on after SIGTERM, in milliseconds: no turn is cut that its own limits allow. */}}
{{- define "turnpike.gateway.drainMs" -}}
{{- $given := include "turnpike.config.given" (dict "config" .Values.config "path" "shutdown.drain_ms") | fromJson -}}
{{- if hasKey $given "value" -}}
{{- $given.value | toJson -}}
{{- else -}}
{{- include "turnpike.config.value" (dict "config" .Values.config "path" "timeouts.total_ms") -}}
{{- end -}}
{{- end -}}

{{/* The names by which pods call the Service. */}}
{{- define "turnpike.gateway.hosts" -}}
{{- $name := include "turnpike.fullname" . -}}
{{- $namespace := .Release.Namespace -}}
{{- $hosts := list
  $name
  (printf "%s.%s" $name $namespace)
  (printf "%s.%s.svc" $name $namespace)
  (printf "%s.%s.svc.%s" $name $namespace .Values.gateway.clusterDomain)
-}}
{{- $more := include "turnpike.config.value" (dict "config" .Values.config "path" "server.allowed_hosts") | fromJsonArray -}}
{{- concat $hosts $more | uniq | toJson -}}
{{- end -}}

{{/* The Service's URL: what a registered rollout is told, unless the gateway is known by another name. */}}
{{- define "turnpike.gateway.url" -}}
{{- printf "http://%s.%s.svc:%d" (include "turnpike.fullname" .) .Release.Namespace (int .Values.gateway.service.port) -}}
{{- end -}}

{{/* A gateway's turnpike.yaml. */}}
{{- define "turnpike.gateway.config" -}}
{{- $publicUrl := include "turnpike.config.value" (dict "config" .Values.config "path" "server.public_url") -}}
{{- $set := dict
  "server" (dict
    "host" .Values.gateway.host
    "allowed_hosts" (include "turnpike.gateway.hosts" . | fromJsonArray)
    "public_url" (eq $publicUrl "null" | ternary (include "turnpike.gateway.url" .) (fromJson (printf `{"value":%s}` $publicUrl)).value)
  )
  "ops" (dict "host" .Values.gateway.host)
  "state" (dict "dir" "/var/lib/turnpike")
  "shutdown" (dict "drain_ms" (include "turnpike.gateway.drainMs" . | int64))
-}}
{{- mergeOverwrite (deepCopy .Values.config) $set | toYaml -}}
{{- end -}}
