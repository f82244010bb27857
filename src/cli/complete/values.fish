# The readers that are there, and the aliases of the configuration.
complete -c rollcall -l reader -x -a "(command rollcall completions --readers 2>/dev/null)"
# Users, tokens, sets and links that are known here.
for command in show deny allow remove forget check-in check-out
    complete -c rollcall -n "__fish_rollcall_using_subcommand users; and __fish_seen_subcommand_from $command" -f -a "(command rollcall completions --users 2>/dev/null)"
end
complete -c rollcall -n "__fish_rollcall_using_subcommand server; and __fish_seen_subcommand_from user; and __fish_seen_subcommand_from show forget" -f -a "(command rollcall completions --users 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand server; and __fish_seen_subcommand_from token; and __fish_seen_subcommand_from show status" -f -a "(command rollcall completions --tokens 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand token; and __fish_seen_subcommand_from list" -l user -x -a "(command rollcall completions --users 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand server; and __fish_seen_subcommand_from events token" -l user -x -a "(command rollcall completions --users 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand enroll" -l replace -f -a "(command rollcall completions --tokens 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand enroll" -l set -x -a "(command rollcall completions --sets 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand token; and __fish_seen_subcommand_from rotate" -l set -x -a "(command rollcall completions --sets 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand pki; and __fish_seen_subcommand_from rotate-set" -f -a "(command rollcall completions --sets 2>/dev/null)"
complete -c rollcall -n "__fish_rollcall_using_subcommand board; and __fish_seen_subcommand_from revoke" -f -a "(command rollcall completions --links 2>/dev/null)"
