# Shared by the scripts of this folder, which read it: where the program is.
# shellcheck shell=sh

# Sets program: the one that CORELANE names, else the one on the PATH, else the one that was built here.
find_corelane() {
    if [ -n "${CORELANE:-}" ]; then
        program=$CORELANE
        return
    fi
    if command -v corelane >/dev/null; then
        program=corelane
        return
    fi
    for build in release debug; do
        program=$(dirname "$0")/../target/$build/corelane
        if [ -x "$program" ]; then
            return
        fi
    done
    echo "corelane is neither installed nor built; build it with: cargo build --release" >&2
    exit 1
}

# Runs corelane with the given words in place of this script.
run_corelane() {
    find_corelane
    exec "$program" "$@"
}
