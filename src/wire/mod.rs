//! RFC 6455 frames in and out. No I/O.
