{{/* What a schema cannot say: which values need each other. Each message ends with what to do. */}}
{{- define "turnpike.check" -}}
{{- include "turnpike.config.check" . -}}
{{- if eq .Values.mode "gateway" -}}
{{- include "turnpike.gateway.check" . -}}
{{- end -}}
{{- if .Values.injection.enabled -}}
{{- include "turnpike.injection.check" . -}}
{{- end -}}
{{- end -}}

{{- define "turnpike.gateway.check" -}}
{{- $gateway := .Values.gateway -}}
{{- if not $gateway.apiKeys.existingSecret -}}
{{- fail (printf "gateway.apiKeys.existingSecret: a gateway needs API keys, since whoever reaches it spends the job's turns. Make some and name them: kubectl create secret generic turnpike-api-keys --namespace %s --from-literal=%s=\"$(openssl rand -hex 24)\" and --set gateway.apiKeys.existingSecret=turnpike-api-keys" .Release.Namespace $gateway.apiKeys.key) -}}
{{- end -}}
{{- if and $gateway.state.existingClaim (or $gateway.autoscaling.enabled (gt (int $gateway.replicaCount) 1)) -}}
{{- fail "gateway.state.existingClaim: its store belongs to one process; set gateway.replicaCount to 1 and gateway.autoscaling.enabled to false, or leave the claim out" -}}
{{- end -}}
{{- if and $gateway.autoscaling.enabled (gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) -}}
{{- fail (printf "gateway.autoscaling: minReplicas (%d) is above maxReplicas (%d)" (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- $drainSeconds := include "turnpike.gateway.drainSeconds" . | int -}}
{{- with $gateway.terminationGracePeriodSeconds -}}
{{- if le (int .) $drainSeconds -}}
{{- fail (printf "gateway.terminationGracePeriodSeconds: %d s is not above the drain of %d s (config.shutdown.drain_ms, else config.timeouts.total_ms), so turns would be killed; raise it, shorten the drain, or leave it out" (int .) $drainSeconds) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "turnpike.injection.check" -}}
{{- if ne .Values.mode "sidecar" -}}
{{- fail "injection.enabled: needs mode sidecar; install the gateway as a release of its own" -}}
{{- end -}}
{{- if semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "injection.enabled: MutatingAdmissionPolicy v1 needs Kubernetes 1.36, and this is %s. Leave it off and put the sidecar into your pods by the chart's templates or as plain YAML (docs/kubernetes.md)" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{/* Rounded up. */}}
{{- define "turnpike.gateway.drainSeconds" -}}
{{- div (add (include "turnpike.gateway.drainMs" . | int64) 999) 1000 -}}
{{- end -}}
