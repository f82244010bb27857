//! Portraits over real connections: served for present users, and nobody else.

use super::*;
use crate::board::picture::tests::PIXEL;

fn hub_with_portraits() -> Arc<BoardHub> {
    let fields = BoardFields::default();
    let names = Box::new(str::to_owned);
    let hub = BoardHub::new(RollSnapshot::default(), fields, names, None, &mut SystemRandom).unwrap();
    Arc::new(hub.with_portraits())
}

fn show(hub: &BoardHub, who: u128, picture: &[u8]) {
    let picture = picture.to_vec().into();
    hub.portrait(Uuid::from_u128(who), picture, Timestamp::UNIX_EPOCH, &mut SystemRandom).unwrap();
}

#[test]
fn a_portrait_is_served_while_its_owner_is_here() {
    let hub = hub_with_portraits();
    let board = local(&hub);
    let mut messages = messages(&board, "");
    messages.next().unwrap();
    let ada = Uuid::from_u128(1);
    assert!(!hub.wants_portrait(ada), "nobody is here");
    show(&hub, 1, PIXEL);
    hub.event(&event(EventKind::Arrived, 1, 1));
    let arrived = messages.next().unwrap().2;
    assert!(arrived["person"].get("portrait").is_none() && hub.wants_portrait(ada));
    for other in [b"<svg/>".as_slice(), b"", &PIXEL[..20]] {
        show(&hub, 1, other);
        assert!(hub.wants_portrait(ada), "what is no picture is not shown");
    }
    show(&hub, 1, PIXEL);
    assert!(!hub.wants_portrait(ada));
    let told = messages.next().unwrap().2;
    assert_eq!((&told["kind"], &told["key"]), (&"portrait".into(), &arrived["person"]["key"]));
    let name = told["portrait"].as_str().unwrap();
    assert!(name.len() == 32 && name.chars().all(|c| c.is_ascii_hexdigit()), "{name}");

    let path = format!("/portraits/{name}");
    let bytes =
        |answer: &[u8]| answer.windows(4).position(|end| end == b"\r\n\r\n").map(|at| answer[at + 4..].to_vec());
    let mut stream = connect(&board);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", board.address()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(bytes(&answer).unwrap(), PIXEL);
    let head = ask(&board, "HEAD", &path, "").to_lowercase();
    for line in
        ["content-type: image/png", "cache-control: no-store", "x-content-type-options: nosniff", "img-src 'self'"]
    {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert_eq!(status(&ask(&board, "HEAD", &path, "Sec-Fetch-Site: cross-site\r\n")), 403);
    assert_eq!(status(&ask(&board, "POST", &path, "Content-Length: 0\r\n")), 405);
    for other in ["/portraits/", &path[..path.len() - 1], &format!("{path}0"), "/portraits/../"] {
        assert_eq!(status(&ask(&board, "HEAD", other, "")), 404, "{other}");
    }

    // It stays at another door; with other user information, or another owner, it is a new one.
    let moved = Event { reason: Some(Reason::Moved), ..event(EventKind::Left, 2, 1) };
    hub.event(&moved);
    assert_eq!(status(&ask(&board, "HEAD", &path, "")), 404, "nobody is anywhere now");
    hub.event(&event(EventKind::Arrived, 3, 1));
    messages.next().unwrap();
    assert_eq!(messages.next().unwrap().2["person"]["portrait"], name);
    assert_eq!(status(&ask(&board, "HEAD", &path, "")), 200);
    hub.event(&event(EventKind::Left, 4, 1));
    assert_eq!(status(&ask(&board, "HEAD", &path, "")), 404);
    hub.event(&event(EventKind::Arrived, 5, 1));
    messages.next().unwrap();
    assert!(messages.next().unwrap().2["person"].get("portrait").is_none(), "who left took it along");
    show(&hub, 1, PIXEL);
    let again = format!("/portraits/{}", messages.next().unwrap().2["portrait"].as_str().unwrap());
    assert_ne!(again, path);
    hub.reset(RollSnapshot { seq: 5, ..RollSnapshot::default() });
    assert_eq!(status(&ask(&board, "HEAD", &again, "")), 404);
}

#[test]
fn without_the_policy_there_is_no_portrait() {
    let hub = hub(&[]);
    let board = local(&hub);
    hub.event(&event(EventKind::Arrived, 1, 1));
    assert!(!hub.wants_portrait(Uuid::from_u128(1)));
    show(&hub, 1, PIXEL);
    let state = messages(&board, "").next().unwrap().2;
    assert!(!state.to_string().contains("portrait"), "{state}");
}
