/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: each script has a fixed part, which finds out where on the line the cursor is, and a generated part,
 * which knows the options. The names of workers are asked from `sbx ps` when they are needed; all else is in the
 * script, so that a key press starts no sbx. What follows a command of the user's is completed as the shell does it for
 * that command. */
#include "sandbox/verbs/completion.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/macro.h"
#include "sandbox/verbs/options.h"
#include "sandbox/verbs/verbs.h"

/* What an action is called in a script's language; words of choices are filled in by the caller. */
static const struct {
	const char *bash;
	const char *zsh;
	const char *fish;
} actions[] = {
	[COMPLETE_NOTHING] = { "nothing", "", "" },
	[COMPLETE_CHOICE] = { "words", NULL, NULL },
	[COMPLETE_FILE] = { "files", "_files", NULL }, /* fish: its own */
	[COMPLETE_DIRECTORY] = { "directories", "_directories", "(__fish_complete_directories)" },
	[COMPLETE_WORKER] = { "workers", "_sbx_workers", "(__sbx_workers)" },
	[COMPLETE_VARIABLE] = { "variables", "_parameters -g \"*export*\"", "(set --names --export)" },
	[COMPLETE_SIGNAL] = { "signals", "_signals", "(__sbx_signals)" },
	[COMPLETE_VERB] = { "verbs", "_sbx_verbs", "(__sbx_verbs)" },
	[COMPLETE_WORKER_PATH] = { "worker_paths", "_sbx_worker_paths", "(__sbx_workers):" },
};

/* Calls `add` for each option that completion offers for the verb. */
static void for_each_option(const struct verb *verb, struct text_buffer *text,
			    void (*add)(const struct verb *verb, const struct option *option, struct text_buffer *text))
{
	for (size_t i = 0; i < option_count; i++)
		if (option_is_shown(&option_table[i]) && option_belongs(&option_table[i], verb))
			add(verb, &option_table[i], text);
}

static void add_choices(const struct option_choice *choices, struct text_buffer *text)
{
	const char *separator = "";

	for (; choices && choices->word; choices++) {
		if (choices->is_alias)
			continue;
		text_buffer_format(text, "%s%s", separator, choices->word);
		separator = " ";
	}
}

static void add_words(const char *const *words, struct text_buffer *text)
{
	for (size_t i = 0; words && words[i]; i++)
		text_buffer_format(text, "%s%s", i > 0 ? " " : "", words[i]);
}

/* Adds `part` for the inside of single quotes; each of `special` with a backslash before it. */
static void add_quoted(const char *part, const char *special, const char *apostrophe, struct text_buffer *text)
{
	for (; *part; part++) {
		if (*part == '\'') {
			text_buffer_add_text(text, apostrophe);
			continue;
		}
		if (strchr(special, *part))
			text_buffer_add_text(text, "\\");
		text_buffer_add(text, part, 1);
	}
}

/* ---- bash ---- */

static const char bash_head[] = "# bash completion for sbx; load it with: source <(sbx completion bash)\n"
				"# Made from sbx's own tables of commands and options.\n"
				"\n";

