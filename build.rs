//! Compiles `proto/` with protox, so that the build needs no `protoc`, and records the commit.

use std::{error::Error, fs, path::Path, process::Command};

const SCHEMAS: [&str; 4] = [
    "proto/plaza/v1/chat.proto",
    "proto/legacy/communication.proto",
    "proto/legacy/chat_request.proto",
    "proto/legacy/chatroom.proto",
];

include!("proto/as_json.rs");

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(SCHEMAS, ["proto"])?;
    let mut config = prost_build::Config::new();
    as_json(&mut config);
    config.compile_fds(descriptors)?;
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={schema}");
    }
    println!("cargo::rerun-if-changed=proto/as_json.rs");
    note_commit();
    note_log_targets()
}

/// Writes down which modules log: a filter of the server log may name no other.
fn note_log_targets() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=src");
    let mut targets = Vec::new();
    collect_log_targets(Path::new("src"), "plaza", &mut targets)?;
    targets.sort();
    let out = std::env::var("OUT_DIR")?;
    let code = format!("const LOG_TARGETS: &[&str] = &{targets:?};\n");
    fs::write(Path::new(&out).join("log_targets.rs"), code)?;
    Ok(())
}

fn collect_log_targets(dir: &Path, module: &str, targets: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else {
            continue;
        };
        if path.is_dir() {
            collect_log_targets(&path, &format!("{module}::{name}"), targets)?;
        } else if LOG_MACROS
            .iter()
            .any(|log| fs::read_to_string(&path).is_ok_and(|code| code.contains(log)))
        {
            targets.push(match name {
                "main" | "lib" | "mod" => module.to_owned(),
                _ => format!("{module}::{name}"),
            });
        }
    }
    Ok(())
}

const LOG_MACROS: [&str; 5] = [
    "tracing::error!",
    "tracing::warn!",
    "tracing::info!",
    "tracing::debug!",
    "tracing::trace!",
];

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
    // HEAD itself names a branch and does not change with a commit; its log does.
    for file in [".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
}
