//! A proxy before the server: PROXY headers are accepted from the proxies that the operator named, and from nobody
//! else.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{Kind, Site, raw::Raw};

/// A connection from this address of the loopback, with these bytes said.
fn from(address: &str, port: u16, said: &[u8]) -> TcpStream {
    let stream = super::site::block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((address.parse::<std::net::IpAddr>().unwrap(), 0).into()).unwrap();
        let stream = socket.connect(([127, 0, 0, 1], port).into()).await.unwrap();
        stream.into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    (&stream).write_all(said).unwrap();
    stream
}

case!(EachStore, a_head_counts_from_a_proxy_that_was_named_and_from_nobody_else);
fn a_head_counts_from_a_proxy_that_was_named_and_from_nobody_else(kind: &Kind) {
    const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 49153 7443\r\n";
    let site = Site::new(kind);
    let config = "verbose = true\n[server]\nproxies = [\"127.0.0.2\", \"2001:db8::/32\"]\n";
    std::fs::write(site.home.path().join("config.toml"), config).unwrap();
    let mut server = site.start();
    let port = server.port;
    let ask = |address: &str, said: &[u8]| {
        let identity = Some((&site.admin.keys.tls, &site.admin.tls[..]));
        let stream = from(address, port, said);
        Raw::over(stream, site.admin.authority.der(), identity)?.ask("GET", "/v1/health", None)
    };
    let fixed = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x13", &[192, 0, 2, 8, 127, 0, 0, 1, 0, 1, 0, 2][..]].concat();
    let more = [&fixed[..], b"\x04\x00\x04\0\0\0\0"].concat();
    for (address, said) in [("127.0.0.1", &b""[..]), ("127.0.0.2", LINE), ("127.0.0.2", &more)] {
        assert_eq!(ask(address, said).unwrap().status, 200, "{address} {}", said.escape_ascii());
    }
    for (address, said) in [
        ("127.0.0.1", LINE),
        ("127.0.0.1", &more),
        ("127.0.0.2", b""),
        ("127.0.0.2", &[LINE, LINE].concat()),
        ("127.0.0.2", b"PROXY TCP4 192.0.2.7 198.51.100.1 49153\r\n"),
        ("127.0.0.2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xFF\xFF"),
    ] {
        assert!(ask(address, said).is_err(), "{address} {}", said.escape_ascii());
    }
    // A client that stalls in its proxy header is given no more time than any other that stalls.
    let mut silent = from("127.0.0.2", port, &LINE[..20]);
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    silent.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
    assert_eq!(server.terminate(), Some(143));
    let said = server.said();
    for expected in [
        "/v1/health 200 ",
        " ms from 127.0.0.1\n",
        " ms from 192.0.2.7\n",
        " ms from 192.0.2.8\n",
        "the proxy 127.0.0.2 sent no valid PROXY header: its connection does not begin with one",
        "the proxy 127.0.0.2 sent no valid PROXY header: a line that is not valid in version 1",
        "the proxy 127.0.0.2 sent no valid PROXY header: it is longer than 2048 bytes",
        "the proxy 127.0.0.2 ended a connection within its PROXY header",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert!(!said.contains("from 127.0.0.2\n"), "{said}");
}
