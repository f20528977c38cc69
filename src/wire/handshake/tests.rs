use super::*;

const STRICT: OriginPolicy<'static> = OriginPolicy {
    listed: &[],
    null: NullOrigin::Refused,
};
/// The request of RFC 6455 section 1.3, without Origin and subprotocols.
const RIGHT: [(&str, &str); 5] = [
    ("host", "server.example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
];

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let builder = Request::builder().uri("/chat");
    headers
        .iter()
        .fold(builder, |builder, (name, value)| builder.header(*name, *value))
        .body(())
        .unwrap()
}

fn with(name: &str, value: &str) -> Request<()> {
    let mut headers = RIGHT.to_vec();
    headers.retain(|(other, _)| *other != name);
    headers.push((name, value));
    request(&headers)
}

fn without(name: &str) -> Request<()> {
    request(
        &RIGHT
            .iter()
            .copied()
            .filter(|(other, _)| *other != name)
            .collect::<Vec<_>>(),
    )
}

fn status(request: &Request<()>) -> u16 {
    status_under(STRICT, request)
}

fn status_under(policy: OriginPolicy<'_>, request: &Request<()>) -> u16 {
    decide(request, policy, &[])
        .map_or_else(|no| no.response(), |yes| yes.response())
        .status()
        .as_u16()
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let mut headers = RIGHT.to_vec();
    headers.extend([
        ("origin", "http://example.com"),
        ("sec-websocket-protocol", "chat, superchat"),
    ]);
    let listed = [AllowedOrigin::parse("http://example.com").unwrap()];
    let policy = OriginPolicy {
        listed: &listed,
        null: NullOrigin::Refused,
    };
    let upgrade = decide(&request(&headers), policy, &["superchat", "chat"]).unwrap();
    assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(upgrade.subprotocol, Some("chat"));

    let response = upgrade.response();
    assert_eq!(response.status(), 101);
    let expected = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ];
    assert_eq!(response.headers().len(), expected.len());
    for (name, value) in expected {
        assert_eq!(response.headers()[name], value, "{name}");
    }
}

#[test]
fn without_any_one_header_it_is_refused() {
    assert_eq!(status(&request(&RIGHT)), 101);
    for (name, expected) in [
        ("host", 400),
        ("upgrade", 426),
        ("connection", 400),
        ("sec-websocket-key", 400),
        ("sec-websocket-version", 426),
    ] {
        assert_eq!(status(&without(name)), expected, "{name}");
    }
}

#[test]
fn a_header_that_comes_twice_is_refused() {
    let origin = ("origin", "http://server.example.com");
    let lists = ["upgrade", "connection"];
    for twice in RIGHT
        .into_iter()
        .filter(|(name, _)| !lists.contains(name))
        .chain([origin])
    {
        let mut headers = RIGHT.to_vec();
        headers.push(origin);
        assert_eq!(status(&request(&headers)), 101);
        headers.push(twice);
        assert_eq!(status(&request(&headers)), 400, "{}", twice.0);
    }
}

#[test]
fn words_of_upgrade_and_connection_stand_in_lists_and_in_any_case() {
    for (name, value, expected) in [
        ("connection", "keep-alive, upgrade", 101),
        ("connection", "UPGRADE", 101),
        ("connection", "keep-alive", 400),
        ("connection", "upgraded", 400),
        ("upgrade", "WebSocket", 101),
        ("upgrade", "h2c,websocket", 101),
        ("upgrade", "websockets", 426),
        ("upgrade", "", 426),
    ] {
        assert_eq!(status(&with(name, value)), expected, "{name}: {value}");
    }
}

#[test]
fn a_list_in_several_lines_is_one_list() {
    for (name, lines, expected) in [
        ("connection", &["keep-alive", "Upgrade"][..], 101),
        ("connection", &["Upgrade", "keep-alive"], 101),
        ("connection", &["Upgrade", "upgrade"], 101),
        ("connection", &["keep-alive, TE", "", ", Upgrade ,"], 101),
        ("connection", &["keep-alive", "close"], 400),
        ("upgrade", &["h2c", "websocket"], 101),
        ("upgrade", &["websocket", "h2c, foo/2"], 101),
        ("upgrade", &["h2c", "foo/2"], 426),
        ("sec-websocket-protocol", &["mqtt", "plaza.v1.json"], 101),
        (
            "sec-websocket-extensions",
            &["permessage-deflate; client_max_window_bits", "x-other"],
            101,
        ),
    ] {
        let mut headers = RIGHT.to_vec();
        headers.retain(|(other, _)| *other != name);
        headers.extend(lines.iter().map(|line| (name, *line)));
        assert_eq!(status(&request(&headers)), expected, "{name}: {lines:?}");
    }
}

#[test]
fn only_get_over_http_1_1_is_upgraded() {
    for method in [Method::POST, Method::HEAD, Method::OPTIONS, Method::CONNECT] {
        let mut wrong = request(&RIGHT);
        *wrong.method_mut() = method;
        let rejection = decide(&wrong, STRICT, &[]).unwrap_err();
        assert_eq!(
            (rejection.status.as_u16(), rejection.headers),
            (405, &[("allow", "GET")][..])
        );
    }
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let mut wrong = request(&RIGHT);
        *wrong.version_mut() = version;
        assert_eq!(status(&wrong), 400);
    }
}

#[test]
fn another_version_is_told_which_one_is_spoken() {
    for version in ["8", "12", "14", "013", "13, 8", ""] {
        let rejection = decide(&with("sec-websocket-version", version), STRICT, &[]).unwrap_err();
        assert_eq!(rejection.status, 426, "{version}");
        let response = rejection.response();
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert_eq!(response.headers()["upgrade"], "websocket");
    }
}

