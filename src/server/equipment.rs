//! Reads from the events of terminals which of their readers cannot be used, or whether their card service is lost.
//!
//! For each of them the event with the highest number counts, as for people (docs/protocol.md, "Who is here, at all
//! doors").

use serde_json::Value;

use crate::api::v1::EquipmentFaultKind::{self, ServiceLost, Unavailable, Unplugged};

/// The longest reader name taken from an event, in bytes.
const READER: usize = 256;

impl EquipmentFaultKind {
    /// The text kept in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Unplugged => "unplugged",
            Unavailable => "unavailable",
            ServiceLost => "service_lost",
        }
    }

    /// Reads the text kept in the store.
    pub fn parse(text: &str) -> Option<Self> {
        [Unplugged, Unavailable, ServiceLost].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The state of a reader, or of the card service, that an event reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EquipmentWord {
    /// The reader; empty for the card service.
    pub reader: String,
    /// Its fault; `None` if it works.
    pub fault: Option<EquipmentFaultKind>,
}

impl EquipmentWord {
    /// The state that this event reports; `None` if it is not about equipment.
    pub fn of(event: &Value) -> Option<Self> {
        let (of_reader, fault) = match event["event"].as_str()? {
            "reader_added" | "reader_available" => (true, None),
            "reader_removed" => (true, Some(Unplugged)),
            "reader_unavailable" => (true, Some(Unavailable)),
            "service_lost" => (false, Some(ServiceLost)),
            "service_back" => (false, None),
            _ => return None,
        };
        let is_name = |name: &&str| (1..=READER).contains(&name.len()) && !name.chars().any(char::is_control);
        let reader = if of_reader { event["reader"].as_str().filter(is_name)? } else { "" };
        Some(Self { reader: reader.to_owned(), fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_says_what_works_and_what_does_not() {
        let of = |kind: &str| EquipmentWord::of(&json!({ "event": kind, "reader": "R" }));
        let word = |reader: &str, fault| Some(EquipmentWord { reader: reader.to_owned(), fault });
        assert_eq!([of("reader_added"), of("reader_available")], [word("R", None), word("R", None)]);
        assert_eq!(of("reader_removed"), word("R", Some(Unplugged)));
        assert_eq!(of("reader_unavailable"), word("R", Some(Unavailable)));
        assert_eq!(of("service_lost"), word("", Some(ServiceLost)));
        assert_eq!(of("service_back"), word("", None));
        for kind in ["arrived", "refused", "of_a_later_release", ""] {
            assert_eq!(of(kind), None, "{kind}");
        }
        let long = "x".repeat(257);
        for bad in [json!(null), json!(7), json!(""), json!("a\nb"), json!(long)] {
            assert_eq!(EquipmentWord::of(&json!({ "event": "reader_added", "reader": bad })), None);
        }
        for kind in [Unplugged, Unavailable, ServiceLost] {
            assert_eq!(EquipmentFaultKind::parse(kind.as_str()), Some(kind));
            assert_eq!(json!(kind), kind.as_str());
        }
        assert_eq!(EquipmentFaultKind::parse("broken"), None);
    }
}
