# shellcheck shell=sh disable=SC2154  # its variables are those of install.sh, which reads this file
# What the services run: code, packages, front end and models, built beside what runs now and put in its place at once.

lists() {
    needed=$roles
    # The demo's photographs lie in a package, like the models, and need the same to be found.
    case $cameras$(grep -hs FOGLINE_SOURCE= "$etc"/camera-*.env) in *demo:*) needed=$needed,compute ;; esac
    for role in build $(echo "$needed" | tr , '\n' | sort -u); do echo "$checkout/deploy/requirements-$role.txt"; done
}

# pip ARGUMENTS: words for what usually goes wrong.
pip() {
    [ -z "$offline" ] || set -- "$@" --no-index --find-links "$offline/wheels"
    if ! "$new/venv/bin/python" -m pip --disable-pip-version-check --no-input --retries 2 "$@" >"$new/pip.log" 2>&1; then
        tail -n 8 "$new/pip.log" >&2
        case $(cat "$new/pip.log") in
        *"No space left"*) fail "the disk is full" "Free about 2 GB and run this again." ;;
        *NewConnectionError* | *"Temporary failure"* | *"timed out"* | *"No matching distribution"*)
            [ -z "$offline" ] || fail "$offline/wheels lacks a package; see above" \
                "Fill it with --fetch on a machine with the same processor, system and Python."
            fail "the Python package index cannot be reached (or lacks a package; see above)" \
                "Check the network, name an index of your own with PIP_INDEX_URL (sudo -E), or use --offline DIR."
            ;;
        *"HASHES"*) fail "a package is not the one that was checked; see above" "Try again, or ask who runs the index." ;;
        *) fail "the packages could not be installed; see above" ;;
        esac
    fi
}

# Of what the packages depend on: when it is the same as last time the environment is taken over.
mark() { (lists | xargs cat && "$python" -c 'import sys; print(sys.version)' && echo "$python") | sha256sum | cut -d ' ' -f 1; }

make_venv() {
    "$python" -m venv "$new/venv" >"$new/pip.log" 2>&1 || fail "Python's venv module does not work here" \
        "Debian, Ubuntu and Raspberry Pi OS keep it in a package of its own: apt install python3-venv"
}

packages() {
    if [ -n "$environment" ]; then
        ln -s "$environment" "$new/venv"
        return
    fi
    if [ "$(cat "$prefix/venv/lists" 2>/dev/null)" = "$(mark)" ]; then
        cp -al "$prefix/venv" "$new/venv"
        return
    fi
    say "Installing the packages of $(echo "$roles" | tr , '\n' | sort -u | grep . | tr '\n' ' ')(some minutes)"
    make_venv
    # Every file is checked by its hash, and nothing that the lists lack is fetched.
    for list in $(lists); do
        pip install --no-compile --require-hashes --no-deps --no-build-isolation -r "$list"
    done
    # Nothing is installed by a running service: the tools go again.
    "$new/venv/bin/python" -m pip --quiet uninstall --yes setuptools wheel pip >"$new/pip.log" 2>&1
    compile "$new/venv"
    mark >"$new/venv/lists"
}

# Services cannot write beside their code, and would compile it anew at each start. Some packages carry templates that
# do not compile: they are never imported. Who gives an environment (--venv) makes a package, and compiles there.
compile() { [ -n "$environment" ] || "$new/venv/bin/python" -m compileall -qq -j 0 -s "$new" -p "${prefix#"$root"}" "$@" >/dev/null 2>&1 || true; }

# The dashboard's libraries: those of DIR, of this checkout, or of the installed version, if they are the right ones.
front_end() {
    lock=$(sha256sum "$new/ui/package-lock.json" | cut -d ' ' -f 1)
    for modules in ${offline:+"$offline/node_modules"} "$checkout/ui/node_modules" "$prefix/ui/node_modules"; do
        case $(cat "$modules/.fogline" 2>/dev/null) in "$lock"*)
            cp -r "$modules" "$new/ui/node_modules"
            return
            ;;
        esac
    done
    [ -z "$offline" ] || fail "$offline/node_modules is not this version's front end" "Fill it anew with --fetch."
    node
    PYTHONPATH=$new:$new/node "$new/venv/bin/python" -m cli.prepare || fail "the dashboard's libraries could not be fetched"
}

# npm, for as long as it is needed, on a machine that has none.
node() {
    if ! has npm && ! [ -d "$new/node" ]; then
        "$python" -m venv "$new/npm"
        mv "$new/venv" "$new/kept"
        mv "$new/npm" "$new/venv"
        pip install --target "$new/node" --require-hashes --no-deps -r "$checkout/deploy/requirements-npm.txt"
        rm -rf "$new/venv"
        mv "$new/kept" "$new/venv"
    fi
}

build() {
    rm -rf "$new"
    install -d -m 0755 "$new" "$new/deploy" "$new/docs"
    for part in mesh registry camera_node compute_node ui cli; do
        (cd "$checkout" && find "$part" \( -name node_modules -o -name __pycache__ -o -name '.npm.lock' \) -prune -o -type f -print) |
            (cd "$checkout" && tar -cf - -T -) | tar -xf - -C "$new" --no-same-owner
    done
    cp "$checkout/LICENSE" "$new"
    cp "$checkout/deploy/healthcheck.py" "$new/deploy"
    cp "$checkout/docs/bare-metal.md" "$new/docs"
    chmod -R go+rX "$new"
    packages
    compile "$new/mesh" "$new/registry" "$new/camera_node" "$new/compute_node" "$new/ui" "$new/cli"
    ! wanted ui || front_end
}

# models: into the nodes' folders, as their user. What cannot be had is said, and the nodes start without it.
models() {
    ! wanted compute || fetched compute models
    if grep -qs demo: "$etc"/camera-*.env; then fetched camera media; fi
}

# fetched ROLE models|media
fetched() {
    folder=$root$data/$1
    [ -z "$offline" ] || [ -d "$folder/$2" ] || as_service cp -r "$offline/$2" "$folder/$2"
    [ -z "$offline$environment" ] || return 0
    case $2 in
    models) lacks=$(in_code 'from cli.models import missing_defaults; print(*missing_defaults(Path(sys.argv[1])))' "$folder") ;;
    media) lacks=$([ -d "$folder/media" ] || echo media) ;;
    esac
    [ -n "$lacks" ] || return 0
    say "Fetching the $2 of the $1 nodes"
    node
    in_code 'from rich.console import Console; from cli.prepare import prepare_models
models = sys.argv[2] == "models"
prepare_models(Path(sys.argv[1]), Console(stderr=True), algorithms=None if models else (), demo=not models)' "$folder" "$2"
}

# in_code PROGRAM ARGUMENTS: Python, in the new version's code and the services' name.
in_code() {
    program=$1
    shift
    as_service env "HOME=$folder" "PYTHONPATH=$new:$new/node" "$new/venv/bin/python" -c "import sys; from pathlib import Path
$program" "$@"
}

# fill DIR: what --offline needs, for machines of this one's kind.
fill() {
    roles=registry,ui,camera,compute
    new=$(mktemp -d)
    mkdir -p "$1/wheels"
    make_venv
    for list in $(lists); do
        pip download --quiet --require-hashes --no-deps --no-build-isolation --dest "$1/wheels" -r "$list"
    done
    rm -rf "$new"
    cp -r "$prefix/ui/node_modules" "$root$data/compute/models" "$root$data/camera/media" "$1" ||
        fail "front end or models are not here" "Install all roles on this machine first."
    say "$1 is filled: $(du -sh "$1" | cut -f 1)"
}
