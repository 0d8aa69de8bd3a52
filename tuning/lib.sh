# Shared by the scripts of this folder, which read it: where the program is.
# shellcheck shell=sh

# Runs corelane with the given words in place of this script: the one that CORELANE names, else the one
# on the PATH, else the one that was built here.
run_corelane() {
    if [ -n "${CORELANE:-}" ]; then
        exec "$CORELANE" "$@"
    fi
    if command -v corelane >/dev/null; then
        exec corelane "$@"
    fi
    for build in release debug; do
        if [ -x "${0%/*}/../target/$build/corelane" ]; then
            exec "${0%/*}/../target/$build/corelane" "$@"
        fi
    done
    echo "corelane is neither installed nor built; build it with: cargo build --release" >&2
    exit 1
}
