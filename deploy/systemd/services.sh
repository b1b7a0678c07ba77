# shellcheck shell=sh disable=SC2154  # its variables are those of install.sh, which reads this file
# Settings, users and units, and the change from what ran to what was built.

ANSWER_SECONDS=40 # for a service to answer after its start, on a slow machine

# The address by which others reach this machine: that from which it reaches them. Nothing is sent.
own_address() {
    "$python" -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("192.0.2.1", 9)); print(s.getsockname()[0])' 2>/dev/null ||
        fail "this machine has no network, so its address is not known" "Say --address ADDRESS."
}

configure() {
    install -d -m 0755 "$etc" "$units" "$(dirname "$users")" "$(dirname "$command")"
    [ -e "$etc/fogline.env" ] || put "$etc/fogline.env" '' ''
    if [ "$data" != "$(known_data)" ]; then
        printf '# Data: %s\n' "$data" >>"$etc/fogline.env"
    fi
    if wanted registry; then
        [ -e "$etc/registry.env" ] || put "$etc/registry.env" '' ''
        address=${address:-$(setting "$etc/registry.env" FOGLINE_ADDRESS)}
        address=${address:-$(own_address)}
        put "$etc/registry.env" FOGLINE_ADDRESS "$address"
        [ -z "$redis" ] || put "$etc/registry.env" FOGLINE_REDIS "$redis"
        # By this address, not by 127.0.0.1: the registry tells others to find a node where it saw it.
        registry=${registry:-$(own_url registry)}
    elif [ -n "$address" ]; then
        fail "--address is for the registry's machine" "A node's address is FOGLINE_ADVERTISE, in /etc/fogline/ROLE-NAME.env."
    fi
    [ -z "$tls" ] || put "$etc/fogline.env" FOGLINE_TLS yes
    [ -z "$registry" ] || put "$etc/fogline.env" FOGLINE_REGISTRY "$registry"
    [ -z "$token" ] || put "$etc/fogline.env" FOGLINE_JOIN_TOKEN "$token"
    [ -z "$site" ] || put "$etc/fogline.env" FOGLINE_SITE "$site"
    ! wanted ui || [ -e "$etc/ui.env" ] || put "$etc/ui.env" '' ''
    if wanted compute && [ -z "$computes$(nodes_of compute)" ]; then
        computes=$(uname -n | cut -d . -f 1 | tr -c 'A-Za-z0-9\n' -)$newline
    fi
    printf %s "$computes" | while read -r name; do node_settings compute "$name" 8000; done
    printf %s "$cameras" | while read -r wish; do
        node_settings camera "${wish%%=*}" 5000
        put "$etc/camera-${wish%%=*}.env" FOGLINE_SOURCE "${wish#*=}"
    done
}

# own_url registry|ui: where others reach it. scheme: https once --tls was given.
own_url() {
    echo "$(if [ -n "$tls$(setting "$etc/fogline.env" FOGLINE_TLS)" ]; then echo https; else echo http; fi)://$(bracketed "$address"):$(port_of "$1")"
}
# The port of registry, ui, or the node ROLE-NAME.
port_of() {
    case $1 in registry) usual=5050 ;; ui) usual=8080 ;; *) usual=8000 ;; esac
    setting "$etc/$1.env" FOGLINE_PORT | grep . || echo $usual
}
bracketed() { case $1 in *:*) echo "[$1]" ;; *) echo "$1" ;; esac; }
known_data() { sed -n 's/^# Data: //p' "$etc/fogline.env" 2>/dev/null | tail -n 1; }

# node_settings ROLE NAME PORT: a port that stays the same, for who opens it in a firewall.
node_settings() {
    file=$etc/$1-$2.env
    if [ -z "$(setting "$file" FOGLINE_PORT)" ]; then
        port=$(free_port "$3")
        put "$file" FOGLINE_PORT "$port"
    fi
}

