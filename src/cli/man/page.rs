//! Writes a manual page in the format man(7): with short source lines, and without accidental macros.

/// The longest line of the source, in bytes.
const WIDTH: usize = 78;
/// The longest line of an example, so that it fits beside its margin on 80 columns.
const EXAMPLE_WIDTH: usize = 68;

/// A page under construction.
#[derive(Debug)]
pub struct ManPage {
    source: String,
}

impl ManPage {
    /// A page with its title and its NAME section; `date` is `YYYY-MM-DD`.
    pub fn new(name: &str, section: u8, date: &str, summary: &str) -> Self {
        let title = name.to_uppercase();
        let version = env!("CARGO_PKG_VERSION");
        let source = format!(".TH {} {section} {date} \"rollcall {version}\" Rollcall\n", escaped(&title));
        let mut page = Self { source };
        // A name broken by a hyphen could not be copied.
        page.line(".nh");
        page.line(".ad l");
        page.section("NAME");
        page.wrapped(&[format!("{} \\-", escaped(name)), escaped(summary)].join(" "));
        page
    }

    /// The source.
    pub fn into_source(self) -> String {
        self.source
    }

    /// Begins a section.
    pub fn section(&mut self, title: &str) {
        self.line(&format!(".SH \"{}\"", escaped(title)));
    }

    /// A paragraph; all but the first one of a section are set apart.
    pub fn paragraph(&mut self, text: &str) {
        if !self.source.lines().last().is_some_and(|line| line.starts_with(".SH")) {
            self.line(".PP");
        }
        self.wrapped(&marked(text));
    }

    /// A term in bold, with its meaning.
    pub fn item(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(&bold(&escaped(term)));
        self.wrapped(&marked(meaning));
    }

    /// A term that already has markup, with its meaning.
    pub fn marked_item(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.line(term);
        self.wrapped(&marked(meaning));
    }

    /// A synopsis: the command's name, then parts that already have markup and are never broken.
    pub fn synopsis(&mut self, name: &str, parts: &[String]) {
        self.line(&bold(&escaped(name)));
        for part in parts {
            // No line break at a space inside a part.
            self.line(&part.replace(' ', "\\ "));
        }
    }

    /// Lines that stay unchanged, except that long commands are continued after a backslash.
    pub fn example(&mut self, lines: &[&str]) {
        if !self.source.lines().last().is_some_and(|line| line.starts_with(".SH")) {
            self.line(".PP");
        }
        self.line(".nf");
        self.line(".RS 4");
        for line in lines {
            for part in continued(line) {
                let part = escaped(&part);
                self.line(&guarded(&part));
            }
        }
        self.line(".RE");
        self.line(".fi");
    }

    /// One line of names, separated by commas.
    pub fn names(&mut self, names: &[String]) {
        self.wrapped(&escaped(&names.join(", ")));
    }

    /// Escaped text on as many lines as needed, each sentence on its own.
    fn wrapped(&mut self, text: &str) {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                self.line(&guarded(&line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&guarded(&line));
    }

    fn line(&mut self, line: &str) {
        self.source.push_str(line);
        self.source.push('\n');
    }
}

/// Bold.
pub fn bold(escaped: &str) -> String {
    format!("\\fB{escaped}\\fR")
}

/// Italic, for placeholders.
pub fn italic(escaped: &str) -> String {
    format!("\\fI{escaped}\\fR")
}

/// Text in which no character has a meaning for the formatter.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '"' => escaped.push_str("\\(dq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            '…' => escaped.push_str("..."),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escaped text, bold between backticks; links are reduced to their text.
fn marked(text: &str) -> String {
    let text = without_links(text);
    let parts = text.split('`').enumerate();
    parts.map(|(n, part)| if n % 2 == 1 { bold(&escaped(part)) } else { escaped(part) }).collect()
}

/// `[text](address)` as `text`.
fn without_links(text: &str) -> String {
    let Some((before, rest)) = text.split_once("](") else { return text.to_owned() };
    let (Some((before, name)), Some((_, after))) = (before.rsplit_once('['), rest.split_once(')')) else {
        return text.to_owned();
    };
    format!("{before}{name}{}", without_links(after))
}

/// Protects a line from being a macro.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}

/// A command on several lines if it is too long for one: broken at spaces outside quotes.
fn continued(line: &str) -> Vec<String> {
    if line.len() <= EXAMPLE_WIDTH {
        return vec![line.to_owned()];
    }
    let mut quoted = false;
    let mut words = vec![String::new()];
    for letter in line.chars() {
        quoted ^= letter == '"';
        match words.last_mut() {
            Some(word) if letter != ' ' || quoted => word.push(letter),
            _ => words.push(String::new()),
        }
    }
    let mut lines = vec![String::new()];
    for word in words {
        match lines.last_mut() {
            Some(last) if last.is_empty() => last.push_str(&word),
            Some(last) if last.len() + word.len() < EXAMPLE_WIDTH - 2 => {
                last.push(' ');
                last.push_str(&word);
            }
            Some(last) => {
                last.push_str(" \\");
                lines.push(format!("    {word}"));
            }
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_macro_or_an_escape() {
        let mut page = ManPage::new("a-b", 1, "2026-01-01", "what");
        page.section("TEXT");
        page.paragraph(".so it's \\fB \"x\" `--all` and [a page](page.md), `~`");
        page.example(&["'quoted'", ".dot"]);
        let source = page.into_source();
        assert!(
            source.contains(
                ".SH \"TEXT\"\n\\&.so it\\(aqs \\efB \\(dqx\\(dq \\fB\\-\\-all\\fR and a page, \\fB\\(ti\\fR\n"
            )
        );
        assert!(source.contains("\\(aqquoted\\(aq\n\\&.dot\n"), "{source}");
    }

    #[test]
    fn lines_are_short_and_a_long_command_goes_on_in_the_next() {
        let long = "rollcall server user add --id 7 --name \"Ada Augusta King, Countess of Lovelace\" --field room=C02 --dry-run";
        let lines = continued(long);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= EXAMPLE_WIDTH + 2), "{lines:?}");
        let joined = lines.join("\n").replace(" \\\n    ", " ");
        assert_eq!(joined, long);
        let mut page = ManPage::new("a", 1, "2026-01-01", "what");
        page.paragraph(&"word ".repeat(100));
        assert!(page.into_source().lines().all(|line| line.len() <= WIDTH));
    }
}
