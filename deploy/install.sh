#!/bin/sh
# Install exactly what lists name into the images' environment: sh install.sh LIST...
# Every file is checked by its hash, nothing that the lists lack is fetched, and the tools to build with go again.
set -eu
for list in "$@"; do
    pip --python /opt/venv/bin/python install --no-compile --require-hashes --no-deps --no-build-isolation -r "$list"
done
pip --python /opt/venv/bin/python check
pip --python /opt/venv/bin/python uninstall --quiet --yes setuptools wheel