install_units() {
    install -d -m 0755 "$units/fogline-.service.d"
    for unit in fogline.target fogline-registry.service fogline-ui.service fogline-camera@.service \
        fogline-compute@.service fogline-.service.d/10-fogline.conf; do
        # systemd makes state folders in /var/lib alone; others are made below.
        if [ "$data" = /var/lib/fogline ]; then
            cat "$here/$unit"
        else
            sed -e "s#/var/lib/fogline#$data#g" -e '/^StateDirectory/d' "$here/$unit"
        fi >"$units/$unit"
        chmod 0644 "$units/$unit"
    done
    urls=''
    ! wanted registry || urls="-e s#@REGISTRY@#$(own_url registry)# -e s#@DASHBOARD@#$(own_url ui)#"
    # shellcheck disable=SC2086  # words, or none
    sed -e "s#@DATA@#$data#" $urls -e 's#@[A-Z]*@##' "$here/fogline.sh" >"$command"
    chmod 0755 "$command"
}

make_user_and_folders() {
    owner=''
    install -d -m 0755 "$root$data"
    sed "s#/var/lib/fogline#$data#" "$here/fogline.sysusers" >"$users"
    if [ -z "$root" ]; then
        systemd-sysusers "$users"
        owner='-o fogline -g fogline'
    fi
    for folder in joining $(echo "$roles" | tr , ' '); do
        # shellcheck disable=SC2086  # two options, or none
        install -d -m 0700 $owner "$root$data/$folder"
    done
}

# Streams go elsewhere before their node stops: without that they stand still for a moment.
drain() {
    if [ -n "$root" ] || [ ! -x "$command" ] || ! systemctl --quiet is-active 'fogline-compute@*'; then return 0; fi
    say "Moving sessions away from this machine"
    "$command" node drain --here --wait 20 >&2 || say "Some stay until their node has started again."
}

switch() {
    make_user_and_folders
    models
    rm -rf "$new/node" "$new/pip.log" "$prefix.old"
    drain
    install_units
    [ ! -e "$prefix" ] || mv "$prefix" "$prefix.old"
    mv "$new" "$prefix"
    rm -rf "$prefix.old"
    [ -z "$root" ] || return 0
    systemctl daemon-reload
    systemctl --quiet enable fogline.target
    for service in $(services); do systemctl --quiet enable "$service"; done
    [ -n "$start" ] || return 0
    say "Starting $(services | sed 's/\.service//' | tr '\n' ' ')"
    for service in $(services); do # the registry first, and then each as it would be done by hand
        systemctl restart "$service" || true
        await "$service"
    done
    systemctl start fogline.target
}

await() {
    name=$(echo "${1%.service}" | sed 's/^fogline-//; s/@/-/')
    tries=$ANSWER_SECONDS
    while [ "$tries" -gt 0 ]; do
        if FOGLINE_TLS=$(setting "$etc/fogline.env" FOGLINE_TLS) "$prefix/venv/bin/python" "$prefix/deploy/healthcheck.py" \
            "$(port_of "$name")" 2>/dev/null; then return 0; fi
        sleep 1
        tries=$((tries - 1))
    done
    journalctl --no-pager --quiet --unit "$1" --lines 5 --output cat >&2
    say "install: $1 does not answer yet; it goes on trying. The last it said is above; more by: journalctl -u $1"
}

farewell() {
    say "Fogline $("$prefix/venv/bin/python" -c "import runpy; print(runpy.run_path('$prefix/mesh/version.py')['VERSION'])") is installed."
    if wanted ui && wanted registry; then
        say "  Dashboard      $(own_url ui)"
        say "  First sign-in  sudo fogline user link"
    fi
    ! wanted registry || say "  Join others    sudo fogline token create"
    say "  How it is      systemctl status 'fogline*'      sudo fogline status"
    say "  What it says   journalctl -u 'fogline*' -f"
}

remove() {
    if [ -z "$root" ]; then
        systemctl stop fogline.target 'fogline-*.service' 2>/dev/null || true
        for service in $(services) fogline.target; do systemctl --quiet disable "$service" 2>/dev/null || true; done
    fi
    rm -rf "$prefix" "$new" "$units"/fogline.target "$units"/fogline-registry.service "$units"/fogline-ui.service \
        "$units"/fogline-camera@.service "$units"/fogline-compute@.service "$units"/fogline-.service.d "$command" "$users"
    [ -n "$root" ] || systemctl daemon-reload
    if [ -z "$purge" ]; then
        say "Fogline is removed. Data is in $data, settings in /etc/fogline: --uninstall --purge removes them, too."
        return
    fi
    rm -rf "$etc" "$root$data"
    [ -n "$root" ] || ! id fogline >/dev/null 2>&1 || userdel fogline
    say "Fogline is removed, with all that it knew."
}
