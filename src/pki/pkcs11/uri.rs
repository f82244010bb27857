//! PKCS#11 URIs (RFC 7512), which say which key is meant.
//!
//! Every attribute that helps to find a key is accepted. An unknown one matches nothing in the path, and is ignored in
//! the query (RFC 7512, 2.4). `pin-value` is refused: a PIN among settings and arguments could be read by others.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// The path attributes with a text value: of the library, the slot, the token and the key.
const TEXTS: [&str; 10] = [
    "library-manufacturer",
    "library-description",
    "slot-description",
    "slot-manufacturer",
    "token",
    "manufacturer",
    "model",
    "serial",
    "object",
    "type",
];

/// A key in a token, behind a library. An absent attribute fits any value; an empty text fits only an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uri {
    /// The manufacturer of the library (`CK_INFO`).
    pub library_manufacturer: Option<String>,
    /// The description of the library.
    pub library_description: Option<String>,
    /// The version of the library, major and minor.
    pub library_version: Option<(u8, u8)>,
    /// The number of the slot.
    pub slot_id: Option<u64>,
    /// The description of the slot (`CK_SLOT_INFO`).
    pub slot_description: Option<String>,
    /// The manufacturer of the slot.
    pub slot_manufacturer: Option<String>,
    /// The label of the token (`CK_TOKEN_INFO`).
    pub token: Option<String>,
    /// The manufacturer of the token.
    pub manufacturer: Option<String>,
    /// The model of the token.
    pub model: Option<String>,
    /// The serial number of the token.
    pub serial: Option<String>,
    /// The label of the key (`CKA_LABEL`).
    pub object: Option<String>,
    /// The identifier of the key (`CKA_ID`), any bytes.
    pub id: Option<Vec<u8>>,
    /// The library, an absolute path; together with a name also the folder that contains it.
    pub module_path: Option<PathBuf>,
    /// The name of the library, without `lib`, `.so` and folder.
    pub module_name: Option<String>,
    /// The file that holds the PIN, an absolute path.
    pub pin_source: Option<PathBuf>,
}

/// Why a text is not the URI of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// An attribute that is not `name=value`, or whose value is wrongly percent-encoded or out of range.
    #[error("{0:?} is not of the form attribute=value")]
    Attribute(String),
    /// An attribute that is not supported; ignoring it could select another key than the one meant.
    #[error("the attribute {0:?} is not supported")]
    Unsupported(String),
    /// An attribute of the query stands before the question mark.
    #[error("{0} belongs after the question mark: pkcs11:…?{0}=…")]
    Query(&'static str),
    /// A PIN among arguments and settings, where others could read it.
    #[error("pin-value does not belong here: name a file with pin-source")]
    PinValue,
    /// An attribute that occurs twice.
    #[error("{0} appears twice")]
    Twice(String),
    /// A required attribute is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not a secret key.
    #[error("type must be secret-key")]
    Type,
    /// A relative path.
    #[error("{0} must be an absolute path")]
    Relative(&'static str),
    /// A name that is a path.
    #[error("module-name is the name alone: softhsm2 for /usr/lib/softhsm/libsofthsm2.so")]
    Name,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = match text.split_at_checked("pkcs11:".len()) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("pkcs11:") => rest,
            _ => return Err(UriError::Scheme),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = halves(attribute)?;
            if seen.contains(&name) {
                return Err(UriError::Twice(name.to_owned()));
            }
            seen.push(name);
            uri.take_of_path(attribute, name, value)?;
        }
        for attribute in query.split('&').filter(|attribute| !attribute.is_empty()) {
            uri.take_of_query(attribute)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(UriError::Missing("object, or id,"));
        }
        if uri.module_path.is_none() && uri.module_name.is_none() {
            return Err(UriError::Missing("module-path, or module-name,"));
        }
        Ok(uri)
    }
}

impl Uri {
    fn take_of_path(&mut self, attribute: &str, name: &str, value: &str) -> Result<(), UriError> {
        let bad = || UriError::Attribute(attribute.to_owned());
        let text = || decoded(value).and_then(text).ok_or_else(bad);
        match name {
            "id" => self.id = Some(decoded(value).ok_or_else(bad)?),
            "slot-id" => self.slot_id = Some(decimal(&text()?).ok_or_else(bad)?),
            "library-version" => self.library_version = Some(version(&text()?).ok_or_else(bad)?),
            "type" if text()? == "secret-key" => {}
            "type" => return Err(UriError::Type),
            _ => *self.text_of(name)? = Some(text()?),
        }
        Ok(())
    }

