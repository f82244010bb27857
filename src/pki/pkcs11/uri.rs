//! Which key is meant: a PKCS#11 URI (RFC 7512), of which we take `token`, `object`, `type`, `module-path` and `pin-source`.

use std::{fmt, path::PathBuf, str::FromStr};

/// A key in a token, behind a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// The label of the token.
    pub token: String,
    /// The label of the key.
    pub object: String,
    /// The library, an absolute path.
    pub module: PathBuf,
    /// The file that holds the PIN, an absolute path.
    pub pin_source: Option<PathBuf>,
}

/// Why a text is no URI of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// Another scheme.
    #[error("it does not begin with pkcs11:")]
    Scheme,
    /// An attribute that is not `name=value`, or whose value is wrongly percent-encoded.
    #[error("{0:?} is not of the form attribute=value")]
    Attribute(String),
    /// An attribute that we cannot honour, so that another key than the one meant might be used.
    #[error("the attribute {0:?} is not supported")]
    Unsupported(String),
    /// A PIN among arguments and settings could be read by others.
    #[error("pin-value does not belong here: name a file with pin-source")]
    PinValue,
    /// An attribute that occurs twice.
    #[error("{0} is there twice")]
    Twice(&'static str),
    /// An attribute that has to be there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Not a secret key.
    #[error("type must be secret-key")]
    Type,
    /// A path that depends on where one stands.
    #[error("{0} must be an absolute path")]
    Relative(&'static str),
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").ok_or(UriError::Scheme)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut token, mut object, mut kind, mut module, mut pin) = (None, None, None, None, None);
        for attribute in path.split(';').chain(query.split('&')).filter(|attribute| !attribute.is_empty()) {
            let bad = || UriError::Attribute(attribute.to_owned());
            let (name, value) = attribute.split_once('=').ok_or_else(bad)?;
            let (place, name) = match name {
                "token" => (&mut token, "token"),
                "object" => (&mut object, "object"),
                "type" => (&mut kind, "type"),
                "module-path" => (&mut module, "module-path"),
                "pin-source" => (&mut pin, "pin-source"),
                // Not even named: what stands there may be a PIN.
                "pin-value" => return Err(UriError::PinValue),
                other => return Err(UriError::Unsupported(other.to_owned())),
            };
            if place.replace(decoded(value).ok_or_else(bad)?).is_some() {
                return Err(UriError::Twice(name));
            }
        }
        if kind.is_some_and(|kind| kind != "secret-key") {
            return Err(UriError::Type);
        }
        Ok(Self {
            token: token.ok_or(UriError::Missing("token"))?,
            object: object.ok_or(UriError::Missing("object"))?,
            module: absolute("module-path", &module.ok_or(UriError::Missing("module-path"))?)?,
            pin_source: pin.map(|pin| absolute("pin-source", pin.strip_prefix("file:").unwrap_or(&pin))).transpose()?,
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {:?} of the PKCS#11 token {:?}", self.object, self.token)
    }
}

fn absolute(name: &'static str, path: &str) -> Result<PathBuf, UriError> {
    let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
    if path.is_absolute() { Ok(path) } else { Err(UriError::Relative(name)) }
}

/// Without percent-encoding (RFC 3986, 2.1), and not empty.
fn decoded(value: &str) -> Option<String> {
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
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty() && !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str =
        "pkcs11:token=Card%20desk;object=perso;type=secret-key?module-path=/lib/p11.so&pin-source=file:/etc/pin";

    #[test]
    fn the_attributes_that_are_taken() {
        let uri: Uri = WHOLE.parse().unwrap();
        let whole = Uri {
            token: "Card desk".into(),
            object: "perso".into(),
            module: "/lib/p11.so".into(),
            pin_source: Some("/etc/pin".into()),
        };
        assert_eq!(uri, whole);
        let short: Uri = "pkcs11:object=perso;token=Card%20desk?module-path=/lib/p11.so".parse().unwrap();
        assert_eq!(short, Uri { pin_source: None, ..whole });
        assert_eq!(short.to_string(), "the key \"perso\" of the PKCS#11 token \"Card desk\"");
    }

    #[test]
    fn what_might_name_another_key_is_refused() {
        let refused = |text: &str| text.parse::<Uri>().unwrap_err();
        assert_eq!(refused("token=a;object=b?module-path=/c"), UriError::Scheme);
        assert_eq!(refused("pkcs11:object=b?module-path=/c"), UriError::Missing("token"));
        assert_eq!(refused("pkcs11:token=a?module-path=/c"), UriError::Missing("object"));
        assert_eq!(refused("pkcs11:token=a;object=b"), UriError::Missing("module-path"));
        assert_eq!(refused("pkcs11:token=a;token=b;object=b?module-path=/c"), UriError::Twice("token"));
        assert_eq!(refused("pkcs11:token=a;object=b;id=%01?module-path=/c"), UriError::Unsupported("id".into()));
        assert_eq!(refused("pkcs11:token=a;object=b;type=private?module-path=/c"), UriError::Type);
        assert_eq!(refused("pkcs11:token=a;object=b?module-path=c.so"), UriError::Relative("module-path"));
        assert_eq!(refused("pkcs11:token=a;object=b?module-path=/c&pin-source=pin"), UriError::Relative("pin-source"));
        for bad in ["token", "token=", "token=%", "token=%4", "token=%zz", "token=%ff", "token=%00"] {
            assert_eq!(refused(&format!("pkcs11:{bad}")), UriError::Attribute(bad.into()));
        }
        let told = refused("pkcs11:token=a;object=b?module-path=/c&pin-value=12345678");
        assert_eq!(told, UriError::PinValue);
        assert!(!told.to_string().contains("1234"));
    }
}
