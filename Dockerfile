# rproxy as a container. Build: docker build -t rproxy .
# Run: docker run -p 127.0.0.1:6379:6379 -e RPROXY_SERVERS=redis://10.0.0.1,redis://10.0.0.2 rproxy
# The settings file in it listens on every address of the container (protected = false: whoever reaches the container may use it); variables win over it, and
# another file may be mounted in its place.
# It writes nothing: --read-only --cap-drop=ALL --security-opt=no-new-privileges is fine. Unhealthy: no leader, no reader, or no answer.

# The base image by its digest, so that the same sources make the same image. A newer one: docker buildx imagetools inspect python:3.13-slim
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS builder
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements ./requirements
# Every package in the versions, and with the hashes, that the lock files hold.
RUN python -m venv /opt/rproxy \
 && /opt/rproxy/bin/pip install --no-cache-dir --require-hashes --requirement requirements/runtime.txt \
 && pip install --no-cache-dir --require-hashes --requirement requirements/build.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY rproxy ./rproxy
# BUILD_EXTENSION=yes: without a compiled data plane the build fails; it never falls back.
RUN BUILD_EXTENSION=yes pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/rproxy/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM ${BASE}
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
