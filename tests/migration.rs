//! The instructions in MIGRATION.md match the files that they name.
#![allow(clippy::unwrap_used)]

const MIGRATION: &str = include_str!("../MIGRATION.md");
const NGINX: &str = include_str!("../deploy/nginx.conf");

/// The section of one document.
fn section(number: &str) -> &'static str {
    let wanted = format!("Document {number}");
    MIGRATION
        .split("\n## ")
        .find(|section| section.starts_with(&wanted))
        .unwrap()
}

/// The address in the first upstream that nginx passes requests to.
fn upstream() -> &'static str {
    let servers = NGINX
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("server "));
    servers
        .map(|rest| rest.split([' ', ';']).next().unwrap())
        .find(|address| address.contains(':'))
        .unwrap()
}

#[test]
fn nginx_passes_requests_to_the_address_that_the_switch_from_document_003_listens_on() {
    let switch = section("003").split("**Same:**").next().unwrap();
    let listens = switch.split("--listen ").nth(1).unwrap();
    let address = listens.split(['=', ' ', '`']).next().unwrap();
    assert_eq!(address, upstream());
    assert!(switch.contains("http.trusted_proxies=127.0.0.1"));
}

#[test]
fn both_files_speak_of_the_connections_that_nginx_allows() {
    for (name, text) in [("MIGRATION.md", section("003")), ("deploy/nginx.conf", NGINX)] {
        assert!(text.contains("worker_connections") && text.contains("768"), "{name}");
    }
}
