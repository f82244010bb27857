//! Builds the responses: the files of the page, the event stream, and the redemption of a link.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Bytes, Frame, SizeHint},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    gate::{BoardPurpose, Gate},
    hub::{BoardHub, Cursor},
    links::Links,
    page::{self, JSON},
};
use crate::{crypto::random::SystemRandom, rates::Rates};

/// Requests that one address may make per second, on average.
const RATE: u32 = 50;
/// Pictures that one address may request per second, on average.
const PICTURE_RATE: u32 = 200;
/// How often an idle stream sends a heartbeat, and checks whether its viewer still has access.
const BEAT: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };
/// How long a browser may take to read what it was sent.
const SLOWEST: Duration = Duration::from_secs(30);
/// How many pieces are queued for a slow browser.
const PIECES: usize = 4;
/// The path of the pictures.
const PORTRAITS: &str = "/portraits/";
/// Bound to this host by its prefix (RFC 6265bis, 4.1.3.2). The port is appended because cookies ignore it: two boards
/// of one host name need a cookie each.
const COOKIE: &str = "__Host-rollcall-board-";

/// Headers of every answer: no external resources, no frames, no referrer.
const STRICT: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Answers requests.
pub struct Answers {
    gate: Gate,
    hub: Arc<BoardHub>,
    /// None if everybody who can reach the board may view it.
    links: Option<Links>,
    /// The name of the cookie.
    cookie: String,
    /// What the page is told about this board: title and further texts, as JSON.
    about: String,
    rates: Rates,
    /// Separate for pictures, because a page requests a screenful at once.
    picture_rates: Rates,
}

impl Answers {
    /// Creates the answers of one board.
    pub fn new(gate: Gate, hub: Arc<BoardHub>, links: Option<Links>, title: Option<&str>, texts: Option<&str>) -> Self {
        let title = serde_json::Value::from(title);
        let about = format!("{{\"title\":{title},\"texts\":{}}}", texts.unwrap_or("null"));
        let cookie = format!("{COOKIE}{}", gate.port());
        Self {
            gate,
            hub,
            links,
            cookie,
            about,
            rates: Rates::new(Some(RATE)),
            picture_rates: Rates::new(Some(PICTURE_RATE)),
        }
    }

