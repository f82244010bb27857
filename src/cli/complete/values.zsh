
# The readers that are there, and the aliases of the configuration.
_rollcall_readers() {
    local -a names
    local expl
    names=(${(f)"$(_call_program readers command rollcall completions --readers 2>/dev/null)"})
    _wanted readers expl reader compadd -a names
}

# Users, tokens, sets and links that are known here: of which kind, and what one of them is called.
_rollcall_known() {
    local -a ids
    local expl
    ids=(${(f)"$(_call_program $1 command rollcall completions --$1 2>/dev/null)"})
    _wanted $1 expl $2 compadd -a ids
}
_rollcall_users() { _rollcall_known users user }
_rollcall_tokens() { _rollcall_known tokens token }
_rollcall_sets() { _rollcall_known sets set }
_rollcall_links() { _rollcall_known links link }
