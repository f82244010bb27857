
# A word as the program gets it: without the quotes and backslashes that it was typed with. Sets REPLY; and quote, where
# one is still open, with start, what of REPLY stands before it.
_rollcall_plain() {
    local text=$1 char next at
    REPLY= quote= start=
    for ((at = 0; at < ${#text}; at++)); do
        char=${text:at:1}
        if [[ $quote == "'" ]]; then
            if [[ $char == "'" ]]; then quote=; else REPLY+=$char; fi
        elif [[ $char == "\\" ]]; then
            next=${text:at+1:1}
            # Between double quotes a backslash stands for itself, except before these.
            if [[ $quote == '"' && $next != [\"\\\$\`] ]]; then
                REPLY+=$char
            else
                REPLY+=$next
                ((++at))
            fi
        elif [[ -n $quote && $char == "$quote" ]]; then
            quote=
        elif [[ -z $quote && $char == [\"\'] ]]; then
            quote=$char start=$REPLY
        else
            REPLY+=$char
        fi
    done
    [[ -n $quote ]] || start=
}

# A text as it has to stand in the line, where this quote is open. Sets REPLY.
_rollcall_quoted() {
    local text=$1 quote=$2 at char
    if [[ -z $quote ]]; then
        printf -v REPLY %q "$text"
        return
    fi
    REPLY=
    for ((at = 0; at < ${#text}; at++)); do
        char=${text:at:1}
        if [[ $quote == "'" && $char == "'" ]]; then
            REPLY+="'\\''"
        elif [[ $quote == '"' && $char == [\"\\\$\`] ]]; then
            REPLY+="\\$char"
        else
            REPLY+=$char
        fi
    done
    # The shell closes the quote behind the name, unless it ends like one that is closed.
    [[ $REPLY != *"$quote" ]] || REPLY+=$quote
}

# What is asked of the program for the word behind these two. Sets kind; nothing where it knows nothing.
_rollcall_kind() {
    case "$1 $2" in
    *" --reader") kind=readers ;;
    *" --user") kind=users ;;
    *" --replace") kind=tokens ;;
    *" --set" | "pki rotate-set") kind=sets ;;
    "board revoke") kind=links ;;
    "users show" | "users deny" | "users allow" | "users remove" | "users forget" | "users check-in" | \
        "users check-out" | "user show" | "user forget") kind=users ;;
    "token show" | "token status") kind=tokens ;;
    *) kind= ;;
    esac
}

# Where readers, users, tokens, sets or links stand: those that are known here. All else is the function above's.
_rollcall_and_values() {
    local typed=${COMP_WORDS[COMP_CWORD]} at=$COMP_CWORD before= option above name kind quote start REPLY
    # The shell takes a name with colons for several words, and completes the last of them.
    if [[ $typed == : ]]; then
        typed= before=${COMP_WORDS[at - 1]}:
        ((--at))
    fi
    while ((at > 2)) && [[ ${COMP_WORDS[at - 1]} == : ]]; do
        before=${COMP_WORDS[at - 2]}:$before
        ((at -= 2))
    done
    option=${COMP_WORDS[at - 1]}
    above=
    ((at < 2)) || above=${COMP_WORDS[at - 2]}
    # It takes --reader=NAME for three words.
    if [[ $typed == "=" ]]; then
        typed=
    elif [[ $option == "=" ]] && ((at > 1)); then
        option=${COMP_WORDS[at - 2]}
    fi
    _rollcall_kind "$above" "$option"
    if [[ -z $kind || $typed == -* ]]; then
        _rollcall "$@"
        return
    fi
    _rollcall_plain "$before"
    before=$REPLY
    _rollcall_plain "$typed"
    typed=$REPLY
    COMPREPLY=()
    while IFS= read -r name; do
        [[ $name == "$before$typed"* ]] || continue
        # What stands before the word that is replaced stays as it is.
        name=${name#"$before$start"}
        _rollcall_quoted "$name" "$quote"
        COMPREPLY+=("$REPLY")
    done < <(command "$1" completions "--$kind" 2>/dev/null)
    # The names are quoted already; and where there is none, a file's name would be none either.
    compopt +o filenames +o default +o bashdefault 2>/dev/null
}
complete -F _rollcall_and_values -o nosort -o bashdefault -o default rollcall 2>/dev/null ||
    complete -F _rollcall_and_values -o bashdefault -o default rollcall
