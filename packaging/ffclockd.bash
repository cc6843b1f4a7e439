# SPDX-License-Identifier: GPL-2.0-only
# bash completion for ffclockd(8)

_ffclockd()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}

	# --config=FILE arrives as three words
	if [[ $cur == = ]]; then
		cur=
	elif [[ $prev == = && COMP_CWORD -ge 2 ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	case $prev in
	-c|--config|--replay|--map)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	--period)
		;;
	*)
		if [[ $cur == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W '-c --config= -d --debug -s --syslog
				--check -Q --query --replay= --map= --period= --help --usage
				--version' -- "$cur")
			[[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
		elif [[ " ${COMP_WORDS[*]} " == *" -Q "* || " ${COMP_WORDS[*]} " == *" --query "* ]]; then
			mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
		fi
		;;
	esac
}
complete -F _ffclockd ffclockd