static const char bash_tail[] =
	"# Completes $2 as the kind of word that $1 says.\n"
	"_sbx_complete()\n"
	"{\n"
	"	local words=\n"
	"	case $1 in\n"
	"	words\\ *) words=${1#words } ;;\n"
	"	verbs) words=$_sbx_verbs ;;\n"
	"	workers) words=$(sbx ps --all --quiet 2>/dev/null) ;;\n"
	"	worker_paths)\n"
	"		words=$(sbx ps --all --quiet 2>/dev/null)\n"
	"		words=${words//$'\\n'/: }${words:+:}\n"
	"		compopt -o filenames -o nospace 2>/dev/null\n"
	"		mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$2\"; compgen -f -- \"$2\")\n"
	"		return\n"
	"		;;\n"
	"	signals) words='HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH' ;;\n"
	"	variables) mapfile -t COMPREPLY < <(compgen -e -- \"$2\"); compopt -o nospace 2>/dev/null; return ;;\n"
	"	files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$2\"); return ;;\n"
	"	directories) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- \"$2\"); return "
	";;\n"
	"	command) mapfile -t COMPREPLY < <(compgen -c -- \"$2\"); return ;;\n"
	"	esac\n"
	"	mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$2\")\n"
	"}\n"
	"\n"
	"_sbx()\n"
	"{\n"
	"	local REPLY verb kind value=0 ended= operands=0 i word current line glue breaks prefix\n"
	"	local -a words=() places=()\n"
	"	COMPREPLY=()\n"
	"\n"
	"	# Words as the shell sees them: readline cuts them at = and : as well.\n"
	"	line=$COMP_LINE\n"
	"	for ((i = 0; i <= COMP_CWORD; i++)); do\n"
	"		glue=1\n"
	"		[[ $line == [[:blank:]]* ]] && glue=\n"
	"		line=${line#\"${line%%[![:blank:]]*}\"}\n"
	"		line=${line#\"${COMP_WORDS[i]}\"}\n"
	"		if [[ $glue && i -gt 0 ]]; then\n"
	"			words[${#words[@]} - 1]+=${COMP_WORDS[i]}\n"
	"		else\n"
	"			words+=(\"${COMP_WORDS[i]}\")\n"
	"			places+=(\"$i\")\n"
	"		fi\n"
	"	done\n"
	"	current=${words[${#words[@]} - 1]}\n"
	"\n"
	"	verb=${words[1]}\n"
	"	if ((${#words[@]} <= 2)); then\n"
	"		_sbx_complete \"words $_sbx_verbs --help --version\" \"$current\"\n"
	"		return\n"
	"	fi\n"
	"	for ((i = 2; i < ${#words[@]} - 1; i++)); do\n"
	"		word=${words[i]}\n"
	"		if ((value)); then\n"
	"			value=0\n"
	"		elif [[ ! $ended && $word == -- ]]; then\n"
	"			ended=1\n"
	"		elif [[ ! $ended && $word == --* ]]; then\n"
	"			_sbx_value \"$verb\" \"$word\" && value=1\n"
	"		elif [[ ! $ended && $word == -?* ]]; then\n"
	"			# The first letter that takes a value has it behind it, or in the next word.\n"
	"			for ((word = 1; word < ${#words[i]}; word++)); do\n"
	"				_sbx_value \"$verb\" \"-${words[i]:word:1}\" || continue\n"
	"				((word == ${#words[i]} - 1)) && value=1\n"
	"				break\n"
	"			done\n"
	"		else\n"
	"			_sbx_operand \"$verb\" \"$operands\"\n"
	"			[[ $REPLY == command && $word != -- ]] && break\n"
	"			[[ $_sbx_with_command == *\" $verb \"* ]] && ended=1\n"
	"			[[ $word == -- ]] || operands=$((operands + 1))\n"
	"		fi\n"
	"	done\n"
	"\n"
	"	if ((i < ${#words[@]} - 1)); then\n"
	"		# Behind a command of the user's: as for that command.\n"
	"		if declare -F _command_offset >/dev/null; then\n"
	"			_command_offset \"${places[i]}\"\n"
	"		else\n"
	"			_sbx_complete files \"$current\"\n"
	"		fi\n"
	"		return\n"
	"	fi\n"
	"	breaks=${COMP_WORDBREAKS//[!=:]/}\n"
	"	if ((value)); then\n"
	"		_sbx_value \"$verb\" \"$(_sbx_last_option \"$verb\" \"${words[i - 1]}\")\"\n"
	"		_sbx_complete \"$REPLY\" \"$current\"\n"
	"	elif [[ ! $ended && $current == --*=* ]]; then\n"
	"		_sbx_value \"$verb\" \"${current%%=*}\" || _sbx_value \"$verb\" \"${current%%=*}=\" || return\n"
	"		_sbx_complete \"$REPLY\" \"${current#*=}\"\n"
	"		[[ $breaks == *=* ]] || COMPREPLY=(\"${COMPREPLY[@]/#/${current%%=*}=}\")\n"
	"		current=${current#*=}\n"
	"	elif [[ ! $ended && $current == -* ]]; then\n"
	"		_sbx_options \"$verb\"\n"
	"		_sbx_complete \"words $REPLY\" \"$current\"\n"
	"	else\n"
	"		_sbx_operand \"$verb\" \"$operands\"\n"
	"		if [[ $REPLY == command ]] && declare -F _command_offset >/dev/null; then\n"
	"			_command_offset \"${places[i]}\"\n"
	"			return\n"
	"		fi\n"
	"		_sbx_complete \"$REPLY\" \"$current\"\n"
	"	fi\n"
	"	# What stands before the last cut is not readline's to replace.\n"
	"	if [[ $breaks && $current == *[$breaks]* ]]; then\n"
	"		prefix=${current%\"${current##*[$breaks]}\"}\n"
	"		COMPREPLY=(\"${COMPREPLY[@]#\"$prefix\"}\")\n"
	"	fi\n"
	"}\n"
	"\n"
	"# The option at the end of a word that waits for its value: --tree, -C, or the C of -iC.\n"
	"_sbx_last_option()\n"
	"{\n"
	"	case $2 in\n"
	"	--*) printf '%s' \"$2\" ;;\n"
	"	*) printf '%s' \"-${2: -1}\" ;;\n"
	"	esac\n"
	"}\n"
	"\n"
	"complete -F _sbx sbx\n";

