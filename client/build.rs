//! Compiles Plaza's own protocol with protox, so that the build needs no `protoc`.

use std::error::Error;

const SCHEMA: &str = "../proto/plaza/v1/chat.proto";

include!("../proto/as_json.rs");

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile([SCHEMA], ["../proto"])?;
    let mut config = prost_build::Config::new();
    as_json(&mut config);
    config.compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed={SCHEMA}");
    println!("cargo::rerun-if-changed=../proto/as_json.rs");
    Ok(())
}
