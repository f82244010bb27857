//! Parses scripts of commands and expected answers, one per line: `HEX = 9000, 61xx > NAME`.
//!
//! ```text
//! # The applet, and its certificate
//! set AID F0524F4C4C43414C4C01
//! 00 A4 04 00 0A $AID 00 = 9000
//! 00 CA 9F 7F 00         = 9000, 6A88 > CPLC
//! ```
//!
//! An expectation of four digits is the status word; a longer one is the whole answer including it. `x` stands for any
//! digit.

use std::{collections::BTreeMap, iter};

/// The most bytes of one command: extended length, header and both lengths included.
const COMMAND_MAX: usize = 65_544;
/// The most lines of a script.
const LINES_MAX: usize = 10_000;

/// One step of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptStep {
    /// Assigns bytes to a variable.
    Set {
        /// The variable.
        name: String,
        /// Its value.
        bytes: HexTemplate,
    },
    /// Sends a command.
    Send {
        /// The command APDU.
        command: HexTemplate,
        /// The acceptable answers; empty for any.
        expected: Vec<AnswerPattern>,
        /// The variable that receives the data of the answer.
        keep: Option<String>,
    },
}

/// Hex digits with variables between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HexTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Digits(String),
    Variable(String),
}

/// The digits of an answer in upper case, `X` for any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPattern(String);

/// Why a line is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Neither a digit nor a variable.
    #[error("{0:?} is not a hex digit")]
    Digit(char),
    /// An odd number of digits, or none.
    #[error("a command has 4 bytes or more, each of two digits")]
    Length,
    /// A pattern that no answer can have.
    #[error("{0:?} is not an expectation: four digits of a status word, or a whole answer; x stands for any digit")]
    Pattern(String),
    /// Not a valid variable name.
    #[error("{0:?} is not a variable name: letters, digits and _")]
    Name(String),
    /// The variable has no value yet.
    #[error("${0} has no value yet")]
    Unknown(String),
    /// A script without an end.
    #[error("a script has at most {LINES_MAX} lines")]
    TooLong,
}

/// The lines of a script, each with its number.
///
/// # Errors
/// The number of the first invalid line, and the reason; [`ScriptError::TooLong`] for more than 10,000 lines.
pub fn parse(text: &str) -> Result<Vec<(usize, ScriptStep)>, (usize, ScriptError)> {
    // The byte order mark that editors of other systems write.
    let text = text.trim_start_matches('\u{FEFF}');
    if text.lines().nth(LINES_MAX).is_some() {
        return Err((LINES_MAX + 1, ScriptError::TooLong));
    }
    let numbered =
        text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()));
    let meant = numbered.filter(|(_, line)| !line.is_empty());
    meant
        .map(|(number, line)| ScriptStep::parse(line).map(|step| (number, step)).map_err(|error| (number, error)))
        .collect()
}

impl ScriptStep {
    /// Parses one line without its comment.
    ///
    /// # Errors
    /// [`ScriptError`] says what is wrong with the line.
    pub fn parse(line: &str) -> Result<Self, ScriptError> {
        if let Some(rest) = line.strip_prefix("set ") {
            let (name, digits) = rest.trim().split_once(char::is_whitespace).ok_or(ScriptError::Length)?;
            return Ok(Self::Set { name: name_of(name)?, bytes: HexTemplate::parse(digits)? });
        }
        let (line, keep) = match line.split_once('>') {
            Some((line, name)) => (line, Some(name_of(name.trim())?)),
            None => (line, None),
        };
        let (command, expected) = line.split_once('=').map_or((line, None), |(line, rest)| (line, Some(rest)));
        // An empty expectation after `=` would accept any answer.
        let patterns = expected.into_iter().flat_map(|expected| expected.split(','));
        let expected = patterns.map(|pattern| AnswerPattern::parse(pattern.trim())).collect::<Result<_, _>>()?;
        Ok(Self::Send { command: HexTemplate::parse(command)?, expected, keep })
    }
}

fn name_of(text: &str) -> Result<String, ScriptError> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name { Ok(text.to_owned()) } else { Err(ScriptError::Name(text.to_owned())) }
}

impl HexTemplate {
    fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut pieces = Vec::new();
        for word in text.split_whitespace() {
            let mut rest = word;
            while let Some(at) = rest.find('$') {
                pieces.extend(digits(&rest[..at])?);
                let name = &rest[at + 1..];
                let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
                pieces.push(Piece::Variable(name_of(&name[..end])?));
                rest = &name[end..];
            }
            pieces.extend(digits(rest)?);
        }
        if pieces.is_empty() { Err(ScriptError::Length) } else { Ok(Self(pieces)) }
    }

    /// The bytes, with all variables replaced by their values.
    ///
    /// # Errors
    /// [`ScriptError::Unknown`] names a variable without a value; [`ScriptError::Length`] for half a byte or more than
    /// 65,544 bytes.
    pub fn bytes(&self, variables: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, ScriptError> {
        let mut digits = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Digits(more) => digits.push_str(more),
                Piece::Variable(name) => {
                    let value = variables.get(name).ok_or_else(|| ScriptError::Unknown(name.clone()))?;
                    digits.push_str(&hex::encode(value));
                }
            }
        }
        hex::decode(digits).ok().filter(|bytes| bytes.len() <= COMMAND_MAX).ok_or(ScriptError::Length)
    }
}

