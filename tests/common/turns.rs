//! Phrases that are not plain English, and once crept into what users read.

/// In lower case, each a word or words of their own.
const BANNED: [&str; 29] = [
    "is told",
    "are told",
    "be told",
    "is none",
    "are none",
    "as ever",
    "of now",
    "anew",
    "a bug of ours",
    "goes on where it stopped",
    "to mend",
    "time is over",
    "times are over",
    "stands in line",
    "the ca before",
    "who has opened it may look",
    "links that hold",
    "may look from elsewhere",
    "ended for ever",
    "was told of",
    "tells of",
    "tell of",
    "were told of",
    "if it stays so",
    "that is said",
    "is to stay so",
    "not stay so",
    "was not done",
    "of when",
];

/// What "is no" may stand before: "is no longer", "the answer is no or".
const AFTER_NO: [&str; 2] = ["longer", "or"];

/// Whether something "is no such thing": it is not one. "There is no such thing" is plain.
fn is_no_thing(words: &[&str]) -> bool {
    let [before, is, no, what] = words else { return false };
    let what = what.trim_matches(|c: char| !c.is_alphanumeric());
    !before.eq_ignore_ascii_case("there") && matches!(*is, "is" | "are") && *no == "no" && !AFTER_NO.contains(&what)
}

/// The banned turns in this text.
pub fn turns(text: &str) -> Vec<&'static str> {
    let words: Vec<_> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    // A text may begin with it.
    let mut written = vec![""];
    written.extend(text.split_whitespace());
    let is_no = written.windows(4).any(is_no_thing).then_some("is no …");
    let text = format!(" {} ", words.join(" ").to_lowercase());
    BANNED.into_iter().filter(|turn| text.contains(&format!(" {turn} "))).chain(is_no).collect()
}
