{{/* What turnpike's container is in both modes. */}}

{{/* As restricted as Pod Security's `restricted` wants it, whatever the pod's own security context says. */}}
{{- define "turnpike.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- with .Values.runAsUser }}
runAsUser: {{ . }}
runAsGroup: {{ . }}
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/*
Start-up is over when turnpike is ready, so that an agent never starts without credentials. No preStop: a
native sidecar's runs before the agent has ended.
*/}}
{{- define "turnpike.probes" -}}
startupProbe:
  httpGet:
    path: /readyz
    port: turnpike-ops
  periodSeconds: {{ .Values.probes.startup.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ .Values.probes.startup.failureThreshold }}
readinessProbe:
  httpGet:
    path: /readyz
    port: turnpike-ops
  periodSeconds: {{ .Values.probes.readiness.periodSeconds }}
  timeoutSeconds: 5
  failureThreshold: {{ .Values.probes.readiness.failureThreshold }}
{{- if .Values.probes.liveness }}
livenessProbe:
  httpGet:
    path: /livez
    port: turnpike-ops
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
{{- end -}}

{{- define "turnpike.opsPort" -}}
{{- include "turnpike.config.value" (dict "config" .Values.config "path" "ops.port") -}}
{{- end -}}

{{- define "turnpike.serverPort" -}}
{{- include "turnpike.config.value" (dict "config" .Values.config "path" "server.port") -}}
{{- end -}}

{{/* The list of variables that it is given, unless one comes twice: server-side apply would refuse the pod. */}}
{{- define "turnpike.env" -}}
{{- $seen := dict -}}
{{- range . -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "extraEnv: %s is set by the chart already" .name) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- toYaml . -}}
{{- end -}}