fn digits(text: &str) -> Result<Option<Piece>, ScriptError> {
    match text.chars().find(|c| !c.is_ascii_hexdigit()) {
        Some(other) => Err(ScriptError::Digit(other)),
        None => Ok((!text.is_empty()).then(|| Piece::Digits(text.to_owned()))),
    }
}

impl AnswerPattern {
    fn parse(text: &str) -> Result<Self, ScriptError> {
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
        let good = digits.len() >= 4 && digits.len().is_multiple_of(2);
        if good && digits.chars().all(|c| c.is_ascii_hexdigit() || c == 'X') {
            return Ok(Self(digits));
        }
        Err(ScriptError::Pattern(text.to_owned()))
    }

    /// Whether an answer, including its two status bytes, matches.
    pub fn matches(&self, answer: &[u8]) -> bool {
        let answer = hex::encode_upper(answer);
        let told = if self.0.len() == 4 { answer.get(answer.len().saturating_sub(4)..) } else { Some(&*answer) };
        told.is_some_and(|told| {
            told.len() == self.0.len() && iter::zip(told.chars(), self.0.chars()).all(|(c, p)| p == 'X' || p == c)
        })
    }

    /// As displayed.
    pub fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn send(line: &str, variables: &[(&str, &[u8])]) -> Result<Vec<u8>, ScriptError> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        match ScriptStep::parse(line)? {
            ScriptStep::Send { command, .. } => command.bytes(&variables),
            ScriptStep::Set { bytes, .. } => bytes.bytes(&variables),
        }
    }

    #[test]
    fn a_script_is_read_line_by_line() {
        let text = "\u{feff}# first\n\nset AID F052  # ours\n00 a4 0400 02 $AID 00=9000,61xx > FCI\n00CA9F7F00\n";
        let steps = parse(text).unwrap();
        assert_eq!(steps.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5]);
        let ScriptStep::Send { command, expected, keep } = &steps[1].1 else { panic!() };
        let variables = BTreeMap::from([("AID".to_owned(), vec![0xF0, 0x52])]);
        assert_eq!(command.bytes(&variables).unwrap(), [0, 0xA4, 4, 0, 2, 0xF0, 0x52, 0]);
        assert_eq!((expected.len(), keep.as_deref()), (2, Some("FCI")));
    }

    #[test]
    fn variables_stand_anywhere_between_digits() {
        assert_eq!(send("00$A.", &[]), Err(ScriptError::Digit('.')));
        assert_eq!(send("00$A", &[("A", &[1, 2])]), Ok(vec![0, 1, 2]));
        assert_eq!(send("$A$B 03", &[("A", &[1]), ("B", &[2])]), Ok(vec![1, 2, 3]));
        assert_eq!(send("00 $A", &[]), Err(ScriptError::Unknown("A".into())));
        assert_eq!(send("00 0", &[]), Err(ScriptError::Length));
        assert_eq!(send("= 9000", &[]), Err(ScriptError::Length));
        assert_eq!(send("00 > 1-2", &[]), Err(ScriptError::Name("1-2".into())));
        assert_eq!(send("zz", &[]), Err(ScriptError::Digit('z')));
        assert_eq!(parse("00\n00=9\n").unwrap_err(), (2, ScriptError::Pattern("9".into())));
        for nothing in ["00A4=", "00A4= ", "00A4=,", "00A4=9000,", "00A4=,9000", "00A4=9000,,6A82", "00A4= > FCI"] {
            assert_eq!(ScriptStep::parse(nothing), Err(ScriptError::Pattern(String::new())), "{nothing}");
        }
    }

    #[test]
    fn a_script_has_at_most_10_000_lines() {
        assert_eq!(parse(&"00A4\n".repeat(10_000)).unwrap().len(), 10_000);
        assert_eq!(parse(&"\n".repeat(10_001)), Err((10_001, ScriptError::TooLong)));
    }

    #[test]
    fn a_status_or_a_whole_answer_is_expected() {
        let matches = |pattern: &str, answer: &[u8]| AnswerPattern::parse(pattern).unwrap().matches(answer);
        assert!(matches("61xx", &[0x61, 0x17]) && matches("9000", &[1, 2, 0x90, 0]) && matches("xxxx", &[0x6A, 0x88]));
        assert!(matches("6F xx 9000", &[0x6F, 0x17, 0x90, 0]) && !matches("6F 00 9000", &[0x6F, 0x17, 0x90, 0]));
        assert!(!matches("9000", &[0x90, 1]) && !matches("9000", &[0x90]) && !matches("9000", &[]));
        assert!(!matches("029000", &[1, 2, 0x90, 0]));
        assert_eq!(AnswerPattern::parse("6f xX 9000").unwrap().text(), "6FXX9000");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_in_hex_is_sent(bytes in prop::collection::vec(any::<u8>(), 4..300)) {
            prop_assert_eq!(send(&hex::encode(&bytes), &[]).unwrap(), bytes);
        }
    }
}
