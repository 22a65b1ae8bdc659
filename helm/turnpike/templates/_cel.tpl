{{/*
A value as a CEL expression. Every list and map is wrapped in dyn(), since CEL's own hold one type only, and
numbers are integers: a port of 8486.0 would be refused.
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
{{- toJson . -}}
{{- else if kindIs "bool" . -}}
{{- toString . -}}
{{- else -}}
{{- if ne (floor .) (float64 .) -}}
{{- fail (printf "%v: the injection policy takes whole numbers only; write it as text, e.g. 500m" .) -}}
{{- end -}}
{{- int64 . -}}
{{- end -}}
{{- end -}}
