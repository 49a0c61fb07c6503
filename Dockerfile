# rproxy as a container. Build: docker build -t rproxy .
# Run: docker run -p 127.0.0.1:6379:6379 -e RPROXY_SERVERS=redis://10.0.0.1,redis://10.0.0.2 rproxy
# The settings file in it listens on every address of the container (protected = false: whoever reaches the container may use it); variables win over it, and
# another file may be mounted in its place.
# It writes nothing: --read-only --cap-drop=ALL --security-opt=no-new-privileges is fine. Unhealthy: no leader, no reader, or no answer.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY rproxy ./rproxy
# BUILD_EXTENSION=yes: without a compiled data plane the build fails; it never falls back.
RUN BUILD_EXTENSION=yes pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /opt/rproxy \
 && /opt/rproxy/bin/pip install --no-cache-dir /wheels/*.whl

FROM python:${PYTHON}-slim
COPY --from=builder /opt/rproxy /opt/rproxy
# `docker stop` kills after 10 s, so drain for less. In a file and not in ENV, so that a mounted file wins over it.
RUN mkdir /etc/rproxy \
 && printf 'listen = "tcp://0.0.0.0:6379"\nprotected = false\n[timeouts]\ndrain = "8s"\n' > /etc/rproxy/rproxy.toml
ENV PATH=/opt/rproxy/bin:$PATH \
    RPROXY_CONFIG=/etc/rproxy/rproxy.toml
USER 65532:65532
EXPOSE 6379
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=2 CMD ["rproxy", "healthcheck"]
ENTRYPOINT ["rproxy"]
CMD ["serve"]
