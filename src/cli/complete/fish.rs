//! Adds what the generator leaves out of the fish script: three-word commands, and fixed values of arguments.

use clap::Command;
use clap_complete::Shell;

/// The generator's test that the first word of the command is this one.
const USING: &str = "__fish_rollcall_using_subcommand ";
/// The generator's test for any further word.
const SEEN: &str = "; and __fish_seen_subcommand_from ";

/// The generated script, completed for these commands.
pub fn completed(script: &str, program: &Command) -> String {
    let mut all = script.to_owned();
    for first in program.get_subcommands() {
        for second in first.get_subcommands().filter(|command| command.has_subcommands()) {
            let group = format!("{USING}{}{SEEN}{}", first.get_name(), second.get_name());
            let names: Vec<_> = second.get_subcommands().map(Command::get_name).collect();
            // After `server terminal add` the generator would keep offering add, list and revoke.
            let open = format!("\"{group}; and not __fish_seen_subcommand_from {}\"", names.join(" "));
            all = all.replace(&format!("\"{group}\""), &open);
            all.extend(second.get_subcommands().map(|third| options(&group, third)));
        }
    }
    all + &values(program, "")
}

/// Completes the options of third-level commands, because the generator handles only two levels.
fn options(group: &str, third: &Command) -> String {
    let mut alone = Command::new("rollcall").subcommand(Command::new("GROUP").subcommand(third.clone()));
    let mut script = Vec::new();
    clap_complete::generate(Shell::Fish, &mut alone, "rollcall", &mut script);
    let (two, three) =
        (format!("\"{USING}GROUP{SEEN}{}\"", third.get_name()), format!("\"{group}{SEEN}{}\"", third.get_name()));
    let script = String::from_utf8_lossy(&script);
    // One for each option; with fixed values it spans several lines.
    let all = script.split("\ncomplete ").filter(|one| one.contains(&two));
    all.flat_map(|one| ["complete ".to_owned(), one.trim_end().replace(&two, &three), "\n".to_owned()]).collect()
}

/// The fixed values of positional arguments, of this command and those below it.
fn values(command: &Command, condition: &str) -> String {
    let mut lines = String::new();
    for below in command.get_subcommands() {
        let name = below.get_name();
        let condition =
            if condition.is_empty() { format!("{USING}{name}") } else { format!("{condition}{SEEN}{name}") };
        for argument in below.get_positionals() {
            let fixed: Vec<_> = argument.get_possible_values().iter().map(|one| one.get_name().to_owned()).collect();
            if !fixed.is_empty() {
                let fixed = fixed.join(" ");
                lines.extend(["complete -c rollcall -n \"", &condition, "\" -f -a \"", &fixed, "\"\n"]);
            }
        }
        lines += &values(below, &condition);
    }
    lines
}
