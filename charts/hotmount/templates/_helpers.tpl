{{- define "hotmount.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "hotmount.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "hotmount.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "hotmount.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hotmount.selector" -}}
app.kubernetes.io/name: {{ include "hotmount.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hotmount.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "hotmount.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* A tag such as 5 or 20261129 is a number to YAML, and a large one a float. */}}
{{- define "hotmount.image" -}}
{{- include "hotmount.imageOf" (dict "root" . "image" .Values.image) -}}
{{- end -}}

{{/* The webhook's own, where there is one. */}}
{{- define "hotmount.webhookImage" -}}
{{- $own := .Values.webhook.image | default dict -}}
{{- include "hotmount.imageOf" (dict "root" . "image" (empty $own.repository | ternary .Values.image $own)) -}}
{{- end -}}

{{- define "hotmount.imageOf" -}}
{{- $root := .root -}}
{{- with .image -}}
{{- $tag := .tag -}}
{{- if kindIs "float64" $tag -}}{{- $tag = int64 $tag -}}{{- end -}}
{{- with ($root.Values.global | default dict).imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ $tag | default $root.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* The ServiceAccount of a component: `name` is the one that the chart makes, `values` are the component's. */}}
{{- define "hotmount.account" -}}
{{- .values.serviceAccount.name | default .name -}}
{{- end -}}

{{- define "hotmount.policyName" -}}
{{ include "hotmount.fullname" . }}-policy
{{- end -}}

{{- define "hotmount.webhookName" -}}
{{ include "hotmount.fullname" . }}-webhook
{{- end -}}

{{/* The Secret that the webhook keeps, or that is mounted. */}}
{{- define "hotmount.secretName" -}}
{{- if eq .Values.certificates.source "existingSecret" -}}
{{ .Values.certificates.existingSecret.name }}
{{- else -}}
{{ include "hotmount.fullname" . }}-webhook-tls
{{- end -}}
{{- end -}}

{{/* What a webhook configuration says of its certificates: nothing where the webhook writes the caBundle itself. */}}
{{- define "hotmount.clientConfig" -}}
service:
  name: {{ include "hotmount.webhookName" .root }}
  namespace: {{ .root.Release.Namespace }}
  path: {{ .path }}
  port: {{ .root.Values.webhook.service.port }}
{{- if and (eq .root.Values.certificates.source "existingSecret") .root.Values.certificates.existingSecret.caBundle }}
caBundle: {{ .root.Values.certificates.existingSecret.caBundle }}
{{- end }}
{{- end -}}

{{- define "hotmount.injectCa" -}}
{{- if eq .Values.certificates.source "certManager" }}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "hotmount.webhookName" . }}
{{- end }}
{{- end -}}

{{/* Namespaces whose pods never depend on us: those of the control plane and our own, or nothing could start while we are down. */}}
{{- define "hotmount.notExcluded" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ append .Values.webhook.excludedNamespaces .Release.Namespace | uniq | toJson }}
{{- with .Values.webhook.namespaceSelector.matchExpressions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Which namespaces an entry is for: `labels` are the entry's own. */}}
{{- define "hotmount.namespaceSelector" -}}
{{- with merge (dict) (.labels | default dict) (.root.Values.webhook.namespaceSelector.matchLabels | default dict) }}
matchLabels: {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions: {{- include "hotmount.notExcluded" .root | nindent 2 }}
{{- end -}}

{{/*
CEL: the metadata `.` has an annotation of ours. Looking through annotations costs the API server's budget for expressions, and an
expression that exceeds it is an error, which rejects: so more of them than anybody has are not looked through but sent to the webhook.
*/}}
{{- define "hotmount.carries" -}}
has({{ . }}.annotations) && (size({{ . }}.annotations) > 2000 || {{ . }}.annotations.exists(key, key.startsWith('hotmount.io/')))
{{- end -}}

{{/* CEL: the first metadata of the list has an annotation of ours that the second has not, or has otherwise. Status is what the webhook writes. */}}
{{- define "hotmount.hasOther" -}}
{{- $one := index . 0 -}}{{- $two := index . 1 -}}
has({{ $one }}.annotations) && (size({{ $one }}.annotations) > 500 || {{ $one }}.annotations.exists(key,
  key.startsWith('hotmount.io/') && key != 'hotmount.io/status'
    && !(has({{ $two }}.annotations) && key in {{ $two }}.annotations && {{ $two }}.annotations[key] == {{ $one }}.annotations[key])))
{{- end -}}

{{/* CEL: the workload `.`, which may be null, or its template carries one. Every step of the way may be missing. */}}
{{- define "hotmount.workloadCarries" -}}
{{ . }} != null && (
  ({{ include "hotmount.carries" (printf "%s.metadata" .) }})
  || has({{ . }}.spec) && (
    has({{ . }}.spec.template) && has({{ . }}.spec.template.metadata)
      && ({{ include "hotmount.carries" (printf "%s.spec.template.metadata" .) }})
    || has({{ . }}.spec.jobTemplate) && has({{ . }}.spec.jobTemplate.spec) && has({{ . }}.spec.jobTemplate.spec.template)
      && has({{ . }}.spec.jobTemplate.spec.template.metadata)
      && ({{ include "hotmount.carries" (printf "%s.spec.jobTemplate.spec.template.metadata" .) }})
  )
)
{{- end -}}

{{/*
The affinity of pods that run our image: the values', and no node of an architecture that the image is not made for. Terms are alternatives, so
that each gets the requirement.
*/}}
{{- define "hotmount.affinity" -}}
{{- $affinity := deepCopy (.values.affinity | default dict) -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $ours := list
  (dict "key" "kubernetes.io/os" "operator" "In" "values" (list "linux"))
  (dict "key" "kubernetes.io/arch" "operator" "In" "values" .root.Values.image.architectures) -}}
{{- $terms := list -}}
{{- range $required.nodeSelectorTerms | default (list dict) -}}
{{- $terms = append $terms (merge (dict "matchExpressions" (concat (.matchExpressions | default list) $ours)) .) -}}
{{- end -}}
{{- $_ := set $required "nodeSelectorTerms" $terms -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/*
CEL: the pod has a volume of ours, or one of the host that may lead to the run dir; the webhook looks closer. More volumes than anybody has
are not looked through, for the same reason.
*/}}
{{- define "hotmount.hasVolume" -}}
has(object.spec.volumes) && (size(object.spec.volumes) > 500 || object.spec.volumes.exists(v,
  has(v.csi) && v.csi.driver == 'hotmount.io' || has(v.hostPath) && v.hostPath.path.contains('hotmount')))
{{- end -}}

{{/* What the driver needs of the kubelet's directories. `pods` and `plugins_registry` are the kubelet's to make: without them, `kubeletDir` is wrong. */}}
{{- define "hotmount.kubeletVolumes" -}}
- name: pods
  hostPath: { path: {{ .Values.kubeletDir }}/pods, type: Directory }
- name: plugin
  hostPath: { path: {{ .Values.kubeletDir }}/plugins/hotmount.io, type: DirectoryOrCreate }
- name: registry
  hostPath: { path: {{ .Values.kubeletDir }}/plugins_registry, type: Directory }
{{- end -}}

{{/* What all pods have in common: `values` are those of one kind of them, `root` is the chart's whole context. */}}
{{- define "hotmount.scheduling" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity: {{- include "hotmount.affinity" . | nindent 2 }}
{{- with concat .root.Values.image.pullSecrets ((.root.Values.global | default dict).imagePullSecrets | default list) }}
imagePullSecrets:
  {{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") }}
  {{- end }}
{{- end }}
{{- end -}}
