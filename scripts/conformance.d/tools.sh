# shellcheck shell=bash
# Part of scripts/conformance: what the suites need, by the registries' own clients. Versions are
# pinned in tests/conformance; a change there makes it fetched anew.

# On a machine of continuous integration: Debian's packages, those of commands only where the command
# is missing, and what librdkafka is built with.
install_tools() {
    local packages=(libssl-dev libzstd-dev rapidjson-dev zlib1g-dev) command
    local -A commands=([kcat]=kcat [g++]=g++ [make]=make [javac]=openjdk-17-jdk-headless [mvn]=maven
        [node]=nodejs [npm]=npm)
    [[ ${CI:-} && $EUID == 0 ]] && command -v apt-get >/dev/null || return 0
    for command in "${!commands[@]}"; do
        command -v "$command" >/dev/null || packages+=("${commands[$command]}")
    done
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    if ! dpkg-query --show "${packages[@]}" >/dev/null 2>&1; then
        echo "installing Debian's packages ..."
        apt-get update --quiet >"$base/apt.log" 2>&1 || true
        apt-get install --quiet --yes --no-install-recommends "${packages[@]}" >>"$base/apt.log" 2>&1 ||
            echo "some of these cannot be installed: ${packages[*]}; see $base/apt.log"
    fi
}

# need COMMAND WHAT: fails the suite if the command is not there.
need() {
    command -v "$1" >/dev/null && return
    echo "   $1 is missing; install $2"
    return 1
}

# Sets python to one that has the packages of requirements.txt.
need_python() {
    local list=$tests/requirements.txt
    python=$base/python/bin/python
    [[ $(cat "$base/python/.stamp" 2>/dev/null) != $(cksum <"$list") ]] || return 0
    need python3 "Python 3.11 or newer"
    echo "   fetching Python packages (once) ..."
    rm -rf "$base/python"
    {
        python3 -m venv "$base/python" &&
            "$python" -m pip install --disable-pip-version-check --requirement "$list"
    } >"$logs/pip.log" 2>&1 || {
        tail -n 20 "$logs/pip.log"
        return 1
    }
    cksum <"$list" >"$base/python/.stamp"
}

# crate_source NAME: the folder with the sources of a crate that this project depends on, in the
# version of its Cargo.lock.
crate_source() {
    local manifest
    manifest=$(cargo metadata --locked --format-version 1 --manifest-path "$root/Cargo.toml" |
        "$python" -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
print(*[p["manifest_path"] for p in packages if p["name"] == sys.argv[1]])' "$1")
    echo "${manifest%/Cargo.toml}"
}

# left_out_by_itself FILE NAME WHY: a test that left itself out. Where nothing may be missing, the list
# has to say so.
left_out_by_itself() {
    local reason
    if reason=$(reason_on "$1" "$2"); then
        result skipped "$2" 0 "$reason"
    elif [[ ${CORELANE_NO_SKIP:-} == 1 ]]; then
        result failed "$2" 0 "left itself out: $3"
    else
        result skipped "$2" 0 "left itself out: $3"
    fi
}

# missing WHAT: the suite cannot run here.
missing() {
    if [[ ${CORELANE_NO_SKIP:-} == 1 ]]; then
        result failed "the suite itself" 0 "$1"
    else
        result skipped "the suite itself" 0 "$1"
    fi
}
