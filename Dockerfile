# Pin by digest: --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie
ARG UV_IMAGE=ghcr.io/astral-sh/uv:0.13.9

FROM ${UV_IMAGE} AS uv

FROM ${PYTHON_IMAGE} AS build
COPY --from=uv /uv /usr/local/bin/uv
# Unchecked bytecode: image builders round the times of files, and Python would compile
# anew at every start what seems to be of another second.
ENV UV_COMPILE_BYTECODE=1 \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/venv
WORKDIR /src
# What is not for everybody: "--extra=aws" (IAM of Amazon MSK), "--extra=otel" (spans), or both.
ARG EXTRAS=""
# The dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock ./
# hadolint ignore=SC2086
RUN uv sync --locked --no-dev --no-install-project ${EXTRAS}
COPY README.md LICENSE ./
COPY jetworker ./jetworker
# hadolint ignore=SC2086
RUN uv sync --locked --no-dev --no-editable ${EXTRAS}
# What is in it, with hashes and licences, for whoever has only the image.
COPY tests/packaging/sbom.py ./
# hadolint ignore=SC2086
RUN uv export --quiet --locked --no-dev ${EXTRAS} --format cyclonedx1.5 --output-file /opt/venv/sbom.cdx.json \
    && /opt/venv/bin/python sbom.py /opt/venv/sbom.cdx.json

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="jetworker" \
      org.opencontainers.image.description="Moves files with Signiant Jet when a Kafka message says so" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.cyclonedx.sbom="/opt/venv/sbom.cdx.json"
COPY --from=build /opt/venv /opt/venv
# Nothing is written at run time: the root file system may be read-only.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
# SIGTERM drains; the process is fit to be PID 1, it has no children.
STOPSIGNAL SIGTERM
# Kubernetes asks /livez and /readyz.
HEALTHCHECK NONE
ENTRYPOINT ["jetworker"]
CMD ["run"]