static void add_bash_option(const struct verb *verb, const struct option *option, struct text_buffer *text)
{
	(void)verb;
	text_buffer_format(text, " --%s", option->name);
	if (option->letter)
		text_buffer_format(text, " -%c", option->letter);
}

static void add_bash_value(const struct verb *verb, const struct option *option, struct text_buffer *text)
{
	if (!option->value)
		return;
	text_buffer_format(text, "\t%s:--%s%s", verb->name, option->name, option->value_optional ? "=" : "");
	if (option->letter && !option->value_optional)
		text_buffer_format(text, " | %s:-%c", verb->name, option->letter);
	text_buffer_format(text, ") REPLY='%s", actions[option->complete].bash);
	if (option->complete == COMPLETE_CHOICE) {
		text_buffer_add_text(text, " ");
		add_choices(option->choices, text);
	}
	text_buffer_add_text(text, "' ;;\n");
}

/* Whether what follows the operands is a command, and none of sbx's options any more. */
static bool ends_options(const struct verb *verb)
{
	return verb->command == COMMAND_OPTIONAL || verb->command == COMMAND_REQUIRED;
}

static void add_bash_operand(const struct verb *verb, struct text_buffer *text)
{
	if (verb->operands_max > 0) {
		text_buffer_format(text, "\t%s:", verb->name);
		if (verb->operands_max == OPERANDS_ANY)
			text_buffer_add_text(text, "*");
		for (size_t i = 0; verb->operands_max != OPERANDS_ANY && i < verb->operands_max; i++)
			text_buffer_format(text, i > 0 ? " | %s:%zu" : "%.0s%zu", verb->name, i);
		text_buffer_format(text, ") REPLY='%s", actions[verb->complete].bash);
		if (verb->complete == COMPLETE_CHOICE) {
			text_buffer_add_text(text, " ");
			add_words(verb->choices, text);
		}
		text_buffer_add_text(text, "' ;;\n");
	}
	if (ends_options(verb))
		text_buffer_format(text, "\t%s:*) REPLY=command ;;\n", verb->name);
}

