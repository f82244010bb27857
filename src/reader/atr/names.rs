//! The list of cards by their ATRs that pcsc-tools keeps (`smartcard_list.txt`): patterns, and below each its names.
//!
//! A pattern is an ATR in hex where `.` is any digit, `[1-3]`, `[04]` and `[0,4]` are some, and `.*` is any rest.

/// Where Debian and others install it.
pub const LIST: &str = "/usr/share/pcsc/smartcard_list.txt";
/// The list is half a megabyte; more than this is none.
pub const LIST_MAX: u64 = 8 * 1024 * 1024;
/// Two for each byte, brackets and gaps.
const TOKENS_MAX: usize = 256;

/// One digit of a pattern: which values it may have, a bit each; or any number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatternDigit {
    Digit(u16),
    Rest,
}

/// A pattern of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtrPattern(Vec<PatternDigit>);

impl AtrPattern {
    /// Parses one; nothing when it is not of that form.
    pub fn parse(text: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.trim_end().chars().filter(|c| *c != ' ').peekable();
        while let Some(c) = rest.next() {
            tokens.push(match c {
                '.' if rest.next_if_eq(&'*').is_some() => PatternDigit::Rest,
                '.' => PatternDigit::Digit(u16::MAX),
                '[' => PatternDigit::Digit(set(&mut rest)?),
                digit => PatternDigit::Digit(1 << digit.to_digit(16)?),
            });
        }
        (!tokens.is_empty() && tokens.len() <= TOKENS_MAX).then_some(Self(tokens))
    }

    /// Whether an ATR is one of these.
    pub fn matches(&self, atr: &[u8]) -> bool {
        let digits: Vec<u8> = atr.iter().flat_map(|byte| [byte >> 4, byte & 0x0F]).collect();
        // After each token: at which digits the ATR may stand.
        let mut places = vec![false; digits.len() + 1];
        places[0] = true;
        for token in &self.0 {
            match token {
                PatternDigit::Rest => {
                    let first = places.iter().position(|place| *place).unwrap_or(places.len());
                    places.iter_mut().skip(first).for_each(|place| *place = true);
                }
                PatternDigit::Digit(values) => {
                    for at in (0..digits.len()).rev() {
                        places[at + 1] = places[at] && values & 1 << digits[at] != 0;
                    }
                    places[0] = false;
                }
            }
        }
        places.last() == Some(&true)
    }
}

/// Behind `[`: digits and ranges of them.
fn set(rest: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<u16> {
    let mut values = 0u16;
    loop {
        match rest.next()? {
            ']' => return (values != 0).then_some(values),
            ',' => {}
            from => {
                let from = from.to_digit(16)?;
                let to = match rest.next_if_eq(&'-') {
                    Some(_) => rest.next()?.to_digit(16)?,
                    None => from,
                };
                (from..=to).for_each(|value| values |= 1 << value);
            }
        }
    }
}

/// All patterns of a list with the names below each; lines that are none are passed over.
pub fn entries(list: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut lines = list.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let is_pattern = !line.starts_with(['\t', '#', ' ']) && !line.trim().is_empty();
            if is_pattern {
                let mut names = Vec::new();
                while let Some(name) = lines.next_if(|next| next.starts_with('\t')) {
                    names.push(name.trim());
                }
                return Some((line, names));
            }
        }
    })
}

/// The names of the cards that have this ATR, in the order of the list, each once; addresses of pages are left out.
pub fn names(list: &str, atr: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (pattern, names) in entries(list) {
        if AtrPattern::parse(pattern).is_some_and(|pattern| pattern.matches(atr)) {
            let new = names.into_iter().filter(|name| !name.contains("://"));
            for name in new {
                if !found.iter().any(|known| known == name) {
                    found.push(name.to_owned());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is(pattern: &str, atr: &str) -> bool {
        AtrPattern::parse(pattern).unwrap().matches(&hex::decode(atr).unwrap())
    }

    #[test]
    fn patterns_are_those_of_the_list() {
        assert!(
            is("3B 65 00 00 9C 1[01] 01 01 03", "3B6500009C11010103") && !is("3B 65 00 00 9C 1[01]", "3B6500009C12")
        );
        assert!(is("3B 0[1-3] 4[4,9] [6,E]C", "3B0249EC") && !is("3B 0[1-3]", "3B04"));
        assert!(is("3B EF .* 38", "3BEF38") && is("3B EF .* 38", "3BEF010238") && !is("3B EF .* 38", "3BEF0137"));
        assert!(is("3B 00.*", "3B00") && is("3B 00.*", "3B000102") && is("3B .. 0.", "3BFF0F"));
        assert!(!is("3B", "3B00") && !is("3B 00", "3B"));
        for bad in ["", "3B [", "3B []", "3B [1-", "xyz", "3B ("] {
            assert_eq!(AtrPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_stand_below_their_patterns() {
        let list = "# head\n\n3B 0.\n\tA card\n\thttps://a.page\n\n3B 01\n\tAnother\n\tA card\n";
        assert_eq!(names(list, &[0x3B, 1]), ["A card", "Another"]);
        assert_eq!(names(list, &[0x3B, 2]), ["A card"]);
        assert!(names(list, &[0x3F]).is_empty());
    }

    proptest! {
        #[test]
        fn nothing_is_too_strange(text in "[0-9A-F.\\[\\]*, -]{0,60}", atr in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(pattern) = AtrPattern::parse(&text) {
                pattern.matches(&atr);
            }
        }

        #[test]
        fn an_atr_matches_itself_and_no_longer_one(atr in prop::collection::vec(any::<u8>(), 1..33), more in any::<u8>()) {
            let pattern = AtrPattern::parse(&hex::encode_upper(&atr)).unwrap();
            prop_assert!(pattern.matches(&atr));
            prop_assert!(!pattern.matches(&[&atr[..], &[more]].concat()));
        }
    }
}
