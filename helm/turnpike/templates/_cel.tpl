{{/*
A value as a CEL expression. Each node is wrapped in dyn(), since Kubernetes takes no literal of a list or map whose
elements are of several types. Numbers are integers: a port of 8486.0 would be refused.
*/}}
{{- define "turnpike.cel" -}}
{{- if kindIs "map" . -}}
dyn({
{{- range $index, $key := keys . | sortAlpha }}
{{- if $index }},{{ end }}
{{ printf "%s: %s" ($key | toJson) (include "turnpike.cel" (index $ $key)) | indent 2 }}
{{- end }}
})
{{- else if kindIs "slice" . -}}
dyn([
{{- range $index, $item := . }}
{{- if $index }},{{ end }}
{{ include "turnpike.cel" $item | indent 2 }}
{{- end }}
])
{{- else if kindIs "string" . -}}
{{- printf "dyn(%s)" (toJson .) -}}
{{- else if kindIs "bool" . -}}
{{- printf "dyn(%t)" . -}}
{{- else -}}
{{- if ne (floor .) (float64 .) -}}
{{- fail (printf "%v: the injection policy takes whole numbers only; write it as text, e.g. 500m" .) -}}
{{- end -}}
{{- printf "dyn(%d)" (int64 .) -}}
{{- end -}}
{{- end -}}
