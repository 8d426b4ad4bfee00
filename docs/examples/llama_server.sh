#!/usr/bin/env bash
# llama.cpp's server with every adapter on the shelf of a runs folder, started again when one comes or goes:
#
#   docs/examples/llama_server.sh runs/.engine/SmolLM2-135M-Instruct-q8_0.gguf -np 16 -c 24576 --port 8080
#
# `python -m finetuning engine --gguf q8_0` writes the model there. The app that is started with --engine writes the
# adapters of new runs beside it, and removes those of runs that are gone; who is being answered meanwhile is asked
# anew. LLAMA_SERVER is another program than llama-server, LOOK_S how often the folder is looked at, in seconds.
model=$1
shift
shelf=$(dirname "$model")
server=

adapters() {
    for file in "$shelf"/before-after-*.gguf; do
        if [ -e "$file" ]; then printf '%s\n' "$file"; fi
    done
}

trap 'kill $server 2>/dev/null; exit' INT TERM
while true; do
    seen=$(adapters)
    given=()
    while IFS= read -r file; do
        if [ -n "$file" ]; then given+=(--lora "$file"); fi
    done <<<"$seen"
    "${LLAMA_SERVER:-llama-server}" -m "$model" "$@" --lora-init-without-apply "${given[@]}" &
    server=$!
    while kill -0 "$server" 2>/dev/null && [ "$(adapters)" = "$seen" ]; do sleep "${LOOK_S:-5}"; done
    kill "$server" 2>/dev/null
    wait "$server"
    sleep 1 # one that does not start is not started again and again at once
done
