{{/*
Parts of the injection policy's CEL. Written out where they are used and not as spec.variables, which kat, by which
the policy is tested without a cluster, does not know (0.3.0).
*/}}

{{/* The names in turnpike.dev/inject-containers, where there is the annotation. */}}
{{- define "turnpike.injection.listed" -}}
object.metadata.annotations["turnpike.dev/inject-containers"].split(",").map(n, n.trim()).filter(n, n != "")
{{- end -}}

{{- define "turnpike.injection.lists" -}}
has(object.metadata.annotations) && "turnpike.dev/inject-containers" in object.metadata.annotations
{{- end -}}

{{/* The indexes of the containers that get the variables, the agents: those listed, or all. */}}
{{- define "turnpike.injection.agents" -}}
lists.range(object.spec.containers.size()).filter(i, !({{ include "turnpike.injection.lists" . }})
  || object.spec.containers[i].name in {{ include "turnpike.injection.listed" . }})
{{- end -}}
