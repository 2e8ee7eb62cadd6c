{{/* Names, labels and the parts that coordinator, workers and the test pod share. */}}

{{- define "drover.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "drover.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "drover.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "drover.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "drover.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What a selector may hold: never a version. Argument: dict "root" $ and, for one component, "component". */}}
{{- define "drover.selector" -}}
app.kubernetes.io/name: {{ include "drover.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "drover.labels" -}}
{{ include "drover.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a pod template: without version and chart, which would restart every pod at each chart release. */}}
{{- define "drover.podLabels" -}}
{{ include "drover.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Argument: dict "root" $ "image" .Values.image.worker */}}
{{- define "drover.image" -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" -}}
{{- $repository := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if eq .image.tag "latest" -}}
{{- fail (printf "image tag of %s: found latest, expected a version (latest names none)" .image.repository) -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "drover.modelPath" -}}
{{- ternary (printf "/models/%s" .Values.model.path) "/models" (ne .Values.model.path "") -}}
{{- end -}}

{{- define "drover.modelVolume" -}}
{{- $model := .Values.model -}}
- name: model
{{- if eq $model.source "pvc" }}
  persistentVolumeClaim:
    claimName: {{ required "model.source is pvc: model.pvc.claimName must name an existing PersistentVolumeClaim" $model.pvc.claimName }}
    readOnly: true
{{- else if eq $model.source "hostPath" }}
  hostPath:
    path: {{ required "model.source is hostPath: model.hostPath.path must be an absolute folder on the nodes" $model.hostPath.path }}
    type: Directory
{{- else }}
  image:
    reference: {{ required "model.source is image: model.image.reference must name an OCI image" $model.image.reference }}
    pullPolicy: {{ $model.image.pullPolicy }}
{{- end }}
{{- end -}}

{{/* The settings of each process: the parts of drover.v1.Config. Each pod template carries a checksum of its own part, so that a
     coordinator setting does not restart workers (and the other way round). */}}
{{- define "drover.coordinatorSettings" -}}
model: {{ include "drover.modelPath" . | quote }}
{{- with .Values.model.name }}
modelName: {{ . | quote }}
{{- end }}
http: 0.0.0.0:8000
grpc: 0.0.0.0:8001
cluster: 0.0.0.0:8002
{{- range $key, $value := dict "maxModelLen" .Values.model.maxLen "kvTokens" .Values.model.kvTokens "maxSequences" .Values.model.maxSequences }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ $value | int64 | toString | quote }}
{{- end }}
{{- end }}
drainLimit: {{ .Values.coordinator.drainSeconds }}
logLevel: {{ .Values.coordinator.logLevel | quote }}
{{- end -}}

{{- define "drover.groupSettings" -}}
coordinator: {{ printf "%s-coordinator-cluster:8002" (include "drover.fullname" .) | quote }}
ranks: {{ .Values.workers.ranks | int64 }}
threads: {{ .Values.workers.threads | int64 }}
orphanGrace: {{ .Values.workers.orphanGraceSeconds | int64 }}
drainLimit: {{ .Values.workers.drainSeconds | int64 }}
logLevel: {{ .Values.workers.logLevel | quote }}
{{- end -}}

{{/* The "restricted" Pod Security level, on the pod and on its containers. */}}
{{- define "drover.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "drover.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Argument: dict "root" $ "part" .Values.workers */}}
{{- define "drover.placement" -}}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "drover.podBase" -}}
serviceAccountName: {{ include "drover.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "drover.podSecurity" . | nindent 2 }}
{{- end -}}
