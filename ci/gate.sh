#!/usr/bin/env bash
# Runs "grmu-audit gate" once, writes every format, shows the verdict where the CI server expects it, and ends with the
# gate's exit code.  Values come through the environment, never through the text of the script: AUDIT or MODEL, POLICY,
# OUTPUT.
set -uo pipefail

: "${POLICY:=default}" "${OUTPUT:=grmu-gate}" "${AUDIT:=}" "${MODEL:=}"
mkdir -p -- "$OUTPUT" || exit 4

subject=(--audit "$AUDIT")
if [ -n "$MODEL" ]; then subject=(--model "$MODEL"); fi

code=0
grmu-audit gate "${subject[@]}" --policy "$POLICY" \
  --format "junit=$OUTPUT/gate.xml" \
  --format "sarif=$OUTPUT/gate.sarif" \
  --format "github=$OUTPUT/gate.annotations" \
  --format "markdown=$OUTPUT/gate.md" \
  --format "json=$OUTPUT/gate.json" || code=$?

if [ -n "${GITHUB_ACTIONS:-}" ] && [ -f "$OUTPUT/gate.annotations" ]; then cat -- "$OUTPUT/gate.annotations"; fi
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$OUTPUT/gate.md" ]; then cat -- "$OUTPUT/gate.md" >> "$GITHUB_STEP_SUMMARY"; fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  case "$code" in 0) decision=PASS ;; 1) decision=BREACH ;; 3) decision=INCONCLUSIVE ;; *) decision= ;; esac
  printf 'exit-code=%s\ndecision=%s\n' "$code" "$decision" >> "$GITHUB_OUTPUT"
fi
exit "$code"
