
# Behind --reader: the readers that are there, and the aliases of the configuration. All else is the function above's.
_rollcall_and_readers() {
    local typed=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} name
    # The shell takes --reader=NAME for three words.
    if [[ $typed == "=" ]]; then
        typed=
    elif [[ $option == "=" ]] && ((COMP_CWORD > 1)); then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [[ $option != --reader ]]; then
        _rollcall "$@"
        return
    fi
    typed=${typed//[\\\"\']/}
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name != "$typed"* ]] || COMPREPLY+=("$name")
    done < <(command "$1" completions --readers 2>/dev/null)
    # The shell then quotes blanks and brackets; and where there is no reader, a file's name would be none either.
    compopt -o filenames +o default +o bashdefault 2>/dev/null
}
complete -F _rollcall_and_readers -o nosort -o bashdefault -o default rollcall 2>/dev/null ||
    complete -F _rollcall_and_readers -o bashdefault -o default rollcall