    /// The field for the text attribute of this name.
    fn text_of(&mut self, name: &str) -> Result<&mut Option<String>, UriError> {
        Ok(match name {
            "library-manufacturer" => &mut self.library_manufacturer,
            "library-description" => &mut self.library_description,
            "slot-description" => &mut self.slot_description,
            "slot-manufacturer" => &mut self.slot_manufacturer,
            "token" => &mut self.token,
            "manufacturer" => &mut self.manufacturer,
            "model" => &mut self.model,
            "serial" => &mut self.serial,
            "object" => &mut self.object,
            "module-path" => return Err(UriError::Query("module-path")),
            "module-name" => return Err(UriError::Query("module-name")),
            "pin-source" => return Err(UriError::Query("pin-source")),
            other => return Err(UriError::Unsupported(other.to_owned())),
        })
    }

    fn take_of_query(&mut self, attribute: &str) -> Result<(), UriError> {
        let (name, value) = halves(attribute)?;
        let bad = || UriError::Attribute(attribute.to_owned());
        let text = || decoded(value).and_then(text).filter(|text| !text.is_empty()).ok_or_else(bad);
        let again = match name {
            "module-path" => self.module_path.replace(absolute("module-path", &text()?)?).is_some(),
            "pin-source" => self.pin_source.replace(absolute("pin-source", &text()?)?).is_some(),
            "module-name" => {
                let name = text()?;
                if name.contains('/') {
                    return Err(UriError::Name);
                }
                self.module_name.replace(name).is_some()
            }
            _ if TEXTS.contains(&name) || ["id", "slot-id", "library-version"].contains(&name) => {
                return Err(UriError::Unsupported(format!("{name} after the question mark")));
            }
            _ => false,
        };
        if again { Err(UriError::Twice(name.to_owned())) } else { Ok(()) }
    }
}

impl fmt::Display for Uri {
    /// Only the path attributes: what is looked for, without files or a PIN.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.library_version.map(|(major, minor)| format!("{major}.{minor}"));
        let (slot, id) = (self.slot_id.map(|slot| slot.to_string()), self.id.as_deref().map(id_encoded));
        let encode = |text: &Option<String>| text.as_deref().map(encoded);
        let all = [
            ("library-manufacturer", encode(&self.library_manufacturer)),
            ("library-description", encode(&self.library_description)),
            ("library-version", version),
            ("slot-manufacturer", encode(&self.slot_manufacturer)),
            ("slot-description", encode(&self.slot_description)),
            ("slot-id", slot),
            ("model", encode(&self.model)),
            ("manufacturer", encode(&self.manufacturer)),
            ("serial", encode(&self.serial)),
            ("token", encode(&self.token)),
            ("id", id),
            ("object", encode(&self.object)),
        ];
        let named = all.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        write!(f, "pkcs11:{}", named.collect::<Vec<_>>().join(";"))
    }
}

/// Name and value. No error quotes a `pin-value`, wherever it stands.
fn halves(attribute: &str) -> Result<(&str, &str), UriError> {
    match attribute.split_once('=') {
        // The value is not quoted, because it may be a PIN.
        Some(("pin-value", _)) => Err(UriError::PinValue),
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(UriError::Attribute(attribute.to_owned())),
    }
}

fn absolute(name: &'static str, text: &str) -> Result<PathBuf, UriError> {
    let path = text.strip_prefix("file:").unwrap_or(text);
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    if path.is_absolute() { Ok(path.to_owned()) } else { Err(UriError::Relative(name)) }
}

/// A number in decimal digits, and nothing else.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// `M` stands for `M.0` (RFC 7512, 2.3).
fn version(text: &str) -> Option<(u8, u8)> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some((decimal(major)?, decimal(minor)?))
}

/// Decodes percent-encoding (RFC 3986, 2.1).
fn decoded(value: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = if first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
            (byte[0], &tail[2..])
        } else {
            (first, tail)
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(bytes)
}

fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// A text as part of a URI: all but the unreserved characters (RFC 3986, 2.3) are percent-encoded.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { byte_encoded(byte) }).collect()
}

/// An identifier as RFC 7512 recommends: every byte encoded (2.3).
fn id_encoded(id: &[u8]) -> String {
    id.iter().copied().map(byte_encoded).collect()
}

fn byte_encoded(byte: u8) -> String {
    format!("%{byte:02X}")
}

#[cfg(test)]
mod tests;
