{{/*
The sidecar, for any chart that has this one as a dependency. The templates take the dependency's own scope,
`.Subcharts.turnpike`:

  metadata:
    annotations:
      turnpike.dev/job-arn: …
      {{- include "turnpike.sidecar.podAnnotations" (dict "turnpike" .Subcharts.turnpike "containers" (list "agent")) | nindent 6 }}
  spec:
    initContainers:
      - {{- include "turnpike.sidecar.container" .Subcharts.turnpike | nindent 8 }}
    containers:
      - name: agent
        env:
          {{- include "turnpike.sidecar.agentEnv" .Subcharts.turnpike | nindent 10 }}
    volumes:
      - {{- include "turnpike.sidecar.volume" .Subcharts.turnpike | nindent 8 }}

The injection policy is rendered from the same ones.
*/}}

{{/* The native sidecar; belongs first in initContainers, so that what follows can use it. */}}
{{- define "turnpike.sidecar.container" -}}
name: turnpike
image: {{ include "turnpike.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve]
restartPolicy: Always
env:
  {{- include "turnpike.env" (include "turnpike.sidecar.env" . | fromYamlArray) | nindent 2 }}
ports:
  - name: turnpike-ops
    containerPort: {{ include "turnpike.opsPort" . }}
    protocol: TCP
{{ include "turnpike.probes" . }}
resources:
  requests:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
  limits:
    {{- toYaml .Values.sidecar.resources | nindent 4 }}
securityContext:
  {{- include "turnpike.securityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: turnpike-state
    mountPath: /var/lib/turnpike
{{- end -}}

{{/* An annotation that is not there gives an empty variable, which turnpike takes as not set. */}}
{{- define "turnpike.sidecar.env" -}}
{{- include "turnpike.config.check" . -}}
- name: TURNPIKE_JOB_ARN
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['turnpike.dev/job-arn']
- name: TURNPIKE_TRAJECTORY_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.annotations['turnpike.dev/trajectory-id']
- name: TURNPIKE_OPS_HOST
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: TURNPIKE_STATE_DIR
  value: /var/lib/turnpike
{{- include "turnpike.config.variables" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What an OpenAI client in the agent's container reads. */}}
{{- define "turnpike.sidecar.agentEnv" -}}
- name: OPENAI_BASE_URL
  value: http://127.0.0.1:{{ include "turnpike.serverPort" . }}/v1
- name: OPENAI_API_KEY
  value: {{ .Values.sidecar.agentApiKey | quote }}
{{- end -}}

{{- define "turnpike.sidecar.volume" -}}
name: turnpike-state
emptyDir:
  sizeLimit: {{ .Values.sidecar.stateSizeLimit }}
{{- end -}}

{{/*
With sidecar.withholdAwsCredentials: the annotation that keeps credentials from the other containers. Takes
turnpike (the scope) and containers (their names).
*/}}
{{- define "turnpike.sidecar.podAnnotations" -}}
{{- if .turnpike.Values.sidecar.withholdAwsCredentials -}}
eks.amazonaws.com/skip-containers: {{ join "," .containers | quote }}
{{- end -}}
{{- end -}}
