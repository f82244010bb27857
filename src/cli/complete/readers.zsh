
# The readers that are there, and the aliases of the configuration.
_rollcall_readers() {
    local -a names
    local expl
    names=(${(f)"$(_call_program readers command rollcall completions --readers 2>/dev/null)"})
    _wanted readers expl reader compadd -a names
}