    /// Answers one request.
    pub fn answer<B>(&self, peer: IpAddr, request: &Request<B>) -> Response<BoardBody> {
        let mut response = self.routed(peer, request).unwrap_or_else(refusal);
        for (name, value) in STRICT {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn routed<B>(&self, peer: IpAddr, request: &Request<B>) -> Result<Response<BoardBody>, StatusCode> {
        let path = request.uri().path();
        let rates = if path.starts_with(PORTRAITS) { &self.picture_rates } else { &self.rates };
        // A page requests many files at once, and they cost no more than a refusal.
        if page::file(path).is_none() && !rates.admit(&peer.to_string(), Instant::now()) {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let purpose = match path {
            "/events" => BoardPurpose::People,
            path if path.starts_with(PORTRAITS) => BoardPurpose::People,
            "/login" => BoardPurpose::Login,
            _ => BoardPurpose::File,
        };
        self.gate.check(request.method(), request.uri(), request.headers(), purpose)?;
        let is_head = *request.method() == Method::HEAD;
        match path {
            "/events" => self.events(request.headers(), is_head),
            "/login" => self.login(request.headers()),
            path if path.starts_with(PORTRAITS) => self.portrait(&path[PORTRAITS.len()..], request.headers(), is_head),
            "/about.json" => Ok(whole(JSON, self.about.clone().into(), is_head)),
            path => {
                let file = page::file(path).ok_or(StatusCode::NOT_FOUND)?;
                Ok(whole(file.media_type, Bytes::from_static(file.content.as_bytes()), is_head))
            }
        }
    }

    /// The viewer, if access is restricted.
    fn viewer(&self, headers: &HeaderMap) -> Result<Option<Viewer>, StatusCode> {
        let viewer = self.links.as_ref().map(|links| Viewer { links: links.clone(), cookie: self.cookie(headers) });
        let may_look = viewer.as_ref().is_none_or(Viewer::may_look);
        may_look.then_some(viewer).ok_or(StatusCode::UNAUTHORIZED)
    }

    /// Our cookie; none if there are two of them.
    fn cookie(&self, headers: &HeaderMap) -> Option<String> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        let first = ours.next()?;
        ours.next().is_none().then(|| first.to_owned())
    }

    /// The picture of a present user.
    fn portrait(&self, name: &str, headers: &HeaderMap, is_head: bool) -> Result<Response<BoardBody>, StatusCode> {
        self.viewer(headers)?;
        let picture = self.hub.picture(name).ok_or(StatusCode::NOT_FOUND)?;
        let mut response = whole(picture.media_type, Bytes::from_owner(picture), is_head);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// The event stream: from the message that the page names, or from the whole state.
    fn events(&self, headers: &HeaderMap, is_head: bool) -> Result<Response<BoardBody>, StatusCode> {
        let viewer = self.viewer(headers)?;
        let cursor = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = if is_head {
            BoardBody::Whole(None)
        } else {
            let (pieces, body) = mpsc::channel(PIECES);
            tokio::spawn(stream(Arc::clone(&self.hub), cursor, viewer, pieces));
            BoardBody::Stream(body)
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }

    /// Exchanges the secret of a link, which is in a header, for a cookie.
    fn login(&self, headers: &HeaderMap) -> Result<Response<BoardBody>, StatusCode> {
        let links = self.links.as_ref().ok_or(StatusCode::NOT_FOUND)?;
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let secret = bearer.ok_or(StatusCode::UNAUTHORIZED)?;
        let redeemed = links.redeem(secret, Timestamp::now(), &mut SystemRandom);
        let (cookie, left) =
            redeemed.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?.ok_or(StatusCode::UNAUTHORIZED)?;
        let age = left.as_secs();
        let (name, value) = (&self.cookie, cookie.as_str());
        let set = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age}");
        let mut response = Response::new(BoardBody::Whole(None));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let set = HeaderValue::try_from(set).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        response.headers_mut().insert(header::SET_COOKIE, set);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// A viewer over a network.
struct Viewer {
    links: Links,
    cookie: Option<String>,
}

impl Viewer {
    fn may_look(&self) -> bool {
        // Links that cannot be read admit nobody.
        self.cookie.as_ref().is_some_and(|cookie| self.links.admits(cookie, Timestamp::now()).unwrap_or_default())
    }
}

/// Sends a browser what it lacks, as fast as it reads, until it is gone, too slow, or loses access.
async fn stream(hub: Arc<BoardHub>, from: Option<Cursor>, viewer: Option<Viewer>, pieces: mpsc::Sender<Bytes>) {
    let mut news = hub.news();
    let mut cursor = from;
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let may_look = || viewer.as_ref().is_none_or(Viewer::may_look);
    let mut looked = Instant::now();
    loop {
        // A busy stream does not wait for a heartbeat to check access.
        if looked.elapsed() >= BEAT / 2 {
            looked = Instant::now();
            if !may_look() {
                return;
            }
        }
        news.mark_unchanged();
        let piece = if let Some((reached, piece)) = hub.after(cursor, Timestamp::now()) {
            cursor = Some(reached);
            piece
        } else {
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return } else { continue },
                () = pieces.closed() => return,
                _ = beat.tick() => {
                    looked = Instant::now();
                    if !may_look() {
                        return;
                    }
                }
            }
            ": beat\n\n".to_owned()
        };
        if !matches!(timeout(SLOWEST, pieces.send(piece.into())).await, Ok(Ok(()))) {
            return;
        }
    }
}

fn whole(media_type: &'static str, content: Bytes, is_head: bool) -> Response<BoardBody> {
    let length = HeaderValue::from(content.len());
    let mut response = Response::new(BoardBody::Whole((!is_head).then_some(content)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

fn refusal(status: StatusCode) -> Response<BoardBody> {
    let words = status.canonical_reason().unwrap_or_default();
    let mut response = whole("text/plain; charset=utf-8", Bytes::from_static(words.as_bytes()), false);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    // The body of a request is not read.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The body of an answer.
pub enum BoardBody {
    /// Complete.
    Whole(Option<Bytes>),
    /// In pieces.
    Stream(mpsc::Receiver<Bytes>),
}

impl Body for BoardBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Self::Stream(pieces) => pieces.poll_recv(task).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{BoardFields, RollSnapshot};

    /// On an idle board, too: each heartbeat checks access.
    #[test]
    fn no_beat_is_sent_to_who_was_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let links = Links::at(folder.path());
        let now = Timestamp::now();
        let (link, secret) = links.make(None, Duration::from_secs(60), now, &mut SystemRandom).unwrap();
        let (cookie, _) = links.redeem(&secret, now, &mut SystemRandom).unwrap().unwrap();
        let viewer = Viewer { links: links.clone(), cookie: Some(cookie.as_str().to_owned()) };
        let names = Box::new(str::to_owned);
        let hub = BoardHub::new(RollSnapshot::default(), BoardFields::default(), names, None, &mut SystemRandom);
        let hub = Arc::new(hub.unwrap());
        // With one thread, nothing runs there between two pieces that are received here.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (pieces, mut body) = mpsc::channel(PIECES);
            tokio::spawn(stream(hub, None, Some(viewer), pieces));
            assert!(body.recv().await.unwrap().starts_with(b"event: state\n"));
            assert_eq!(body.recv().await.unwrap(), ": beat\n\n");
            links.revoke(&link.id, now).unwrap();
            assert_eq!(body.recv().await, None);
        });
    }
}
