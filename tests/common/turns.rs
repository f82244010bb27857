//! Turns that are no plain English, and have crept into what users read before.

/// In lower case, each a word or words of their own.
const BANNED: [&str; 31] = [
    "is told",
    "are told",
    "be told",
    "is none",
    "are none",
    "it is no",
    "this is no",
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

/// The banned turns in this text.
pub fn turns(text: &str) -> Vec<&'static str> {
    let words: Vec<_> =
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let text = format!(" {} ", words.join(" ").to_lowercase());
    BANNED.into_iter().filter(|turn| text.contains(&format!(" {turn} "))).collect()
}
