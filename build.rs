//! Compiles `proto/` with protox, so that no `protoc` is needed, and notes which commit is being built.

use std::{error::Error, path::Path, process::Command};

const SCHEMAS: [&str; 4] = [
    "proto/plaza/v1/chat.proto",
    "proto/legacy/communication.proto",
    "proto/legacy/chat_request.proto",
    "proto/legacy/chatroom.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(SCHEMAS, ["proto"])?;
    prost_build::Config::new()
        // Ordered maps: the same message is the same bytes, every time.
        .btree_map(["."])
        .type_attribute(".plaza.v1", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".plaza.v1", "#[serde(rename_all = \"snake_case\")]")
        .message_attribute(".plaza.v1", "#[serde(default)]")
        .field_attribute("ClientMessage.request", "#[serde(flatten)]")
        .field_attribute("ServerMessage.event", "#[serde(flatten)]")
        .compile_fds(descriptors)?;
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    note_commit();
    Ok(())
}

/// Sets `PLAZA_COMMIT` and `PLAZA_PROFILE` for `plaza --version`; a source tree without git says `unknown`.
fn note_commit() {
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned());
    println!("cargo::rustc-env=PLAZA_COMMIT={commit}");
    let profile = std::env::var("PROFILE").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=PLAZA_PROFILE={profile}");
    if Path::new(".git/HEAD").exists() {
        println!("cargo::rerun-if-changed=.git/HEAD");
    }
}
