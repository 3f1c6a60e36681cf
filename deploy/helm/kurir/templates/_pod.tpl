{{- define "kurir.labels" -}}
app.kubernetes.io/name: kurir
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "kurir.secret" -}}
{{ .Values.existingSecret | default .Release.Name }}
{{- end -}}

{{- define "kurir.pod" -}}
metadata:
  labels:
    {{- include "kurir.labels" . | nindent 4 }}
spec:
  automountServiceAccountToken: false
  # No variables of the services of the namespace: one that is called kurir would begin with KURIR_ as our settings do.
  enableServiceLinks: false
  # The pause before SIGTERM, and the drain: some seconds, 48 at the very most.
  terminationGracePeriodSeconds: 75
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    # Not every file at every start: only where the volume is not the group's yet.
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: kurir
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
      args: ["serve"]
      ports:
        - name: http
          containerPort: 8080
      env:
        - name: KURIR_LISTEN
          value: "0.0.0.0:8080"
        - name: KURIR_PUBLIC_URL
          value: {{ .Values.publicUrl | quote }}
        - name: KURIR_DATABASE
          {{- if .Values.postgresql }}
          valueFrom:
            secretKeyRef:
              name: {{ include "kurir.secret" . }}
              key: database-url
          {{- else }}
          value: /var/lib/kurir/kurir.db
          {{- end }}
        - name: KURIR_ENCRYPTION_KEY
          valueFrom:
            secretKeyRef:
              name: {{ include "kurir.secret" . }}
              key: encryption-key
        - name: KURIR_ADMIN_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ include "kurir.secret" . }}
              key: admin-token
        - name: KURIR_METRICS_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ include "kurir.secret" . }}
              key: metrics-token
      # A large database may take its time to migrate: ten minutes.
      startupProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 5
        failureThreshold: 120
      # A restart helps a process that does not answer at all, and no other.
      livenessProbe:
        httpGet:
          path: /livez
          port: http
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      # What routes requests hears later than the pod that it is leaving.
      lifecycle:
        preStop:
          exec:
            command: ["/opt/kurir/bin/python", "-c", "import time; time.sleep(5)"]
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: data
          mountPath: /var/lib/kurir
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if .Values.postgresql }}
    # What the platforms' people send is kept nowhere here: it streams. Nodes that keep files need a folder that all share.
    - name: data
      emptyDir: {}
    {{- end }}
{{- end -}}
