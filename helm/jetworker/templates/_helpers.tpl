{{- define "jetworker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- /* A StatefulSet's pods are NAME-0 and carry a revision label: room is left for both. The name
of a release may have dots, that of a Service may not. */ -}}
{{- define "jetworker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- else if contains (include "jetworker.name" .) .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "jetworker.name" .) | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "jetworker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "jetworker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Call with (dict "root" $ "component" C "labels" L). Each is written once: the chart's
own win, for by them things are selected; then L; then commonLabels. */ -}}
{{- define "jetworker.labels" -}}
{{- $chart := .root.Chart -}}
helm.sh/chart: {{ printf "%s-%s" $chart.Name $chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "jetworker.selectorLabels" .root }}
app.kubernetes.io/version: {{ $chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- $ours := list "helm.sh/chart" "strimzi.io/cluster" }}
{{- range list "name" "instance" "version" "managed-by" "component" }}
{{- $ours = append $ours (printf "app.kubernetes.io/%s" .) }}
{{- end }}
{{- range $name, $value := merge (dict) (default (dict) .labels) .root.Values.commonLabels }}
{{- if not (has $name $ours) }}
{{ toYaml (dict $name $value) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The head of every object: (dict "root" $ "name" N "annotations" A "labels" L "component" C). */ -}}
{{- define "jetworker.metadata" -}}
{{- $annotations := merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "jetworker.labels" . | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "jetworker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "jetworker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "jetworker.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- with $image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end }}

{{- /* Whole seconds of a duration as the settings have them, rounded up. */ -}}
{{- define "jetworker.seconds" -}}
{{- $text := toString . -}}
{{- $number := regexFind "^[0-9]+(\\.[0-9]+)?" $text | float64 -}}
{{- $unit := regexFind "(ms|s|m|h|d)?$" $text -}}
{{- $factor := get (dict "ms" 0.001 "s" 1.0 "" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0) $unit -}}
{{- ceil (mulf $number $factor) | int -}}
{{- end }}

{{- /* A full drain, and ten seconds for the clients to close. */ -}}
{{- define "jetworker.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "jetworker.seconds" .Values.config.shutdown.timeout | int) 10 -}}
{{- else -}}
{{- int .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end }}

{{- define "jetworker.hasSasl" -}}
{{- if hasPrefix "SASL" (upper .Values.config.kafka.security_protocol) }}true{{ end -}}
{{- end }}

{{- define "jetworker.hasTls" -}}
{{- if hasSuffix "SSL" (upper .Values.config.kafka.security_protocol) }}true{{ end -}}
{{- end }}

{{- define "jetworker.autoscaled" -}}
{{- if or .Values.keda.enabled .Values.autoscaling.enabled }}true{{ end -}}
{{- end }}

{{- define "jetworker.routesConfigMap" -}}
{{- default (printf "%s-routes" (include "jetworker.fullname" .)) .Values.existingRoutesConfigMap -}}
{{- end }}

{{- define "jetworker.secretName" -}}
{{- default (printf "%s-secret" (include "jetworker.fullname" .)) .Values.secret.existingSecret -}}
{{- end }}

{{- /* The settings file: values.config without what is empty, and where things are mounted. */ -}}
{{- define "jetworker.settings" -}}
{{- $tree := dict "routes_file" "/etc/jetworker/routes/routes.yaml" -}}
{{- range $name, $value := .Values.config -}}
{{- if kindIs "map" $value -}}
{{- $part := dict -}}
{{- range $key, $each := $value -}}
{{- if not (or (kindIs "invalid" $each) (eq (toString $each) "")) }}{{ $_ := set $part $key $each }}{{ end -}}
{{- end -}}
{{- if $part }}{{ $_ := set $tree $name $part }}{{ end -}}
{{- else if not (or (kindIs "invalid" $value) (eq (toString $value) "")) -}}
{{- $_ := set $tree $name $value -}}
{{- end -}}
{{- end -}}
{{- $kafka := $tree.kafka -}}
{{- if .Values.kafkaTls.caSecret }}{{ $_ := set $kafka "ssl_ca_location" "/etc/jetworker/kafka-tls/ca.crt" }}{{ end -}}
{{- if .Values.kafkaTls.clientSecret -}}
{{- $_ := set $kafka "ssl_certificate_location" "/etc/jetworker/kafka-tls/client.crt" -}}
{{- $_ := set $kafka "ssl_key_location" "/etc/jetworker/kafka-tls/client.key" -}}
{{- end -}}
{{- if .Values.jetTls.caConfigMap -}}
{{- $_ := set $tree.jet "ssl_ca_location" "/etc/jetworker/jet-tls/ca.crt" -}}
{{- end -}}
{{- toYaml $tree -}}
{{- end }}

{{- /* Own secrets: what was given, as files named like the settings. */ -}}
{{- define "jetworker.secretData" -}}
{{- range $name, $value := .Values.secret.data }}
{{- if $value }}
{{ $name }}: {{ $value | toString | b64enc }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Environment of every container that runs jetworker; the worker adds its own name. */ -}}
{{- define "jetworker.env" -}}
- name: JETWORKER_CONFIG
  value: /etc/jetworker/config/settings.yaml
- name: JETWORKER_SECRETS_DIR
  value: /etc/jetworker/secrets
{{- end }}

{{- define "jetworker.volumeMounts" -}}
- name: config
  mountPath: /etc/jetworker/config
  readOnly: true
- name: secrets
  mountPath: /etc/jetworker/secrets
  readOnly: true
{{- if or .Values.kafkaTls.caSecret .Values.kafkaTls.clientSecret }}
- name: kafka-tls
  mountPath: /etc/jetworker/kafka-tls
  readOnly: true
{{- end }}
{{- if .Values.jetTls.caConfigMap }}
- name: jet-tls
  mountPath: /etc/jetworker/jet-tls
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Call with (dict "root" $ "config" NAME "secret" NAME). */ -}}
{{- define "jetworker.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap:
    name: {{ .config }}
- name: secrets
  projected:
    # The files are read by the group of the pod (fsGroup), by nobody else.
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .secret }}
          {{- with $values.secret.keys }}
          items:
            {{- range $file, $key := . }}
            - key: {{ $key }}
              path: {{ $file }}
            {{- end }}
          {{- end }}
      {{- with $values.kafkaPassword.existingSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: {{ $values.kafkaPassword.key }}
              path: kafka__sasl_password
      {{- end }}
{{- if or $values.kafkaTls.caSecret $values.kafkaTls.clientSecret }}
- name: kafka-tls
  projected:
    defaultMode: 0440
    sources:
      {{- with $values.kafkaTls.caSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: {{ $values.kafkaTls.caKey }}
              path: ca.crt
      {{- end }}
      {{- with $values.kafkaTls.clientSecret }}
      - secret:
          name: {{ . }}
          items:
            - key: {{ $values.kafkaTls.certificateKey }}
              path: client.crt
            - key: {{ $values.kafkaTls.keyKey }}
              path: client.key
      {{- end }}
{{- end }}
{{- with $values.jetTls.caConfigMap }}
- name: jet-tls
  configMap:
    name: {{ . }}
    items:
      - key: {{ $values.jetTls.caKey }}
        path: ca.crt
{{- end }}
{{- with $values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What every pod of the chart has in common. */ -}}
{{- define "jetworker.podCommon" -}}
automountServiceAccountToken: false
# Kubernetes would add JETWORKER_... variables for every service of the namespace.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* A container of the image: call with (dict "root" $ "name" N "args" (list ...)). */ -}}
{{- define "jetworker.container" -}}
name: {{ .name }}
image: {{ include "jetworker.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
  {{- toYaml .args | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- with .root.Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