void completion_write_bash(struct text_buffer *text)
{
	text_buffer_add_text(text, bash_head);
	text_buffer_add_text(text, "_sbx_verbs='");
	for (size_t i = 0, shown = 0; i < verb_count; i++)
		if (!verb_table[i].hidden)
			text_buffer_format(text, "%s%s", shown++ > 0 ? " " : "", verb_table[i].name);
	text_buffer_add_text(text, "'\n_sbx_with_command='");
	for (size_t i = 0; i < verb_count; i++)
		if (ends_options(&verb_table[i]))
			text_buffer_format(text, " %s", verb_table[i].name);
	text_buffer_add_text(text, " '\n\n# Options of the command $1.\n_sbx_options()\n{\n\tcase $1 in\n");
	for (size_t i = 0; i < verb_count; i++) {
		text_buffer_format(text, "\t%s) REPLY='", verb_table[i].name);
		for_each_option(&verb_table[i], text, add_bash_option);
		text_buffer_add_text(text, "' ;;\n");
	}
	text_buffer_add_text(text,
			     "\t*) REPLY= ;;\n\tesac\n}\n\n# How the value of option $2 of command $1 completes; 1: it "
			     "takes none.\n_sbx_value()\n{\n\tcase $1:$2 in\n");
	for (size_t i = 0; i < verb_count; i++)
		for_each_option(&verb_table[i], text, add_bash_value);
	text_buffer_add_text(text,
			     "\t*) REPLY=nothing; return 1 ;;\n\tesac\n}\n\n# How operand number $2 of command $1 "
			     "completes.\n_sbx_operand()\n{\n\tcase $1:$2 in\n");
	for (size_t i = 0; i < verb_count; i++)
		add_bash_operand(&verb_table[i], text);
	text_buffer_add_text(text, "\t*) REPLY=nothing ;;\n\tesac\n}\n\n");
	text_buffer_add_text(text, bash_tail);
}

/* ---- zsh ---- */

#define ZSH_APOSTROPHE "'\\''"

static const char zsh_head[] =
	"#compdef sbx\n"
	"# zsh completion for sbx; store it as _sbx in a directory of $fpath: sbx completion zsh > ~/.zfunc/_sbx\n"
	"# Made from sbx's own tables of commands and options.\n"
	"\n"
	"_sbx_workers()\n"
	"{\n"
	"	local -a workers\n"
	"	workers=(${(f)\"$(_call_program workers sbx ps --all --quiet 2>/dev/null)\"})\n"
	"	(($#workers)) && compadd \"$@\" -a workers\n"
	"}\n"
	"\n"
	"_sbx_worker_paths()\n"
	"{\n"
	"	_alternative 'workers:worker:_sbx_workers -S \\:' 'files:file:_files'\n"
	"}\n"
	"\n";

static const char zsh_tail[] =
	"_sbx()\n"
	"{\n"
	"	local curcontext=$curcontext state line\n"
	"	local -A opt_args\n"
	"\n"
	"	_arguments -C '(- *)'{-h,--help}'[explain the commands]' '(- *)--version[print the version]' \\\n"
	"		'1:command:_sbx_verbs' '*:: :->rest' && return\n"
	"	[[ $state == rest ]] || return\n"
	"	curcontext=${curcontext%:*}-$words[1]:\n"
	"	(($+functions[_sbx_verb_$words[1]])) && _sbx_verb_$words[1]\n"
	"}\n"
	"\n"
	"# Sourced, it registers itself; autoloaded, it is the function.\n"
	"if [[ $funcstack[1] == _sbx ]]; then\n"
	"	_sbx \"$@\"\n"
	"else\n"
	"	compdef _sbx sbx\n"
	"fi\n";

static void add_zsh_option(const struct verb *verb, const struct option *option, struct text_buffer *text)
{
	const char *mark = option->value ? option->value_optional ? "=-" : "=" : "";

	(void)verb;
	/* '(-C --tree)'{-C+,--tree=}'[the app's directory]:DIR:_directories' */
	if (option->repeats)
		text_buffer_add_text(text, " \\\n\t\t'*'");
	else if (option->letter)
		text_buffer_format(text, " \\\n\t\t'(-%c --%s)'", option->letter, option->name);
	else
		text_buffer_add_text(text, " \\\n\t\t");
	if (option->letter)
		text_buffer_format(text, "{-%c%s,--%s%s}'[", option->letter,
				   option->value && !option->value_optional ? "+" : "", option->name, mark);
	else
		text_buffer_format(text, "'--%s%s[", option->name, mark);
	add_quoted(option->help, "[]", ZSH_APOSTROPHE, text);
	text_buffer_add_text(text, "]");
	if (option->value) {
		text_buffer_add_text(text, option->value_optional ? "::" : ":");
		add_quoted(option->value, ":", ZSH_APOSTROPHE, text);
		text_buffer_add_text(text, ":");
		if (option->complete == COMPLETE_CHOICE) {
			text_buffer_add_text(text, "(");
			add_choices(option->choices, text);
			text_buffer_add_text(text, ")");
		} else {
			text_buffer_add_text(text, actions[option->complete].zsh);
		}
	}
	text_buffer_add_text(text, "'");
}

