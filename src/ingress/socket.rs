//! The socket of a new connection as hyper reads and writes it; it reports progress to [`StageTimer`].

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::stage_timer::StageTimer;
use crate::{limits, shard::Arriving};

pub(super) struct Doorstep {
    pub(super) arriving: Arriving,
    pub(super) timer: StageTimer,
}

impl Read for Doorstep {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // hyper's buffer is uninitialised, so safe code has to copy; a request's head is short.
        let mut bytes = [0; limits::REQUEST_READ_BYTES];
        let most = buffer.remaining().min(bytes.len());
        let Some(room) = bytes.get_mut(..most) else {
            return Poll::Ready(Ok(()));
        };
        let read = ready!(self.arriving.poll_read(context, room))?;
        if let Some(read) = bytes.get(..read).filter(|read| !read.is_empty()) {
            self.timer.bytes_arrived();
            buffer.put_slice(read);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Doorstep {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper asks for it when its own buffer is empty.
        self.timer.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.arriving.shut();
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.arriving.poll_write(context, buffers))?;
        self.timer.bytes_written();
        Poll::Ready(Ok(written))
    }
}
