#!/usr/bin/env bash
# test-step.sh STEP [--pg MAJOR|PATH]: `cargo pgrx test` of one step, in its own environment.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
environment=$("$LIB/environment.sh" "$@" --quiet)
eval "$environment"
cd "$ROOT/steps/$WORKBOOK_STEP"
exec cargo pgrx test "pg$WORKBOOK_PG_MAJOR"