static void add_zsh_operands(const struct verb *verb, struct text_buffer *text)
{
	size_t last = verb->operands_max == OPERANDS_ANY ? 0 : verb->operands_max;

	for (size_t i = 1; i <= last; i++) {
		text_buffer_format(text, " \\\n\t\t'%zu:operand:", i);
		if (verb->complete == COMPLETE_CHOICE) {
			text_buffer_add_text(text, "(");
			add_words(verb->choices, text);
			text_buffer_add_text(text, ")");
		} else {
			text_buffer_add_text(text, actions[verb->complete].zsh);
		}
		text_buffer_add_text(text, "'");
	}
	if (verb->operands_max == OPERANDS_ANY)
		text_buffer_format(text, " \\\n\t\t'*:operand:%s'", actions[verb->complete].zsh);
	if (ends_options(verb))
		text_buffer_format(text, " \\\n\t\t'(-)%zu:command: _command_names -e' '*::argument: _normal'",
				   last + 1);
}

void completion_write_zsh(struct text_buffer *text)
{
	text_buffer_add_text(text, zsh_head);
	text_buffer_add_text(text, "_sbx_verbs()\n{\n\tlocal -a verbs=(");
	for (size_t i = 0; i < verb_count; i++) {
		if (verb_table[i].hidden)
			continue;
		text_buffer_format(text, "\n\t\t'%s:", verb_table[i].name);
		add_quoted(verb_table[i].help, ":", ZSH_APOSTROPHE, text);
		text_buffer_add_text(text, "'");
	}
	text_buffer_add_text(text, "\n\t)\n\t_describe command verbs\n}\n\n");
	for (size_t i = 0; i < verb_count; i++) {
		const struct verb *verb = &verb_table[i];

		text_buffer_format(text, "_sbx_verb_%s()\n{\n\t_arguments -s -S%s", verb->name,
				   !ends_options(verb) ? "" : " -A '-*'");
		for_each_option(verb, text, add_zsh_option);
		add_zsh_operands(verb, text);
		text_buffer_add_text(text, "\n}\n\n");
	}
	text_buffer_add_text(text, zsh_tail);
}

/* ---- fish ---- */

#define FISH_APOSTROPHE "\\'"

static const char fish_head[] =
	"# fish completion for sbx; store it: sbx completion fish > ~/.config/fish/completions/sbx.fish\n"
	"# Made from sbx's own tables of commands and options.\n"
	"\n"
	"function __sbx_workers\n"
	"	sbx ps --all --quiet 2>/dev/null\n"
	"end\n"
	"\n"
	"function __sbx_signals\n"
	"	string split ' ' 'HUP INT QUIT KILL USR1 USR2 TERM CONT STOP TSTP WINCH'\n"
	"end\n"
	"\n";

