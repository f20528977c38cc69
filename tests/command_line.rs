//! The command line of the program: output and exit codes.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Output, Stdio};

use support::program;

fn plaza(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

#[test]
fn version_says_commit_and_build() {
    let output = plaza(&["--version"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.starts_with(concat!("plaza ", env!("CARGO_PKG_VERSION"), " (commit ")),
        "{text}"
    );
    assert!(text.trim_end().ends_with(" build)"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn the_settings_in_force_are_shown() {
    let output = plaza(&["config", "--shards", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    assert!(text.contains("shards = 3  # flag --shards\n"), "{text}");
}

#[test]
fn a_bad_setting_a_bad_flag_and_a_missing_file_end_with_64() {
    for arguments in [
        ["--shards", "many"].as_slice(),
        &["serve", "--listen", "here"],
        &["--unknown"],
        &["config", "--config", "/nonexistent/plaza.toml"],
    ] {
        let output = plaza(arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {words}");
        assert!(output.stdout.is_empty() && !words.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_told_and_not_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let output = program()
        .arg("config")
        .env("PLAZA_SERVER_MEMORY", std::ffi::OsStr::from_bytes(b"tru\xff"))
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{words}");
    assert!(
        words.contains("PLAZA_SERVER_MEMORY") && words.contains("UTF-8"),
        "{words}"
    );
}

#[test]
fn help_ends_with_0() {
    let output = plaza(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--drain-timeout"));
}

#[test]
fn a_command_whose_output_cannot_be_written_fails() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let export = data.to_owned() + "/export";
    std::fs::write(&export, "{\"end\":{\"talks\":0,\"others\":0}}\n").unwrap();
    let fresh = data.to_owned() + "/fresh";
    for arguments in [
        &["--version"][..],
        &["--help"],
        &["config"],
        &["config", "--example"],
        &["history", "import", &export, "--data", &fresh],
        &["history", "check", "--data", &fresh],
        &["history", "backup", &(data.to_owned() + "/backup"), "--data", &fresh],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = program().args(arguments).stdout(full).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(
            words.contains("standard output cannot be written"),
            "{arguments:?}: {words}"
        );
    }
}

#[test]
fn a_command_whose_complaint_cannot_be_written_fails_with_its_own_code() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let taken = data.to_owned() + "/taken";
    std::fs::write(&taken, "").unwrap();
    for (arguments, code) in [
        (&["history", "check", "--data", data][..], 1),
        (&["history", "export", &taken, "--data", data], 1),
        (&["history", "import", &taken, "--data", data], 1),
        (&["--unknown"], 64),
        (&["config", "--shards", "many"], 64),
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let status = program()
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(full)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_dash_exports_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (empty, data) = (path("empty"), path("data"));
    std::fs::write(&empty, "{\"end\":{\"talks\":0,\"others\":0}}\n").unwrap();
    assert_eq!(
        plaza(&["history", "import", &empty, "--data", &data]).status.code(),
        Some(0)
    );
    let output = program()
        .args(["history", "export", "-", "--data", &data])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("\"end\""), "{said:?}");
    assert!(!dir.path().join("-").exists());
}
