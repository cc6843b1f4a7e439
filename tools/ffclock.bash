# SPDX-License-Identifier: GPL-2.0-only
# bash completion for ffclock(1)

_ffclock()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command=
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		status|read|watch|convert|wait|migration|frequency|run|doctor|tracking|sources|stamps|reload|plot|vm|bench) command=$word; break ;;
		esac
	done
	if [ "$prev" = --page ] || [ "$prev" = -p ] || [ "$prev" = --socket ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [ "$command" = run ]; then
		mapfile -t COMPREPLY < <(compgen -c -f -- "$cur")
		return
	fi
	case $command in
	'') word="status read watch convert wait migration frequency run doctor tracking sources stamps reload plot vm bench --json --page --socket --help --version" ;;
	read) word="utc tai mono diff --json --page" ;;
	wait) word="--migration --synchronized --json" ;;
	tracking|sources|stamps|reload) word="--json --socket" ;;
	frequency) word="--drop --apply --json" ;;
	doctor) word="--json --root" ;;
	vm) word="list migrate watch stats --source --dest --uri --control --log --json" ;;
	*) word="--json --page" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
}
complete -F _ffclock ffclock
