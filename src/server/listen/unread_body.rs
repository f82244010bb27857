//! Handles the body of a request that is answered before all of it was read: refused by its length, type or sender.
//!
//! Closing a connection while the other side still sends resets it, and the answer is lost (RFC 9112, 9.6). So the rest
//! is read and discarded, within limits; then the connection continues with the next request.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{runtime::Handle, time::timeout};

/// How long, and for how many bytes, the unwanted rest of a body is read.
const REST: (Duration, usize) = (Duration::from_secs(2), 8 * 1024 * 1024);

/// A body whose rest is read when it is dropped.
pub struct UnreadBody(Option<Incoming>);

impl From<Incoming> for UnreadBody {
    fn from(body: Incoming) -> Self {
        Self(Some(body))
    }
}

impl Body for UnreadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.0.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for UnreadBody {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        // Without a runtime there is no connection any more.
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            runtime.spawn(timeout(REST.0, read(rest)));
        }
    }
}

async fn read(mut rest: Incoming) {
    let mut passed = 0;
    while passed < REST.1
        && let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await
    {
        passed += frame.data_ref().map_or(0, Bytes::len);
    }
}
