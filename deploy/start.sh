#!/bin/sh
# What an image begins with: sh deploy/start.sh COMMAND...
# The models and pictures that it ships go to the data folder that lacks them, whatever that folder is: a volume that an
# earlier version filled, a folder of the host, an empty one of Kubernetes. Each goes there in one step.
set -eu
trap 'exit 143' TERM INT
if ! [ -w "$FOGLINE_DATA" ]; then
    echo "fogline: $FOGLINE_DATA cannot be written by user $(id -u): give that folder to it (chown 10001:10001)," \
        "or use a volume" >&2
elif [ -d /opt/shipped ]; then
    for shipped in /opt/shipped/*/*; do
        there=$FOGLINE_DATA/${shipped#/opt/shipped/}
        [ -e "$there" ] && continue
        bench=$(mktemp -d "$FOGLINE_DATA/.shipped-XXXXXX")
        cp -r "$shipped" "$bench/"
        mkdir -p "${there%/*}"
        # Another container with the same volume may have been faster.
        mv -T "$bench/${shipped##*/}" "$there" 2>/dev/null || [ -e "$there" ]
        rm -rf "$bench"
    done
fi
[ $$ = 1 ] || exec "$@"
# The first process of a container hears only signals that it has a handler for, and a service has none until it serves:
# so this one stays the first, passes them on, and ends as the service does.
"$@" <&0 &
service=$!
# Until it has become the service it is a copy of this shell, with handlers of the shell's own: a signal would be lost.
trap 'while cmp -s /proc/$$/cmdline "/proc/$service/cmdline" 2>/dev/null; do sleep 0.02; done
    kill -TERM "$service" 2>/dev/null || :' TERM INT
code=0
while kill -0 "$service" 2>/dev/null; do # a signal ends a wait before the service has ended
    wait "$service" && code=0 || code=$?
done
exit "$code"
