//! The files of the page, embedded in the program: no build chain, and no external resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub struct PageFile {
    /// Its path.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The media type of JSON.
pub const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";

macro_rules! page {
    ($($path:literal = $media_type:ident $file:literal),+ $(,)?) => {
        /// All files.
        pub const FILES: &[PageFile] = &[$(PageFile {
            path: $path,
            media_type: $media_type,
            content: include_str!(concat!("page/", $file)),
        }),+];
    };
}

page! {
    "/" = HTML "index.html",
    "/board.css" = CSS "board.css",
    "/print.css" = CSS "print.css",
    "/main.js" = SCRIPT "main.js",
    "/stream.js" = SCRIPT "stream.js",
    "/model.js" = SCRIPT "model.js",
    "/tiles.js" = SCRIPT "tiles.js",
    "/notices.js" = SCRIPT "notices.js",
    "/faults.js" = SCRIPT "faults.js",
    "/muster.js" = SCRIPT "muster.js",
    "/texts.js" = SCRIPT "texts.js",
    "/texts/en.json" = JSON "texts/en.json",
    "/texts/de.json" = JSON "texts/de.json",
    "/icon.svg" = SVG "icon.svg",
}

/// The file at this path.
pub fn file(path: &str) -> Option<&'static PageFile> {
    FILES.iter().find(|file| file.path == path)
}

/// The texts of one language.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFile {
    /// BCP 47, as `en`.
    lang: String,
    /// The language's own name.
    name: String,
    /// The texts; missing ones are shown in English.
    texts: BTreeMap<String, String>,
}

impl TextFile {
    /// The JSON to serve, once all of its keys are known.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(&self) -> Result<String, String> {
        let english = english();
        if let Some(key) = self.texts.keys().find(|key| !english.texts.contains_key(*key)) {
            return Err(format!("unknown text {key:?}"));
        }
        if self.lang.is_empty() || !self.lang.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!("{:?} is not a language tag", self.lang));
        }
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

fn english() -> TextFile {
    let file = file("/texts/en.json").map_or("", |file| file.content);
    serde_json::from_str(file).unwrap_or(TextFile { lang: String::new(), name: String::new(), texts: BTreeMap::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str) -> TextFile {
        serde_json::from_str(file(path).unwrap().content).unwrap()
    }

    /// The placeholders, as `{count}`.
    fn places(text: &str) -> std::collections::BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_places() {
        let english = texts("/texts/en.json");
        assert!(english.texts.len() > 40);
        let german = texts("/texts/de.json");
        assert_eq!(german.texts.keys().collect::<Vec<_>>(), english.texts.keys().collect::<Vec<_>>());
        for (key, text) in &english.texts {
            assert_eq!(places(text), places(&german.texts[key]), "{key}");
        }
        german.checked().unwrap();
    }

    /// Every text that a script uses exists, and every text is used.
    #[test]
    fn texts_are_those_that_the_page_asks_for() {
        let english = texts("/texts/en.json");
        let code: String = FILES.iter().filter(|file| file.media_type != JSON).map(|file| file.content).collect();
        for key in english.texts.keys().filter(|key| !key.starts_with("refused.")) {
            let stem = key.strip_suffix(".one").or(key.strip_suffix(".other")).unwrap_or(key);
            assert!(code.contains(&format!("'{stem}'")) || code.contains(&format!("\"{stem}\"")), "{key}");
        }
        let is_call = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        for (at, _) in code.match_indices("t('").filter(|(at, _)| is_call(*at)) {
            let key = code[at + 3..].split('\'').next().unwrap();
            let known = english.texts.contains_key(key) || english.texts.contains_key(&format!("{key}.other"));
            assert!(known, "{key}");
        }
    }

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let size: usize = FILES.iter().map(|file| file.content.len()).sum();
        assert!(size < 100_000, "{size} bytes");
        for file in FILES {
            let text = file.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", file.path);
            for forbidden in
                [" style=", "onclick=", "innerHTML", "insertAdjacentHTML", "eval(", "document.write", "@import"]
            {
                assert!(!text.contains(forbidden), "{}: {forbidden}", file.path);
            }
        }
        let html = file("/").unwrap().content;
        for name in html.split(['"', '\'']).filter(|name| name.starts_with('/') && name.len() > 1) {
            assert!(file(name).is_some(), "{name}");
        }
        for script in FILES.iter().filter(|file| file.media_type == SCRIPT) {
            for name in script.content.split("from './").skip(1).map(|rest| rest.split('\'').next().unwrap()) {
                assert!(file(&format!("/{name}")).is_some(), "{}: {name}", script.path);
            }
        }
    }

    /// Only reasons that the program gives have texts.
    #[test]
    fn refusals_are_worded_by_their_codes() {
        let mut sources = String::new();
        let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() && !path.ends_with("board") {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    sources.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        for code in texts("/texts/en.json").texts.keys().filter_map(|key| key.strip_prefix("refused.")) {
            let whole = code.contains('.');
            let given = if whole { format!("\"{code}\"") } else { format!("\"{code}.") };
            assert!(sources.contains(&given), "{code}");
        }
    }

    /// Each refusal at a door shows its own text, never that of another one.
    #[test]
    fn every_refusal_at_a_door_has_a_text_that_was_chosen_for_it() {
        // These deliberately share the text for the first word of the code, or else the general one.
        const SHARED: [&str; 10] = [
            "card.no-extended-length",
            "crypto.failed",
            "proof.certificate",
            "proof.malformed",
            "proof.signature",
            "reader.error",
            "reader.gone",
            "reader.hung",
            "reader.unavailable",
            "token.private",
        ];
        // Nobody at a door can act on these.
        let is_shared = |code: &str| ["pcsc.", "server."].iter().any(|word| code.starts_with(word));
        let mut codes: std::collections::BTreeSet<_> =
            crate::api::problem::ProblemCode::ALL.map(crate::api::problem::ProblemCode::as_str).into();
        codes.retain(|code| code.starts_with("proof.") || *code == "token.unknown");
        for source in [
            include_str!("../terminal/admission/refusal.rs"),
            include_str!("../terminal/tap/failure.rs"),
            include_str!("../terminal/presence/transition.rs"),
            include_str!("../reader/causes.rs"),
        ] {
            let is_word = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
            let quoted = source.split("#[cfg(test)]").next().unwrap().split('"');
            codes.extend(
                quoted.filter(|text| text.split_once('.').is_some_and(|(one, two)| is_word(one) && is_word(two))),
            );
        }
        assert!(codes.len() > 40 && SHARED.iter().all(|code| codes.contains(code)), "{codes:?}");
        let english = texts("/texts/en.json");
        for code in codes.into_iter().filter(|code| !is_shared(code)) {
            let has_own = english.texts.contains_key(&format!("refused.{code}"));
            assert_ne!(has_own, SHARED.contains(&code), "{code}");
        }
    }

    #[test]
    fn a_file_of_texts_has_known_keys() {
        let file = |text: &str| serde_json::from_str::<TextFile>(text).map_err(|e| e.to_string())?.checked();
        assert!(file(r#"{"lang":"fr","name":"Français","texts":{"search":"Chercher"}}"#).is_ok());
        assert!(
            file(r#"{"lang":"fr","name":"Français","texts":{"serach":"Chercher"}}"#).unwrap_err().contains("serach")
        );
        assert!(file(r#"{"lang":"f r","name":"Français","texts":{}}"#).is_err());
        assert!(file(r#"{"lang":"fr","texts":{}}"#).is_err());
    }
}
