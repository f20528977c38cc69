//! Compiles Plaza's own protocol with protox, so that no `protoc` is needed.

use std::error::Error;

const SCHEMA: &str = "../proto/plaza/v1/chat.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile([SCHEMA], ["../proto"])?;
    prost_build::Config::new()
        .btree_map(["."])
        .type_attribute(".plaza.v1", "#[derive(serde::Serialize, serde::Deserialize)]")
        .type_attribute(".plaza.v1", "#[serde(rename_all = \"snake_case\")]")
        .message_attribute(".plaza.v1", "#[serde(default)]")
        .field_attribute("ClientMessage.request", "#[serde(flatten)]")
        .field_attribute("ServerMessage.event", "#[serde(flatten)]")
        .compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed={SCHEMA}");
    Ok(())
}
