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

{{/* The settings of each process, as environment names. The ConfigMap holds all of them; each pod template carries a checksum
     of its own part, so that a coordinator setting does not restart workers (and the other way round). */}}
{{- define "drover.coordinatorSettings" -}}
DROVER_MODEL: {{ include "drover.modelPath" . | quote }}
DROVER_DRAIN_LIMIT: {{ .Values.coordinator.drainSeconds | toString | quote }}
DROVER_COORDINATOR_LOG_LEVEL: {{ .Values.coordinator.logLevel | quote }}
{{- with .Values.model.name }}
DROVER_MODEL_NAME: {{ . | quote }}
{{- end }}
{{- range $key, $value := dict "DROVER_MAX_MODEL_LEN" .Values.model.maxLen "DROVER_KV_TOKENS" .Values.model.kvTokens "DROVER_MAX_SEQUENCES" .Values.model.maxSequences }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ $value | int64 | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "drover.workerSettings" -}}
DROVER_COORDINATOR: {{ printf "%s-coordinator-cluster:8002" (include "drover.fullname" .) | quote }}
DROVER_COORDINATOR_GRPC: {{ printf "%s-coordinator-cluster:8001" (include "drover.fullname" .) | quote }}
DROVER_LOG_LEVEL: {{ .Values.workers.logLevel | quote }}
DROVER_ORPHAN_GRACE: {{ .Values.workers.orphanGraceSeconds | int64 | toString | quote }}
DROVER_GROUP_DRAIN_LIMIT: {{ .Values.workers.drainSeconds | int64 | toString | quote }}
DROVER_RANKS: {{ .Values.workers.ranks | int64 | toString | quote }}
DROVER_THREADS: {{ .Values.workers.threads | int64 | toString | quote }}
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
