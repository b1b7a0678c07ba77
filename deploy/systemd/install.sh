#!/bin/sh
# Fogline as systemd services, from this checkout: sudo sh deploy/systemd/install.sh --help
# Run it again to upgrade, to add a role or a camera, or to change a setting: what is there stays, and /etc/fogline says
# what runs here. docs/bare-metal.md tells more.
set -eu

usage() {
    cat <<'END'
The first machine:  sudo sh deploy/systemd/install.sh --role registry,ui,compute
Another machine:    sudo sh deploy/systemd/install.sh --role compute --registry http://HOST:5050 --join-token TOKEN
A camera:           sudo sh deploy/systemd/install.sh --camera line-3=/dev/video0
Upgrade:            sudo sh deploy/systemd/install.sh     (in a newer checkout)
Remove:             sudo sh deploy/systemd/install.sh --uninstall [--purge]

  --role LIST           of registry, ui, camera, compute, separated by commas; more may be added later
  --registry URL        the mesh to join
  --join-token TOKEN    made by `fogline token create` there; better as FOGLINE_JOIN_TOKEN, which `ps` does not show
  --camera NAME=SOURCE  a camera node; may be repeated. SOURCE: /dev/video0, rtsp://…, http://…, demo:
  --compute NAME        what the compute node is called instead of this machine's name; once more for a second one
  --address ADDRESS     by which others reach this machine; found out when not given
  --site NAME           the place's name, in logs and lists
  --tls                 serve by https, with an authority that the registry makes; on every machine or on none
  --redis URL           instead of the registry's own Valkey: redis://…, unix:///…
  --data DIR            folder for identities, models and the registry's data (/var/lib/fogline)
  --fetch DIR           only fill DIR with what --offline needs, on a machine of the same kind that has all roles
  --offline DIR         use no network: packages, front end and models come from DIR
  --no-start            install, and start nothing
  --purge               with --uninstall: also data, settings and the user
  --root DIR            into DIR instead of /, without users and services (for packages and tests)
  --venv DIR            use this virtual environment, which has the packages already, instead of making one
END
}

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "install: $1"
    [ $# -lt 2 ] || say "         $2"
    exit 1
}

checkout=$(cd "$(dirname "$0")/../.." && pwd)
here=$checkout/deploy/systemd
roles='' registry='' token=${FOGLINE_JOIN_TOKEN:-} cameras='' computes='' address='' site='' redis='' data=''
tls='' fetch='' offline='' start=yes uninstall='' purge='' root='' environment=''
newline='
'
while [ $# -gt 0 ]; do
    option=$1 value=''
    case $option in
    --role | --registry | --join-token | --camera | --compute | --address | --site | --redis | --data | --fetch | \
        --offline | --root | --venv)
        [ -n "${2:-}" ] || fail "$option needs a value; --help shows them"
        value=$2
        shift
        ;;
    esac
    case $option in
    --role) roles=$roles,$value ;;
    --registry) registry=$value ;;
    --join-token) token=$value ;;
    --camera)
        cameras=$cameras$value$newline
        roles=$roles,camera
        ;;
    --compute)
        computes=$computes$value$newline
        roles=$roles,compute
        ;;
    --address) address=$value ;;
    --site) site=$value ;;
    --redis) redis=$value ;;
    --data) data=$value ;;
    --fetch) fetch=$value ;;
    --offline) offline=$(cd "$value" && pwd) || fail "--offline: there is no folder $value" ;;
    --tls) tls=yes ;;
    --no-start) start='' ;;
    --uninstall) uninstall=yes ;;
    --purge) purge=yes ;;
    --root) root=$(mkdir -p "$value" && cd "$value" && pwd) ;;
    --venv) environment=$(cd "$value" && pwd) || fail "--venv: there is no folder $value" ;;
    -h | --help)
        usage
        exit
        ;;
    *) fail "there is no option $option; --help shows them" ;;
    esac
    shift
done

prefix=$root/opt/fogline etc=$root/etc/fogline units=$root/etc/systemd/system
users=$root/usr/lib/sysusers.d/fogline.conf command=$root/usr/local/bin/fogline
new=$prefix.new
python=''

has() { command -v "$1" >/dev/null 2>&1; }
wanted() { case ,$roles, in *",$1,"*) true ;; *) false ;; esac; }
as_service() { if [ -z "$root" ]; then runuser -u fogline -- "$@"; else "$@"; fi; }
# The nodes of one role here, by name: what /etc/fogline has settings for.
nodes_of() { for file in "$etc/$1"-*.env; do [ ! -e "$file" ] || basename "$file" .env | sed "s/^$1-//"; done; }
services() {
    [ ! -e "$etc/registry.env" ] || echo fogline-registry.service
    [ ! -e "$etc/ui.env" ] || echo fogline-ui.service
    for role in compute camera; do nodes_of $role | sed "s/.*/fogline-$role@&.service/"; done
}
setting() { sed -n "s/^$2='\(.*\)'\$/\1/p; s/^$2=\([^'].*\)\$/\1/p" "$1" 2>/dev/null | tail -n 1; }

