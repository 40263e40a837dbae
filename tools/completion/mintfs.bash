# shellcheck shell=bash
# bash completion for mintfs(1). Commands and options come from `mintfs help`, and are thus always
# up to date; names, keys and sessions come from the store.

_mintfs_commands() {
    "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'
}

_mintfs_options() {
    "$1" help "$2" 2>/dev/null | grep -oE '(^|[^[:alnum:]-])--?[a-z][a-z-]*' | grep -oE -- '--?[a-z].*' |
        sort -u
}

# Names, then the beginnings of keys. If there is no store, none is created.
_mintfs_templates() {
    "$1" ls --json 2>/dev/null | awk -F'"' '
        /"sessions": \[/ && !inside { exit }
        /"names": \[/ { inside = 1; if (/\]/) inside = 0; next }
        inside && /\]/ { inside = 0; next }
        inside { print $2; next }
        $2 == "key" { print substr($4, 1, 12) }' | sort -u
}

# The sections of the mintfs.conf in force, which is found by the rules of mintfs.
_mintfs_sections() {
    local directory=$PWD
    until [ -f "$directory/mintfs.conf" ]; do
        if [ -z "$directory" ] || [ "$directory" = "$HOME" ] || [ -e "$directory/.git" ]; then
            return
        fi
        directory=${directory%/*}
    done
    sed -n 's/^[[:blank:]]*\[[[:blank:]]*\([A-Za-z0-9._-]*\)[[:blank:]]*\].*/\1/p' "$directory/mintfs.conf"
}

_mintfs_sessions() {
    "$1" session ls --json 2>/dev/null | awk -F'"' '$2 == "id" { print $4 }' | sort -u
}

_mintfs() {
    # Skip -C DIR, which comes before the command.
    while [ "$COMP_CWORD" -gt 2 ] && [[ ${COMP_WORDS[1]} = -C || ${COMP_WORDS[1]} = --directory ]]; do
        COMP_WORDS=("${COMP_WORDS[0]}" "${COMP_WORDS[@]:3}")
        COMP_CWORD=$((COMP_CWORD - 2))
    done
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]-} words='' i
    COMPREPLY=()
    # After -- comes the builder, any command.
    for ((i = 2; i < COMP_CWORD; i++)); do
        if [ "${COMP_WORDS[i]}" = -- ]; then
            mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
            return
        fi
    done
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$(_mintfs_commands "$program")" help --help --version --directory -C"
    elif [ "$COMP_CWORD" -eq 2 ] && [[ $previous = -C || $previous = --directory ]]; then
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
    elif [[ $word = -* ]]; then
        words=$(_mintfs_options "$program" "$command")
    else
        case $command:$previous in
        help:*) words=$(_mintfs_commands "$program") ;;
        mount:-o | mount:--options)
            words='allow_other strict limit= session_limit= idle= grace= no_io_uring'
            ;;
        *:-i | *:--input | *:--root | *:--to | *:--scratch | *:-x | *:--exclude)
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        *:-e | *:--env)
            mapfile -t COMPREPLY < <(compgen -v -- "$word")
            return
            ;;
        *:-n | *:--name | *:--rebuild | show:* | name:* | pin:* | unpin:* | evict:* | verify:*)
            words=$(_mintfs_templates "$program"; _mintfs_sections)
            ;;
        build:* | key:* | explain:*) words=$(_mintfs_sections) ;;
        session:session) words='new ls reset rm' ;;
        session:*)
            case ${COMP_WORDS[2]} in
            new) words=$(_mintfs_templates "$program"; _mintfs_sections) ;;
            reset | rm) words=$(_mintfs_sessions "$program") ;;
            esac
            ;;
        mount:* | umount:*)
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -o filenames -F _mintfs mintfs
