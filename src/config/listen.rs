//! Where something listens, in the one form that options, variables and the file share.

use std::net::SocketAddr;

/// An address and a port; `port` stands in the message.
///
/// # Errors
/// What is expected, with examples.
pub fn listen_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected ADDRESS:PORT, such as 127.0.0.1:{port}, or 0.0.0.0:{port} or [::]:{port} for every address of this \
             machine"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_part_hears_what_is_expected() {
        for text in ["127.0.0.1:7443", "0.0.0.0:7443", "[::]:7443", "[::1]:0"] {
            assert_eq!(listen_address(text, 1).unwrap().to_string(), text);
        }
        for text in ["localhost:7443", ":7443", "*:7443", "7443", "::1:7443", "127.0.0.1", "127.0.0.1:99999", ""] {
            let told = listen_address(text, 7443).unwrap_err();
            assert!(told.contains("0.0.0.0:7443 or [::]:7443") && told.contains("127.0.0.1:7443"), "{text}: {told}");
        }
    }
}
