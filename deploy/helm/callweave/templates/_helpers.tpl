{{- define "callweave.labels" -}}
app.kubernetes.io/name: callweave
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "callweave.allLabels" -}}
{{ include "callweave.labels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "callweave.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "callweave.ports" -}}
{{- $ports := dict "receiver" 8080 "login-tokens" 8081 "dashboard" 8082 -}}
{{- get $ports . -}}
{{- end }}

{{- /* The pod of a role: .root, .role, .settings, .resources, .command, .data (the volume's source, or nothing). */ -}}
{{- define "callweave.pod" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- $port := include "callweave.ports" $role -}}
{{- if ne $role "topics" }}
serviceAccountName: {{ $root.Release.Name }}-callweave
{{- end }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
terminationGracePeriodSeconds: 75
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ $role }}
    image: {{ include "callweave.image" $root | quote }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ .command | toJson }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    env:
      - name: CALLWEAVE_DATA_DIR
        value: /data
      - name: CALLWEAVE_ADMIN__HOST
        value: 0.0.0.0
      {{- range $name, $value := merge (dict) .settings $root.Values.settings }}
      {{- if ne (toString $value) "" }}
      - name: CALLWEAVE_{{ $name }}
        value: {{ $value | quote }}
      {{- end }}
      {{- end }}
      {{- if eq $role "worker" }}
      # Static membership: the ordinal's name, which a restarted pod has again.
      - name: CALLWEAVE_WORKER__INSTANCE_ID
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- end }}
      {{- range $root.Values.secrets }}
      {{- if has $role .roles }}
      - name: CALLWEAVE_{{ .setting }}_FILE
        value: /run/secrets/callweave/{{ .setting }}
      {{- end }}
      {{- end }}
    {{- if ne $role "topics" }}
    ports:
      - {name: admin, containerPort: 9464}
      {{- if $port }}
      - {name: http, containerPort: {{ $port }}}
      {{- end }}
    startupProbe:
      httpGet: {path: /health/live, port: admin}
      periodSeconds: 3
      failureThreshold: 40
    livenessProbe:
      httpGet: {path: /health/live, port: admin}
      periodSeconds: 15
      timeoutSeconds: 5
      failureThreshold: 4
    readinessProbe:
      httpGet: {path: /health/ready, port: admin}
      periodSeconds: 5
      timeoutSeconds: 5
    {{- end }}
    resources: {{- toYaml .resources | nindent 6 }}
    volumeMounts:
      - {name: data, mountPath: /data}
      - {name: tmp, mountPath: /tmp}
      - {name: secrets, mountPath: /run/secrets/callweave, readOnly: true}
      {{- range $root.Values.files }}
      - {name: file-{{ .name }}, mountPath: /run/files/{{ .name }}, readOnly: true}
      {{- end }}
volumes:
  {{- if not .keepsData }}
  - name: data
    emptyDir: {sizeLimit: 1Gi}
  {{- end }}
  - name: tmp
    emptyDir: {sizeLimit: 256Mi}
  - name: secrets
    projected:
      defaultMode: 0440
      sources:
        {{- $given := list }}
        {{- range $root.Values.secrets }}
        {{- if has $role .roles }}
        {{- $given = append $given .setting }}
        - secret:
            name: {{ .secret }}
            items: [{key: {{ .key | quote }}, path: {{ .setting }}}]
        {{- end }}
        {{- end }}
        {{- if not $given }} []{{ end }}
  {{- range $root.Values.files }}
  - name: file-{{ .name }}
    {{- if .secret }}
    secret: {secretName: {{ .secret }}, defaultMode: 0440}
    {{- else }}
    configMap: {name: {{ required "files: each needs a secret or a configMap" .configMap }}}
    {{- end }}
  {{- end }}
{{- end }}
