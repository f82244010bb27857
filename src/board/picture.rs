//! Recognises pictures by content: only what is certainly a picture of a reasonable size is served to browsers.

/// The longest picture, in bytes: a card holds 8 KiB.
const LONGEST: usize = 64 * 1024;
/// The largest width and height, in pixels: a few bytes can claim a huge picture.
const BROADEST: u32 = 2048;

/// The media type of a JPEG, PNG or WebP picture; `None` for anything else, and for a picture that is too large.
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.len() > LONGEST {
        return None;
    }
    let (media_type, (width, height)) = match bytes {
        [0xFF, 0xD8, rest @ ..] => ("image/jpeg", jpeg(rest)?),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', rest @ ..] => ("image/png", png(rest)?),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', rest @ ..] => ("image/webp", webp(rest)?),
        _ => return None,
    };
    let fits = |length: u32| (1..=BROADEST).contains(&length);
    (fits(width) && fits(height)).then_some(media_type)
}

/// The header of its only frame (ITU-T T.81, B.2.2), after the markers before it.
fn jpeg(mut rest: &[u8]) -> Option<(u32, u32)> {
    loop {
        let [0xFF, marker, after @ ..] = rest else { return None };
        match marker {
            // Fill bytes.
            0xFF => rest = &rest[1..],
            // The frames of DCT processes; C4, C8 and CC are not frames.
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                let [_, _, _, h1, h0, w1, w0, ..] = after else { return None };
                return Some((u16::from_be_bytes([*w1, *w0]).into(), u16::from_be_bytes([*h1, *h0]).into()));
            }
            // The scan, or the end, before any frame.
            0xDA | 0xD9 => return None,
            _ => {
                let [l1, l0, ..] = after else { return None };
                let length = usize::from(u16::from_be_bytes([*l1, *l0]));
                rest = after.get(length.max(2)..)?;
            }
        }
    }
}

/// The chunk IHDR, which comes first (PNG, third edition, 11.2.1).
fn png(rest: &[u8]) -> Option<(u32, u32)> {
    let [0, 0, 0, 13, b'I', b'H', b'D', b'R', w3, w2, w1, w0, h3, h2, h1, h0, ..] = rest else { return None };
    Some((u32::from_be_bytes([*w3, *w2, *w1, *w0]), u32::from_be_bytes([*h3, *h2, *h1, *h0])))
}

/// The first chunk: lossy, lossless or extended (RFC 9649, 2.5 to 2.7; RFC 6386, 9.1).
fn webp(rest: &[u8]) -> Option<(u32, u32)> {
    match rest {
        [b'V', b'P', b'8', b' ', _, _, _, _, _, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] => {
            let length = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            Some((length(*w0, *w1), length(*h0, *h1)))
        }
        [b'V', b'P', b'8', b'L', _, _, _, _, 0x2F, b0, b1, b2, b3, ..] => {
            let bits = u32::from_le_bytes([*b0, *b1, *b2, *b3]);
            Some(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        }
        [b'V', b'P', b'8', b'X', _, _, _, _, _, _, _, _, w0, w1, w2, h0, h1, h2, ..] => {
            let length = |bytes: [u8; 3]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) + 1;
            Some((length([*w0, *w1, *w2]), length([*h0, *h1, *h2])))
        }
        _ => None,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A PNG of one pixel.
    pub const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
        \0\0\0\x0aIDATx\x9cc\0\x01\0\0\x05\0\x01\x0d\x0a\x2d\xb4\0\0\0\0IEND\xaeB`\x82";

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut picture = PIXEL.to_vec();
        picture[16..20].copy_from_slice(&width.to_be_bytes());
        picture[20..24].copy_from_slice(&height.to_be_bytes());
        picture
    }

    #[test]
    fn pictures_are_known_by_their_content() {
        let jpeg = b"\xff\xd8\xff\xe0\0\x04AB\xff\xff\xc2\0\x11\x08\0\x30\0\x40\x03";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\0\x30\0";
        let lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc0\x0b\0";
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x3f\0\0\x2f\0\0";
        assert_eq!(media_type(PIXEL), Some("image/png"));
        assert_eq!(media_type(jpeg), Some("image/jpeg"));
        for picture in [lossy.as_slice(), lossless, extended] {
            assert_eq!(media_type(picture), Some("image/webp"));
        }
        assert_eq!(webp(&lossless[12..]), Some((64, 48)));
        assert_eq!(super::jpeg(&jpeg[2..]), Some((64, 48)));
        // Truncated anywhere, it is recognised as this type or, mostly, not at all.
        for picture in [PIXEL, jpeg, lossy, lossless, extended] {
            for end in 0..12.min(picture.len()) {
                assert_eq!(media_type(&picture[..end]), None, "{end}");
            }
        }
    }

    #[test]
    fn what_is_no_picture_or_too_large_is_not_served() {
        let html = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>";
        let scan = b"\xff\xd8\xff\xda\0\x02\xff\xc0\0\x11\x08\0\x30\0\x40";
        for other in [html.as_slice(), b"", b"GIF89a\x01\0\x01\0", b"\xff\xd8\xff", b"\xff\xd8<script>", scan] {
            assert_eq!(media_type(other), None, "{other:?}");
        }
        assert_eq!(media_type(&png(2048, 1)), Some("image/png"));
        for (width, height) in [(2049, 1), (1, 2049), (0, 1), (u32::MAX, u32::MAX)] {
            assert_eq!(media_type(&png(width, height)), None, "{width} × {height}");
        }
        let mut long = PIXEL.to_vec();
        long.resize(LONGEST + 1, 0);
        assert_eq!(media_type(&long), None);
    }
}