#[test]
fn a_key_is_sixteen_bytes_in_strict_base64() {
    for (key, expected) in [
        ("AAAAAAAAAAAAAAAAAAAAAA==", 101),
        ("+/+/+/+/+/+/+/+/+/+/+w==", 101),
        ("", 400),
        ("AAAAAAAAAAAAAAAAAAAAAA", 400),
        ("AAAAAAAAAAAAAAAAAAAAAAA=", 400),
        ("AAAAAAAAAAAAAAAAAAAAAAAA", 400),
        // Bits behind the last byte are not zero.
        ("AAAAAAAAAAAAAAAAAAAAAB==", 400),
        // The URL-safe alphabet of base64.
        ("-_-_-_-_-_-_-_-_-_-_-w==", 400),
        ("AAAAAAAAAAAAAAAAAAAA====", 400),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAA==", 400),
        ("short", 400),
    ] {
        assert_eq!(status(&with("sec-websocket-key", key)), expected, "{key}");
    }
}

#[test]
fn a_request_with_a_body_is_refused() {
    assert_eq!(status(&with("content-length", "0")), 101);
    assert_eq!(status(&with("content-length", "5")), 400);
    assert_eq!(status(&with("transfer-encoding", "chunked")), 400);
}

#[test]
fn a_page_of_the_same_host_and_port_is_let_in() {
    for (host, origin, expected) in [
        ("a.org", "http://a.org", 101),
        ("a.org", "https://a.org", 101),
        ("a.org", "https://A.ORG:443", 101),
        ("A.org:8080", "http://a.org:8080", 101),
        ("a.org:80", "http://a.org", 101),
        ("[::1]:8080", "http://[::1]:8080", 101),
        ("a.org:8080", "http://a.org", 403),
        ("a.org", "http://a.org:8080", 403),
        ("a.org", "http://b.org", 403),
        ("a.org", "http://a.org.b.org", 403),
        ("a.org", "http://b.org@a.org", 403),
        ("a.org", "http://a.org/", 403),
        ("a.org", "http://a.org b.org", 403),
        ("a.org", "file://a.org", 403),
        ("a.org", "a.org", 403),
        ("a.org", "", 403),
        ("a.org", "null", 403),
    ] {
        let mut headers = RIGHT.to_vec();
        headers.retain(|(name, _)| *name != "host");
        headers.extend([("host", host), ("origin", origin)]);
        assert_eq!(status(&request(&headers)), expected, "{host} {origin}");
    }
}

#[test]
fn a_listed_origin_and_null_are_let_in_where_the_caller_says_so() {
    let listed = [
        AllowedOrigin::parse("https://chat.example.org").unwrap(),
        AllowedOrigin::parse("http://localhost:3000").unwrap(),
        AllowedOrigin::parse("capacitor://localhost").unwrap(),
        AllowedOrigin::parse("https://*.example.com").unwrap(),
    ];
    let listing = OriginPolicy {
        listed: &listed,
        null: NullOrigin::Refused,
    };
    for (origin, expected) in [
        ("https://chat.example.org", 101),
        ("https://chat.example.org:443", 101),
        ("http://chat.example.org", 403),
        ("http://localhost:3000", 101),
        ("http://localhost:3001", 403),
        ("capacitor://localhost", 101),
        ("tauri://localhost", 403),
        ("https://a.b.example.com", 101),
        ("https://example.com", 403),
        ("null", 403),
    ] {
        assert_eq!(status_under(listing, &with("origin", origin)), expected, "{origin}");
    }
    let legacy = OriginPolicy {
        listed: &[],
        null: NullOrigin::Allowed,
    };
    assert_eq!(status_under(legacy, &with("origin", "null")), 101);
    assert_eq!(status_under(legacy, &with("origin", "http://b.org")), 403);
}

#[test]
fn a_host_that_is_no_host_is_refused() {
    for host in [
        "",
        "a b",
        "user@a.org",
        "a.org:",
        "a.org:port",
        "a.org:99999",
        "a.org/x",
    ] {
        assert_eq!(status(&with("host", host)), 400, "{host}");
    }
    let mut absolute = request(&RIGHT);
    *absolute.uri_mut() = "http://server.example.com/chat".parse().unwrap();
    assert_eq!(status(&absolute), 101);
    *absolute.uri_mut() = "http://other.example.com/chat".parse().unwrap();
    assert_eq!(status(&absolute), 400);
}

#[test]
fn the_first_offered_subprotocol_that_is_known_is_chosen() {
    let chosen = |offers: &[&str]| {
        let mut headers = RIGHT.to_vec();
        headers.extend(offers.iter().map(|offer| ("sec-websocket-protocol", *offer)));
        decide(&request(&headers), STRICT, &["plaza.v1.proto", "plaza.v1.json"])
            .unwrap()
            .subprotocol
    };
    assert_eq!(chosen(&[]), None);
    assert_eq!(chosen(&["mqtt"]), None);
    assert_eq!(chosen(&["mqtt,plaza.v1.json ,plaza.v1.proto"]), Some("plaza.v1.json"));
    assert_eq!(chosen(&["mqtt", "plaza.v1.proto"]), Some("plaza.v1.proto"));
    assert_eq!(chosen(&["PLAZA.V1.JSON"]), None);
}

#[test]
fn a_refusal_is_one_sentence_of_plain_text() {
    let response = decide(&with("origin", "http://b.org"), STRICT, &[])
        .unwrap_err()
        .response();
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}
