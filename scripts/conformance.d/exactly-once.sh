# shellcheck shell=bash
# Part of scripts/conformance: a consume-process-produce loop in transactions while the broker is
# killed and started again, ten times.

exactly_once_kills=10
# Enough for all kills on a fast machine, where thousands pass while the broker is being killed.
exactly_once_inputs=80000
# Inputs done between two of them, at least.
exactly_once_step=500

suite_exactly_once() {
    local kill goal=0 pid
    need_python
    broker_up 4
    "$python" "$tests/clients/confluent/eos.py" run "$address" run "$exactly_once_inputs" \
        "$logs/progress" >"$logs/out" 2>"$logs/log" </dev/null &
    pid=$!
    for ((kill = 1; kill <= exactly_once_kills; kill++)); do
        # The next one once the loop has got on since the last.
        goal=$(($(cat "$logs/progress" 2>/dev/null || echo 0) + exactly_once_step))
        while (($(cat "$logs/progress" 2>/dev/null || echo 0) < goal)) && kill -0 "$pid" 2>/dev/null; do
            sleep 0.01
        done
        kill -0 "$pid" 2>/dev/null || break
        # Wherever in a transaction that is.
        sleep "0.$((RANDOM % 300 + 100))"
        broker_kill
        broker_restart
        echo "kill $kill at $(cat "$logs/progress") of $exactly_once_inputs" >>"$logs/kills"
    done
    wait "$pid" || true
    if (($(wc -l <"$logs/kills") == exactly_once_kills)); then
        result passed "the broker came back from $exactly_once_kills kills" 0
    else
        result failed "the broker came back from $exactly_once_kills kills" 0 "see $logs/kills"
    fi
    results_of_lines <"$logs/out"
}