static const char fish_middle[] =
	"# Where the cursor is: the command, how many operands stand before it, then the words of the user's own "
	"command.\n"
	"# Nothing while an option waits for its value.\n"
	"function __sbx_position\n"
	"	set -l words (commandline --tokenize --cut-at-cursor --current-process)\n"
	"	set -e words[1]\n"
	"	set -l verb $words[1]\n"
	"	test -n \"$verb\"; or return\n"
	"	set -e words[1]\n"
	"	set -l ended 0\n"
	"	set -l operands 0\n"
	"	set -l waits 0\n"
	"	while set -q words[1]\n"
	"		set -l word $words[1]\n"
	"		if test $waits = 1\n"
	"			set waits 0\n"
	"		else if test $ended = 0 -a \"x$word\" = x--\n"
	"			set ended 1\n"
	"		else if test $ended = 0; and string match -q -- '--*' $word\n"
	"			__sbx_takes_value $verb $word; and set waits 1\n"
	"		else if test $ended = 0; and string match -q -- '-?*' $word\n"
	"			set -l letters (string split '' -- (string sub --start 2 -- $word))\n"
	"			while set -q letters[1]\n"
	"				if __sbx_takes_value $verb -$letters[1]\n"
	"					set -q letters[2]; or set waits 1\n"
	"					break\n"
	"				end\n"
	"				set -e letters[1]\n"
	"			end\n"
	"		else\n"
	"			set -l before (__sbx_operands_before_command $verb)\n"
	"			if test -n \"$before\"\n"
	"				set ended 1\n"
	"				test $operands -ge $before -a \"x$word\" != x--; and break\n"
	"			end\n"
	"			test \"x$word\" = x--; or set operands (math $operands + 1)\n"
	"		end\n"
	"		set -e words[1]\n"
	"	end\n"
	"	test $waits = 1; and return\n"
	"	string join \\n -- $verb $ended $operands $words\n"
	"end\n"
	"\n"
	"# Whether options of the command $argv[1] may stand here.\n"
	"function __sbx_takes_options\n"
	"	set -l position (__sbx_position)\n"
	"	if not set -q position[1]\n"
	"		# An option waits for its value: it is fish that knows which.\n"
	"		set -l words (commandline --tokenize --cut-at-cursor --current-process)\n"
	"		test \"$words[2]\" = $argv[1]\n"
	"		return\n"
	"	end\n"
	"	test \"$position[1]\" = $argv[1] -a \"$position[2]\" = 0\n"
	"end\n"
	"\n"
	"# Whether operand $argv[2] (from 0; '': any) of the command $argv[1] stands here.\n"
	"function __sbx_at_operand\n"
	"	set -l position (__sbx_position)\n"
	"	test \"$position[1]\" = $argv[1]; or return 1\n"
	"	test -z \"$argv[2]\" -o \"$position[3]\" = \"$argv[2]\"\n"
	"end\n"
	"\n"
	"# Whether the user's own command stands here, or one of its words.\n"
	"function __sbx_at_command\n"
	"	set -l position (__sbx_position)\n"
	"	test \"$position[1]\" = $argv[1]; or return 1\n"
	"	test \"$position[3]\" -ge (__sbx_operands_before_command $argv[1])\n"
	"end\n"
	"\n"
	"function __sbx_command\n"
	"	set -l position (__sbx_position)\n"
	"	complete --do-complete (string join ' ' -- (string escape -- $position[4..-1]) (commandline "
	"--current-token --cut-at-cursor))\n"
	"end\n"
	"\n"
	"complete -c sbx -f\n"
	"complete -c sbx -n __fish_use_subcommand -s h -l help -d 'explain the commands'\n"
	"complete -c sbx -n __fish_use_subcommand -l version -d 'print the version'\n"
	"complete -c sbx -n __fish_use_subcommand -a '(__sbx_verbs)'\n";

static void add_fish_value(const struct verb *verb, const struct option *option, struct text_buffer *text)
{
	if (!option->value || option->value_optional)
		return;
	text_buffer_format(text, " '%s --%s'", verb->name, option->name);
	if (option->letter)
		text_buffer_format(text, " '%s -%c'", verb->name, option->letter);
}

static void add_fish_option(const struct verb *verb, const struct option *option, struct text_buffer *text)
{
	text_buffer_format(text, "complete -c sbx -n '__sbx_takes_options %s' -l %s", verb->name, option->name);
	if (option->letter)
		text_buffer_format(text, " -s %c", option->letter);
	/* fish takes `-a` without `-r` for words that may follow, so for an optional value as well. */
	if (option->value && !option->value_optional)
		text_buffer_add_text(text, option->complete == COMPLETE_FILE ? " -r -F" : " -x");
	if (option->value && option->complete == COMPLETE_CHOICE && !option->value_optional) {
		text_buffer_add_text(text, " -a '");
		add_choices(option->choices, text);
		text_buffer_add_text(text, "'");
	} else if (option->value && actions[option->complete].fish && actions[option->complete].fish[0]) {
		text_buffer_format(text, " -a '%s'", actions[option->complete].fish);
	}
	text_buffer_add_text(text, " -d '");
	add_quoted(option->help, "\\", FISH_APOSTROPHE, text);
	text_buffer_add_text(text, "'\n");
}

