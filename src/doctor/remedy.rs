//! The command in a remedy: scripts and people take it from there as it stands.

/// What the commands of remedies begin with.
const PROGRAMS: [&str; 15] = [
    "sudo", "rollcall", "kill", "mv", "du", "df", "fuser", "getent", "ping", "gp", "lsusb", "ps", "echo", "chmod", "ls",
];

/// What to type of a remedy: all of it, or what follows a colon or semicolon, up to what is to be done after it.
pub fn command(remedy: &str) -> Option<&str> {
    let starts = remedy.match_indices([':', ';']).map(|(at, sign)| at + sign.len());
    let found = std::iter::once(0).chain(starts).find_map(|at| {
        let rest = remedy.get(at..)?.trim_start();
        PROGRAMS.contains(&rest.split(' ').next()?.trim_end_matches(';')).then_some(rest)
    })?;
    Some(found.split("; then ").next().unwrap_or(found))
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn a_command_is_taken_whole_and_without_the_words_around_it() {
        for (remedy, expected) in [
            ("sudo systemctl restart pcscd", Some("sudo systemctl restart pcscd")),
            ("see whether its disk answers: df", Some("df")),
            ("take it away; if it stays so, then: sudo systemctl restart pcscd", Some("sudo systemctl restart pcscd")),
            ("sudo apt install libccid; then another reader", Some("sudo apt install libccid")),
            ("rollcall readers; then another card", Some("rollcall readers")),
            ("sudo modprobe -r nfc; printf x | sudo tee y", Some("sudo modprobe -r nfc; printf x | sudo tee y")),
            ("run the same rollcall enroll once more", None),
            ("install the applet: see applet/README.md", None),
            ("lay the card flat; another port", None),
            ("", None),
        ] {
            assert_eq!(command(remedy), expected, "{remedy}");
        }
    }
}
