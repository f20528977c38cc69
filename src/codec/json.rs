//! Bounds that JSON must satisfy before it is parsed: nesting depth, and that the message is one object.

use serde::de::DeserializeOwned;

use crate::limits;

/// Whether arrays and objects are nested at most `max` deep. It only looks at brackets outside strings, so invalid JSON may pass; the
/// parser refuses it. One pass, no allocation.
pub(super) fn depth_within(bytes: &[u8], max: usize) -> bool {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in bytes {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// Reads one JSON object, within [`limits::JSON_DEPTH`]; `None` for anything else. (serde alone would also accept an array for a
/// struct.)
pub(super) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    if bytes.trim_ascii_start().first() != Some(&b'{') || !depth_within(bytes, limits::JSON_DEPTH) {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Frames that are not a JSON object with text in `type`, `content`, `action` and `seq`.
    pub(in crate::codec) fn malformed() -> Vec<Vec<u8>> {
        let mut frames: Vec<Vec<u8>> = [
            &b""[..],
            b" ",
            b"hello",
            b"{",
            b"}",
            b"[]",
            b"[\"login\",\"bob\"]",
            b"null",
            b"true",
            b"17",
            b"\"login\"",
            b"{\"type\":\"user\",\"action\":\"x\"",
            b"{\"type\":\"user\",}",
            b"{type:\"user\"}",
            b"{\"type\":\"user\"}{\"type\":\"user\"}",
            b"{\"type\":{\"a\":1},\"action\":{\"a\":1}}",
            b"{\"type\":[],\"action\":[]}",
            b"{\"type\":\"\xff\",\"action\":\"\xff\"}",
            b"{\"type\":\"\\ud800\",\"action\":\"\\ud800\"}",
            b"{\"type\":\"a\nb\",\"action\":\"a\nb\"}",
            b"\x0a\x011\x12\x02hi",
            b"{\"type\":\"user\",\"type\":\"user\",\"action\":\"a\",\"action\":\"a\"}",
        ]
        .map(<[u8]>::to_vec)
        .into();
        let deep = limits::JSON_DEPTH;
        frames.push([b"{\"x\":".repeat(deep + 1), b"1".to_vec(), b"}".repeat(deep + 1)].concat());
        frames.push(b"[".repeat(4000));
        frames
    }

    #[test]
    fn depth_is_counted_outside_strings_only() {
        for (text, depth) in [
            ("", 0),
            ("{}", 1),
            ("[[],[]]", 2),
            (r#"{"a":"[[[[{{{{"}"#, 1),
            (r#"{"a":"\"[[[","b":[]}"#, 2),
            (r#"{"a":"\\","b":[[]]}"#, 3),
            ("]]][", 1),
        ] {
            assert!(depth_within(text.as_bytes(), depth), "{text}");
            assert!(depth == 0 || !depth_within(text.as_bytes(), depth - 1), "{text}");
        }
    }

    #[test]
    fn a_frame_of_a_million_brackets_is_refused() {
        assert!(!depth_within(&b"[".repeat(1_000_000), limits::JSON_DEPTH));
    }
}
