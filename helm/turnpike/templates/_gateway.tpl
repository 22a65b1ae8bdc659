{{/* The gateway's pod. */}}

{{- define "turnpike.gateway.podSpec" -}}
serviceAccountName: {{ include "turnpike.serviceAccountName" . }}
automountServiceAccountToken: false
# A Service called turnpike would put TURNPIKE_PORT=tcp://… into the pods of its namespace.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ default (add (include "turnpike.gateway.drainSeconds" .) 30) .Values.gateway.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  {{- with .Values.runAsUser }}
  # The volume with the state belongs to this group.
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
containers:
  - name: turnpike
    {{- include "turnpike.gateway.container" . | nindent 4 }}
volumes:
  - name: config
    configMap:
      name: {{ include "turnpike.fullname" . }}
  - name: state
    {{- if .Values.gateway.state.existingClaim }}
    persistentVolumeClaim:
      claimName: {{ .Values.gateway.state.existingClaim }}
    {{- else }}
    emptyDir:
      sizeLimit: {{ .Values.gateway.state.sizeLimit }}
    {{- end }}
  {{- with .Values.gateway.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "turnpike.gateway.placement" . }}
{{- end -}}

{{- define "turnpike.gateway.container" -}}
image: {{ include "turnpike.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [serve]
env:
  {{- include "turnpike.env" (include "turnpike.gateway.env" . | fromYamlArray) | nindent 2 }}
ports:
  - name: http
    containerPort: {{ include "turnpike.serverPort" . }}
    protocol: TCP
  - name: turnpike-ops
    containerPort: {{ include "turnpike.opsPort" . }}
    protocol: TCP
{{ include "turnpike.probes" . }}
resources:
  {{- toYaml .Values.gateway.resources | nindent 2 }}
securityContext:
  {{- include "turnpike.securityContext" . | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: config
    mountPath: /etc/turnpike
    readOnly: true
  - name: state
    mountPath: /var/lib/turnpike
  {{- with .Values.gateway.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "turnpike.gateway.env" -}}
- name: TURNPIKE_CONFIG
  value: /etc/turnpike/turnpike.yaml
- name: TURNPIKE_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.gateway.apiKeys.existingSecret }}
      key: {{ .Values.gateway.apiKeys.key }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "turnpike.gateway.placement" -}}
{{- with .Values.gateway.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "matchLabels" (include "turnpike.gateway.selectorLabels" $ | fromYaml) }}
  - {{- merge (deepCopy .) (dict "labelSelector" $selector) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .Values.gateway.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.gateway.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.gateway.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.gateway.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}