# put FILE NAME VALUE: one setting of a file, the others kept. Read by systemd alone, as root: it may be a secret.
put() {
    if [ ! -e "$1" ]; then
        echo "# Settings of ${1#"$root"}: NAME='VALUE', see docs/configuration.md. Then: systemctl restart fogline.target" >"$1"
    fi
    chmod 0640 "$1"
    [ -n "$2" ] || return 0
    grep -v "^$2=" "$1" >"$1.new" || true
    chmod 0640 "$1.new"
    printf "%s='%s'\n" "$2" "$3" >>"$1.new"
    mv "$1.new" "$1"
}

check_machine() {
    if [ -z "$root" ]; then
        [ "$(id -u)" = 0 ] || fail "this needs root" "Run it with sudo."
        [ -d /run/systemd/system ] || fail "systemd does not run here" \
            "Use ./fogline up, or docker compose, on this machine; docs/operations.md tells how."
    fi
    case $data in /home/* | /root/*) fail "--data $data: the services may not look into home folders" ;; esac
    case $data in /*) ;; *) fail "--data $data: begin it with /" ;; esac
}

# A Python that the services may run, too: not one in somebody's home folder.
find_python() {
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        for folder in /usr/bin /usr/local/bin; do
            if "$folder/$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
                python=$folder/$name
                return
            fi
        done
    done
    fail "Fogline needs Python 3.11 or newer in /usr/bin or /usr/local/bin; here is: $(python3 --version 2>&1 || true)" \
        "Debian 12, Ubuntu 24.04 and Raspberry Pi OS 12 have it: apt install python3 python3-venv"
}

check_roles() {
    for role in $(echo "$roles" | tr , ' '); do
        case $role in
        registry | ui | camera | compute) ;;
        *) fail "there is no role $role" "The roles are registry, ui, camera and compute." ;;
        esac
    done
    [ -z "$registry" ] || case $registry in
    http://* | https://*) ;;
    *) fail "--registry $registry: write it as http://HOST:5050" ;;
    esac
    case $registry$token$site$redis$cameras in *"'"*) fail "no value may hold a single quote" ;; esac
    printf %s "$computes" | while read -r name; do check_name compute "$name"; done
    printf %s "$cameras" | while read -r wish; do
        case $wish in ?*=?*) ;; *) fail "--camera $wish: write it as NAME=SOURCE" ;; esac
        check_name camera "${wish%%=*}"
    done
    ! wanted camera || [ -n "$cameras$(nodes_of camera)" ] || fail "which camera?" \
        "Say --camera NAME=SOURCE, such as --camera line-3=/dev/video0."
    [ -n "$(services)" ] || [ -n "$roles" ] || fail "nothing of Fogline is here yet: say what this machine shall do" \
        "For the first one: --role registry,ui,compute. To join: --role compute --registry URL --join-token TOKEN."
    for role in registry ui camera compute; do
        case $(services) in *"fogline-$role"*) roles=$roles,$role ;; esac
    done
    if ! wanted registry && [ -z "$registry$(setting "$etc/fogline.env" FOGLINE_REGISTRY)" ]; then
        say "No --registry: the nodes will use the one that answers on this network."
    fi
}

check_name() {
    case $2 in *[!A-Za-z0-9_.-]* | '' | -*) fail "$2 cannot be a $1's name: use letters, digits, . _ and -" ;; esac
}

port_is_free() { "$python" -c 'import socket, sys; socket.create_server(("", int(sys.argv[1])))' "$1" 2>/dev/null; }
require_port() {
    [ -n "$root" ] || systemctl --quiet is-active "fogline-$1.service" || port_is_free "$2" ||
        fail "port $2, which the $1 needs, is taken by another program: $(taken_by "$2")" \
            "Stop that program, or set FOGLINE_PORT in /etc/fogline/$1.env and run this again."
}
taken_by() { if has ss; then ss -Hltnp "sport = :$1" | sed 's/.*users:((//; s/,.*//' | head -n 1; else echo unknown; fi; }
# The first port from $1 on that neither a node of ours nor another program has.
free_port() {
    port=$1
    while grep -qs "^FOGLINE_PORT='$port'" "$etc"/*.env || { [ -z "$root" ] && ! port_is_free "$port"; }; do
        port=$((port + 1))
    done
    echo "$port"
}

. "$here/packages.sh"
. "$here/services.sh"

data=${data:-$(known_data)}
data=${data:-/var/lib/fogline}
check_machine
if [ -n "$uninstall" ]; then
    remove
    exit
fi
find_python
if [ -n "$fetch" ]; then
    fill "$fetch"
    exit
fi
check_roles
! wanted registry || require_port registry "$(setting "$etc/registry.env" FOGLINE_PORT | grep . || echo 5050)"
! wanted ui || require_port ui "$(setting "$etc/ui.env" FOGLINE_PORT | grep . || echo 8080)"
build
configure
switch
farewell
