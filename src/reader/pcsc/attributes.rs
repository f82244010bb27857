//! Asks the driver for the attributes of a reader: its serial number and its USB channel.

use pcsc::{Attribute, Disposition, Protocols, ShareMode};

use super::{connect::resolve, establish, turn::in_turn};

/// The largest buffer for an attribute that the service accepts (PC/SC Lite's `MAX_BUFFER_SIZE`).
const ROOM: usize = 264;

/// A reader's attributes, by its driver.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReaderAttributes {
    /// `SCARD_ATTR_VENDOR_IFD_SERIAL_NO`, as text.
    pub serial: Option<String>,
    /// `SCARD_ATTR_CHANNEL_ID`.
    pub channel: Option<u32>,
}

/// Asks the driver of this reader, not the card; `None` if the reader cannot be shared at the moment. May block.
pub fn attributes(reader: &str) -> Option<ReaderAttributes> {
    let name = resolve(reader).ok()?;
    let card = in_turn(|| establish().ok()?.connect(&name, ShareMode::Direct, Protocols::UNDEFINED).ok())?;
    let mut room = [0; ROOM];
    // A driver without a serial number may report success and an empty value.
    let serial = card.get_attribute(Attribute::VendorIfdSerialNo, &mut room).ok().and_then(text);
    let channel = card.get_attribute(Attribute::ChannelId, &mut room).ok();
    let channel = channel.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    if let Err((card, _)) = card.disconnect(Disposition::LeaveCard) {
        drop(card);
    }
    Some(ReaderAttributes { serial, channel })
}

/// Text up to the terminating zero.
fn text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next().and_then(|bytes| std::str::from_utf8(bytes).ok())?.trim();
    let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
    is_plain.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn no_bytes_are_no_serial_number() {
        assert_eq!(text(b""), None);
        assert_eq!(text(b"\0"), None);
        assert_eq!(text(b" \0x"), None);
        assert_eq!(text(b"A1-7\0\0").as_deref(), Some("A1-7"));
        assert_eq!(text(b"\xFF\xFE"), None);
        assert_eq!(text(b"a\x1b[2J"), None);
    }
}
