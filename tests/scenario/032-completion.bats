#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The completions, asked by the shells themselves.
bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	export PATH="${SBX%/*}:$PATH"
}

# What bash offers behind LINE, cut into words where readline cuts them.
complete_bash() {
	LINE=$1 run bash --norc --noprofile -c '
		source <(sbx completion bash) || exit
		cut=${LINE//=/ = }
		read -ra COMP_WORDS <<<"${cut//:/ : }"
		[[ $LINE == *[[:blank:]=:] ]] && COMP_WORDS+=("")
		[[ $LINE == *[=:] ]] && unset "COMP_WORDS[-1]"
		COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		compopt() { :; }
		_sbx
		printf "%s\n" "${COMPREPLY[@]}"'
	printf '%s<TAB>\n%s\n' "$1" "$output"
}

complete_fish() {
	LINE=$1 run fish --no-config -c 'sbx completion fish | source; complete --do-complete $LINE'
	printf '%s<TAB>\n%s\n' "$1" "$output"
}

# What zsh makes of LINE and a press of the tab key, in a terminal; until WANTED is there, 20 seconds at most.
complete_zsh() {
	sbx completion zsh >"$tree/_sbx"
	LINE=$1 WANTED=$2 TREE=$tree run timeout 20 zsh -f -c '
		zmodload zsh/zpty
		zpty inner zsh -f -i
		zpty -w inner "fpath=(\$TREE \$fpath); autoload -Uz compinit; compinit -u -D; PS1=; LISTMAX=0; echo re\"\"ady"
		zpty -r -m inner seen "*ready*" || exit 1
		zpty -w -n inner "$LINE"$'"'\\t'"'
		zpty -r -m inner seen "*$WANTED*" || exit 1
		print -r -- $seen
		zpty -d inner'
	printf '%s<TAB>\n%s\n' "$1" "$output"
}

@test "completion: bash offers commands, options, choices, what belongs to the command" {
	complete_bash 'sbx ru'
	assert_same run "$output"
	complete_bash 'sbx run --tre'
	assert_same --tree "$output"
	complete_bash 'sbx run --home '
	assert_same $'cow\nempty' "$output"
	complete_bash 'sbx run --home=e'
	assert_same empty "$output"
	complete_bash 'sbx ps --format j'
	assert_same json "$output"
	complete_bash 'sbx db '
	assert_same $'ls\nshell\nquery\ndiff\nsnapshot\nrestore\nexport\napply' "$output"
	complete_bash 'sbx help insp'
	assert_same inspect "$output"
	complete_bash 'sbx kill -s HU'
	assert_same HUP "$output"
	complete_bash 'sbx completion f'
	assert_same fish "$output"
	mkdir sub
	complete_bash 'sbx run -C su'
	assert_same sub "$output"
	complete_bash 'sbx run -- --tre'
	assert_same "" "$output"
}

@test "completion: fish offers commands, options, choices" {
	complete_fish 'sbx ru'
	assert_has "$output" $'run\t'
	complete_fish 'sbx run --tre'
	assert_has "$output" $'--tree\t'
	complete_fish 'sbx run --home '
	assert_has "$output" empty
	complete_fish 'sbx ps --format j'
	assert_has "$output" json
	complete_fish 'sbx db q'
	assert_has "$output" query
	complete_fish 'sbx run -- --tre'
	[[ $output != *--tree* ]]
}

@test "completion: zsh offers commands, options, choices" {
	complete_zsh 'sbx insp' 'inspect '
	assert_same 0 "$status"
	complete_zsh 'sbx run --tre' '--tree='
	assert_same 0 "$status"
	complete_zsh 'sbx ps --format j' 'json '
	assert_same 0 "$status"
	complete_zsh 'sbx db que' 'query '
	assert_same 0 "$status"
}

@test "completion: the manual page has no fault that man(1) would report" {
	run_sbx 0 man
	assert_has "$output" ".TH SBX 1"
	sbx man >sbx.1
	run groff -man -Tutf8 -ww -z sbx.1
	assert_same "" "$output"
}
