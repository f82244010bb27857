# The readers that are there, and the aliases of the configuration.
complete -c rollcall -l reader -x -a "(command rollcall completions --readers 2>/dev/null)"
