{{/*
What an admin can set wrongly and values.schema.json cannot say in words: each with its remedy. Fails with all of them at once.
*/}}
{{- define "hotmount.check" -}}
{{- $problems := list -}}
{{- if not .Values.image.repository -}}
{{- $problems = append $problems "image.repository is empty, and no image is published: build one and say where nodes find it, such as --set image.repository=registry.example/hotmount (docs/install.md, The image)" -}}
{{- end -}}
{{- range $key, $name := dict "nameOverride" .Values.nameOverride "fullnameOverride" .Values.fullnameOverride -}}
{{- if and $name (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name)) -}}
{{- $problems = append $problems (printf "%s: %q cannot be part of a name in Kubernetes: use lower-case letters, digits and -, a letter first, such as %q" $key $name (regexReplaceAll "[^-a-z0-9]+" (lower $name) "-" | trimAll "-")) -}}
{{- end -}}
{{- end -}}
{{- with .Values.certificates -}}
{{- if and (eq .source "existingSecret") (not .existingSecret.name) -}}
{{- $problems = append $problems "certificates.source is existingSecret: set certificates.existingSecret.name to the name of a Secret of type kubernetes.io/tls" -}}
{{- end -}}
{{- if and (eq .source "certManager") (not .certManager.issuerRef.name) -}}
{{- $problems = append $problems "certificates.source is certManager: set certificates.certManager.issuerRef.name (and .kind, Issuer or ClusterIssuer) to your issuer" -}}
{{- end -}}
{{- if and (ne .source "existingSecret") (or .existingSecret.name .existingSecret.caBundle) -}}
{{- $problems = append $problems (printf "certificates.existingSecret is set, but certificates.source is %s, which does not use it: set certificates.source=existingSecret, or leave it out" .source) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.webhook.clientCa.names (not .Values.webhook.clientCa.secret) -}}
{{- $problems = append $problems "webhook.clientCa.names needs webhook.clientCa.secret: the Secret whose ca.crt signs those clients' certificates" -}}
{{- end -}}
{{- if not (gt (len (values .Values.webhook.ports | uniq)) 2) -}}
{{- $problems = append $problems "webhook.ports: each of https, metrics and health needs a port of its own" -}}
{{- end -}}
{{- if and (eq (default "label" .Values.policy.scheduleBy) "resource") (not .Values.node.devicePlugin) -}}
{{- $problems = append $problems "policy.scheduleBy is resource, and no node has any: pods that ask to be scheduled would wait for ever; set node.devicePlugin=true" -}}
{{- end -}}
{{- range $component := list "webhook" "node" "lxcfs" -}}
{{- $account := (index $.Values $component).serviceAccount -}}
{{- if and (not $account.create) (not $account.name) -}}
{{- $problems = append $problems (printf "%s.serviceAccount.create is false: set %s.serviceAccount.name to the ServiceAccount that you made" $component $component) -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThe values cannot be used:\n- %s" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}
