# One image a service: docker build --target registry|ui|camera|compute
# Each carries only what it runs: pyproject.toml's extras say what that is.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/fogline FOGLINE_ROOT=/opt/fogline \
    FOGLINE_DATA=/data FOGLINE_HOST=0.0.0.0 FOGLINE_LOG=json
LABEL org.opencontainers.image.title="Fogline" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --create-home fogline && install -d -o fogline -g fogline /data /opt/fogline
WORKDIR /opt/fogline

# Packages first, by role, so that a change of code does not install them again.
FROM base AS build
COPY pyproject.toml deploy/requirements_of.py ./
RUN python -m venv /opt/venv

FROM build AS build-registry
RUN python requirements_of.py registry > role.txt && /opt/venv/bin/pip install -r role.txt

FROM build AS build-ui
RUN python requirements_of.py ui > role.txt && /opt/venv/bin/pip install -r role.txt

FROM build AS build-camera
RUN python requirements_of.py camera > role.txt && /opt/venv/bin/pip install -r role.txt

FROM build AS build-compute
RUN python requirements_of.py compute > role.txt && /opt/venv/bin/pip install -r role.txt

# The dashboard's libraries and the models are fetched at build time: a cluster without internet starts.
FROM build-compute AS fetched
COPY --chown=fogline . .
RUN python -m cli.prepare
USER fogline
RUN python -m cli models pull --defaults --data /data

FROM base AS registry
COPY --from=build-registry /opt/venv /opt/venv
COPY --chown=fogline . .
USER fogline
VOLUME /data
EXPOSE 5050
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "deploy/healthcheck.py", "5050"]
CMD ["python", "-m", "cli", "registry"]

FROM base AS ui
COPY --from=build-ui /opt/venv /opt/venv
COPY --chown=fogline . .
COPY --from=fetched --chown=fogline /opt/fogline/ui/node_modules ui/node_modules
USER fogline
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "deploy/healthcheck.py", "8080"]
CMD ["python", "-m", "cli", "ui"]

FROM base AS camera
COPY --from=build-camera /opt/venv /opt/venv
COPY --chown=fogline . .
COPY --from=fetched --chown=fogline /data/media /data/media
USER fogline
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD ["python", "deploy/healthcheck.py", "5000"]
CMD ["python", "-m", "cli", "camera", "--port", "5000"]

FROM base AS compute
COPY --from=build-compute /opt/venv /opt/venv
COPY --chown=fogline . .
COPY --from=fetched --chown=fogline /data/models /data/models
USER fogline
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["python", "deploy/healthcheck.py", "8000"]
CMD ["python", "-m", "cli", "compute", "--port", "8000"]
