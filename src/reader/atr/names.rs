//! Looks up card names by ATR in the list that pcsc-tools maintains (`smartcard_list.txt`): each pattern is followed by
//! its names.
//!
//! A pattern is an ATR in hex where `.` is any digit, `[1-3]`, `[04]` and `[0,4]` are sets of digits, and `.*` is any
//! rest.

/// Where Debian and other distributions install it.
pub const LIST: &str = "/usr/share/pcsc/smartcard_list.txt";
/// The list is half a megabyte; a file larger than this is not the list.
pub const LIST_MAX: u64 = 8 * 1024 * 1024;
/// One digit of a pattern: a bit for each value it may have; or any number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PatternDigit {
    Digit(u16),
    Rest,
    /// Not allowed in the list: nothing matches.
    Bad,
}

/// A pattern as it stands in the list. It is parsed only as far as an ATR agrees with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtrPattern<'a>(pub &'a str);

impl<'a> AtrPattern<'a> {
    /// Whether it follows the syntax of the list.
    pub fn is_well_formed(&self) -> bool {
        self.digits().all(|digit| digit != PatternDigit::Bad)
    }

    fn digits(&self) -> PatternDigits<'a> {
        PatternDigits(self.0.trim_end().as_bytes())
    }

    /// Whether an ATR matches; a malformed pattern matches none.
    pub fn matches(&self, atr: &[u8]) -> bool {
        let digit = |at: usize| atr.get(at / 2).map(|byte| if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0F });
        let mut pattern = self.digits();
        let mut at = 0;
        // Where to resume if what follows the last `.*` does not match at this digit.
        let mut retry: Option<(PatternDigits<'_>, usize)> = None;
        loop {
            match (pattern.next(), digit(at)) {
                (None, None) => return true,
                (Some(PatternDigit::Bad), _) => return false,
                (Some(PatternDigit::Rest), _) => retry = Some((pattern.clone(), at)),
                (Some(PatternDigit::Digit(values)), Some(digit)) if values & 1 << digit != 0 => at += 1,
                _ => match &mut retry {
                    Some((behind, from)) if *from < 2 * atr.len() => {
                        *from += 1;
                        (pattern, at) = (behind.clone(), *from);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// The remaining digits of a pattern.
#[derive(Clone)]
struct PatternDigits<'a>(&'a [u8]);

impl Iterator for PatternDigits<'_> {
    type Item = PatternDigit;

    fn next(&mut self) -> Option<PatternDigit> {
        Some(match self.byte()? {
            b'.' if self.0.first() == Some(&b'*') => {
                self.byte();
                PatternDigit::Rest
            }
            b'.' => PatternDigit::Digit(u16::MAX),
            b'[' => self.set().map_or(PatternDigit::Bad, PatternDigit::Digit),
            digit => value(digit).map_or(PatternDigit::Bad, |value| PatternDigit::Digit(1 << value)),
        })
    }
}

impl PatternDigits<'_> {
    /// The next character that is not white space.
    fn byte(&mut self) -> Option<u8> {
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            if *first != b' ' {
                return Some(*first);
            }
        }
    }

    /// After `[`: digits and ranges of digits.
    fn set(&mut self) -> Option<u16> {
        let mut values = 0u16;
        loop {
            match self.byte()? {
                b']' => return (values != 0).then_some(values),
                b',' => {}
                from => {
                    let from = value(from)?;
                    let to = if self.0.first() == Some(&b'-') {
                        self.byte();
                        value(self.byte()?)?
                    } else {
                        from
                    };
                    (from..=to).for_each(|value| values |= 1 << value);
                }
            }
        }
    }
}

fn value(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

/// All patterns of a list, each with the text after it: its names, on lines that begin with a tab.
pub fn entries(list: &str) -> impl Iterator<Item = (AtrPattern<'_>, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
            rest = behind;
            if !line.starts_with(['\t', '#', ' ']) && !line.trim().is_empty() {
                return Some((AtrPattern(line), behind));
            }
        }
    })
}

/// The names of the cards that have this ATR, in the order of the list, without duplicates; web addresses are left out.
pub fn names(list: &str, atr: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (pattern, behind) in entries(list) {
        if pattern.matches(atr) {
            let below = behind.lines().map_while(|line| line.strip_prefix('\t')).map(str::trim);
            for name in below.filter(|name| !name.contains("://")) {
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
        AtrPattern(pattern).matches(&hex::decode(atr).unwrap())
    }

    #[test]
    fn patterns_are_those_of_the_list() {
        assert!(
            is("3B 65 00 00 9C 1[01] 01 01 03", "3B6500009C11010103") && !is("3B 65 00 00 9C 1[01]", "3B6500009C12")
        );
        assert!(is("3B 0[1-3] 4[4,9] [6,E]C", "3B0249EC") && !is("3B 0[1-3]", "3B04"));
        assert!(
            is("3B .* 38 39", "3B3838383839") && is("3B .* 38 .* 39", "3B38003839") && !is("3B .* 38 .* 39", "3B3938")
        );
        assert!(is("3B EF .* 38", "3BEF38") && is("3B EF .* 38", "3BEF010238") && !is("3B EF .* 38", "3BEF0137"));
        assert!(is("3B 00.*", "3B00") && is("3B 00.*", "3B000102") && is("3B .. 0.", "3BFF0F"));
        assert!(!is("3B", "3B00") && !is("3B 00", "3B"));
        for bad in ["", "3B [", "3B []", "3B [1-", "xyz", "3B ("] {
            assert!(
                !AtrPattern(bad).matches(&[0x3B]) && (bad.is_empty() || !AtrPattern(bad).is_well_formed()),
                "{bad}"
            );
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
            AtrPattern(&text).matches(&atr);
        }

        #[test]
        fn an_atr_matches_itself_and_no_longer_one(atr in prop::collection::vec(any::<u8>(), 1..33), more in any::<u8>()) {
            let text = hex::encode_upper(&atr);
            let pattern = AtrPattern(&text);
            prop_assert!(pattern.matches(&atr));
            prop_assert!(!pattern.matches(&[&atr[..], &[more]].concat()));
        }
    }
}
