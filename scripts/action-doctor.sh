#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: sbx doctor does each step of a sandbox for real. What it says is in the log, and the job's summary
# has what was installed; a job that would fail later fails here, with the remedy.
set -euo pipefail
version=$(sbx version)
echo "version=$version" >>"$GITHUB_OUTPUT"
status=0
report=$(sbx doctor 2>&1) || status=$?
echo "$report"
{
	echo "### $version"
	echo
	if [ $status -eq 0 ]; then
		echo "\`sbx doctor\`: each step of a sandbox works on this runner."
	else
		echo "\`sbx doctor\`: a sandbox cannot be made on this runner."
		echo
		echo '```'
		echo "$report"
		echo '```'
	fi
} >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
[ $status -eq 0 ] || echo "::error title=sbx::a sandbox cannot be made on this runner: see what sbx doctor says"
exit $status
