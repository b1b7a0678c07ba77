#!/bin/sh
# Fogline's command line on this machine, in its service's name: sudo fogline status
set -eu
data=@DATA@ registry=@REGISTRY@ dashboard=@DASHBOARD@
export PYTHONPATH=/opt/fogline FOGLINE_ROOT=/opt/fogline PYTHONDONTWRITEBYTECODE=1
if [ -n "$registry" ]; then # it is here: how others reach it
    export FOGLINE_REGISTRY_ADDRESS="${FOGLINE_REGISTRY_ADDRESS:-$registry}"
    export FOGLINE_DASHBOARD="${FOGLINE_DASHBOARD:-$dashboard}"
fi
set -- /opt/fogline/venv/bin/python -m cli "$@"
[ "$(id -u)" = 0 ] || exec "$@"
case " $* " in
*" --here "*) # looks into the services' processes, which their own user may not
    FOGLINE_DATA=${FOGLINE_DATA:-$data/compute} exec "$@"
    ;;
*" models "*) role=compute ;;
*) role=registry ;;
esac
[ -d "$data/$role" ] || role=compute
export FOGLINE_DATA="${FOGLINE_DATA:-$data/$role}" HOME="$data/$role"
cd /opt/fogline
exec runuser -u fogline -- "$@"
