{{/*
What an admin can set wrongly and values.schema.json cannot say in words: each with its remedy. Fails with all of them at once.
*/}}
{{- define "hotmount.check" -}}
{{- $problems := list -}}
{{- if not .Values.image.repository -}}
{{- $problems = append $problems "image.repository is empty, and no image is published: build one and say where nodes find it, such as --set image.repository=registry.example/hotmount (docs/install.md, The image)" -}}
{{- end -}}
{{- $own := .Values.webhook.image | default dict -}}
{{- $component := "[a-z0-9]+([._-]+[a-z0-9]+)*" -}}
{{- range $key, $name := dict "image.repository" .Values.image.repository "webhook.image.repository" $own.repository -}}
{{- if regexMatch "^.+(:[^/]*|@.*)$" ($name | default "") -}}
{{- $problems = append $problems (printf "%s: %q has a tag or digest in it: write it without, and set %s" $key $name (regexReplaceAll "repository$" $key "tag or .digest")) -}}
{{- else if and $name (not (regexMatch (printf "^([A-Za-z0-9.-]+(:[0-9]+)?/)?%s(/%s)*$" $component $component) $name)) -}}
{{- $problems = append $problems (printf "%s: %q cannot be the name of an image: write it as registry.example/hotmount, in lower case and without https://" $key $name) -}}
{{- end -}}
{{- end -}}
{{- range $key, $tag := dict "image.tag" .Values.image.tag "webhook.image.tag" $own.tag -}}
{{- if and (kindIs "string" $tag) $tag (not (regexMatch "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" $tag)) -}}
{{- $problems = append $problems (printf "%s: %q cannot be the tag of an image: use at most 128 letters, digits and _ . -" $key $tag) -}}
{{- end -}}
{{- end -}}
{{- with (.Values.global | default dict).imageRegistry -}}
{{- if not (regexMatch "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/?$" .) -}}
{{- $problems = append $problems (printf "global.imageRegistry: %q cannot be a registry: write its name alone, such as registry.example:5000, without https://" .) -}}
{{- end -}}
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
{{- $ports := .Values.webhook.ports -}}
{{- /* As text: --set has integers, and values.yaml floats. */ -}}
{{- if lt (len (list (toString $ports.https) (toString $ports.metrics) (toString $ports.health) | uniq)) 3 -}}
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
