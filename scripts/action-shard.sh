#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Step of action.yml: SBX_SHARD for the steps to come, which sbx test --shard auto reads. SBX_INPUT_SHARD is what the
# workflow says, SBX_JOB_INDEX (from 0) and SBX_JOB_TOTAL this job's place in its matrix.
set -euo pipefail
if [ -n "${SBX_INPUT_SHARD:-}" ]; then
	shard=$SBX_INPUT_SHARD
elif [ "${SBX_JOB_TOTAL:-1}" -gt 1 ]; then
	shard=$((SBX_JOB_INDEX + 1))/$SBX_JOB_TOTAL
else
	echo "no matrix, so no shard"
	exit 0
fi
if ! [[ $shard =~ ^[0-9]+/[0-9]+$ ]]; then
	echo "::error title=sbx::shard: '$shard' is not I/N"
	exit 1
fi
echo "SBX_SHARD=$shard" >>"$GITHUB_ENV"
echo "this job is shard $shard"