static void add_fish_operands(const struct verb *verb, struct text_buffer *text)
{
	bool any = verb->operands_max == OPERANDS_ANY;

	for (size_t i = 0; i < (any ? 1 : verb->operands_max); i++) {
		text_buffer_format(text, "complete -c sbx -n '__sbx_at_operand %s", verb->name);
		if (!any)
			text_buffer_format(text, " %zu", i);
		text_buffer_add_text(text, verb->complete == COMPLETE_FILE || verb->complete == COMPLETE_WORKER_PATH
						   ? "' -F -a '"
						   : "' -a '");
		if (verb->complete == COMPLETE_CHOICE)
			add_words(verb->choices, text);
		else if (actions[verb->complete].fish)
			text_buffer_add_text(text, actions[verb->complete].fish);
		text_buffer_add_text(text, "'\n");
	}
	if (ends_options(verb))
		text_buffer_format(text, "complete -c sbx -n '__sbx_at_command %s' -a '(__sbx_command)'\n", verb->name);
}

void completion_write_fish(struct text_buffer *text)
{
	text_buffer_add_text(text, fish_head);
	text_buffer_add_text(text, "function __sbx_verbs\n\tprintf '%s\\t%s\\n'");
	for (size_t i = 0; i < verb_count; i++) {
		if (verb_table[i].hidden)
			continue;
		text_buffer_format(text, " %s '", verb_table[i].name);
		add_quoted(verb_table[i].help, "\\", FISH_APOSTROPHE, text);
		text_buffer_add_text(text, "'");
	}
	text_buffer_add_text(text, "\nend\n\n# Whether option $argv[2] of the command $argv[1] takes a value.\n"
				   "function __sbx_takes_value\n\tcontains -- \"$argv[1] $argv[2]\"");
	for (size_t i = 0; i < verb_count; i++)
		for_each_option(&verb_table[i], text, add_fish_value);
	text_buffer_add_text(text,
			     "\nend\n\n# How many operands stand before the user's own command; nothing: $argv[1] "
			     "takes none.\nfunction __sbx_operands_before_command\n\tswitch $argv[1]\n");
	for (size_t i = 0; i < verb_count; i++)
		if (ends_options(&verb_table[i]))
			text_buffer_format(text, "\t\tcase %s\n\t\t\techo %zu\n", verb_table[i].name,
					   verb_table[i].operands_max);
	text_buffer_add_text(text, "\tend\nend\n\n");
	text_buffer_add_text(text, fish_middle);
	for (size_t i = 0; i < verb_count; i++) {
		add_fish_operands(&verb_table[i], text);
		for_each_option(&verb_table[i], text, add_fish_option);
	}
}

/* ---- the verb ---- */

int verb_completion(struct invocation *invocation, struct error *error)
{
	static const struct {
		const char *shell;
		void (*write)(struct text_buffer *text);
	} shells[] = {
		{ "bash", completion_write_bash },
		{ "zsh", completion_write_zsh },
		{ "fish", completion_write_fish },
	};
	const char *shell = invocation->operands.items[0];
	owned_buffer text = { 0 };
	int result = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (!text_equal(shells[i].shell, shell))
			continue;
		shells[i].write(&text);
		result = fd_write_all(STDOUT_FILENO, text.bytes, text.length);
		return result < 0 ? error_set(error, .number = -result, .step = "print the completion script") : 0;
	}
	return error_set(error, .number = EINVAL, .step = "complete for the shell", .object = shell,
			 .cause = "sbx has no script for it", .remedy = "there are: bash, zsh, fish");
}
