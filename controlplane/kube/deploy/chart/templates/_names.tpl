{{- define "umagate.name" -}}
{{- if contains "umagate" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-umagate" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end -}}
{{- end -}}

{{- define "umagate.selector" -}}
app.kubernetes.io/name: umagate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "umagate.labels" -}}
{{ include "umagate.selector" . }}
app.kubernetes.io/part-of: umagate
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* umagate.yaml: what the chart says, then what config says. */}}
{{- define "umagate.file" -}}
{{- $listen := dict "api" "0.0.0.0:8090" "xds" "0.0.0.0:18000" "instances" "0.0.0.0:18001" }}
{{- if .Values.tls.secretName }}
{{- $_ := set $listen "xds_tls" (dict "certificate" "/etc/umagate/tls/tls.crt" "key" "/etc/umagate/tls/tls.key" "client_ca" "/etc/umagate/tls/ca.crt") }}
{{- $_ := set $listen "api_tls" (dict "certificate" "/etc/umagate/tls/tls.crt" "key" "/etc/umagate/tls/tls.key" "client_ca" "/etc/umagate/tls/ca.crt") }}
{{- else }}
{{- $_ := set $listen "insecure_plaintext" true }}
{{- end }}
{{- $file := dict "listen" $listen "api" (dict "open_probes" true "local_token" "/var/lib/umagate/local.token" "tokens" (list (dict "name" "chart" "role" "read" "token" (dict "env" "UMAGATE_API_TOKEN")))) }}
{{- $_ := set $file "envoy" (dict "xds" (printf "%s.%s.svc:18000" (include "umagate.name" .) .Release.Namespace) "instances" (printf "%s.%s.svc:18001" (include "umagate.name" .) .Release.Namespace)) }}
{{- if .Values.store.postgresSecret }}
{{- $_ := set $file "store" "${UMAGATE_STORE}" }}
{{- $_ := set $file "store_key" (dict "env" "UMAGATE_STORE_KEY") }}
{{- else }}
{{- $_ := set $file "store" "sqlite:/var/lib/umagate/umagate.db" }}
{{- end }}
{{- toYaml (mergeOverwrite $file (deepCopy .Values.config)) }}
{{- end -}}
