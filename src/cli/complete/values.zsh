
# The readers that are there, and the aliases of the configuration.
_rollcall_readers() {
    local -a names
    local expl
    names=(${(f)"$(_call_program readers command rollcall completions --readers 2>/dev/null)"})
    _wanted readers expl reader compadd -a names
}

# Users, tokens, sets and links that are known here.
_rollcall_users() {
    local -a ids
    local expl
    ids=(${(f)"$(_call_program users command rollcall completions --users 2>/dev/null)"})
    _wanted users expl user compadd -a ids
}
_rollcall_tokens() {
    local -a ids
    local expl
    ids=(${(f)"$(_call_program tokens command rollcall completions --tokens 2>/dev/null)"})
    _wanted tokens expl token compadd -a ids
}
_rollcall_sets() {
    local -a ids
    local expl
    ids=(${(f)"$(_call_program sets command rollcall completions --sets 2>/dev/null)"})
    _wanted sets expl set compadd -a ids
}
_rollcall_links() {
    local -a ids
    local expl
    ids=(${(f)"$(_call_program links command rollcall completions --links 2>/dev/null)"})
    _wanted links expl link compadd -a ids
}
