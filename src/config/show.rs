//! `plaza config`: the settings in force, and the example file.

use super::{
    Loaded,
    layers::Layers,
    setting::{Change, Setting},
    table::{Config, GROUPS, SETTINGS},
};

/// What is in force, as TOML that can be used as a file, each value with where it comes from.
pub fn in_force(loaded: &Loaded) -> String {
    let mut text = String::new();
    let mut group = "";
    for (setting, entry) in SETTINGS.iter().zip(&loaded.in_force) {
        if setting.group != group {
            if !group.is_empty() {
                text.push('\n');
            }
            group = setting.group;
            text.push_str(&format!("[{group}]\n"));
        }
        text.push_str(&format!("{} = {}  # {}\n", setting.name, entry.toml, entry.source));
    }
    text
}

/// The commented example: every setting with its why, commented out at its default.
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    let mut defaults = Layers::default();
    Config::resolve(&mut defaults);
    let settings: Vec<_> = SETTINGS.iter().zip(&defaults.in_force).collect();
    for (group, doc) in GROUPS {
        text.push('\n');
        comment(&mut text, doc);
        text.push_str(&format!("[{group}]\n"));
        for (setting, default) in settings.iter().filter(|(setting, _)| setting.group == *group) {
            describe(&mut text, setting, &default.toml);
        }
    }
    text
}

fn describe(text: &mut String, setting: &Setting, default: &str) {
    text.push('\n');
    comment(text, setting.doc);
    let mut notes = Vec::new();
    if let Some((min, max)) = setting.bounds {
        notes.push(format!("From {min} to {max}."));
    }
    notes.push(match setting.flag {
        Some(flag) => format!("{} or --{}.", setting.variable(), flag.name),
        None => format!("{}.", setting.variable()),
    });
    match setting.change {
        Change::Reload => notes.push("Follows SIGHUP.".to_owned()),
        Change::Restart => {}
    }
    text.push_str(&format!("# {}\n", notes.join(" ")));
    text.push_str(&format!("#{} = {}\n", setting.name, default));
}

fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.push_str(&format!("# {}\n", line.trim()));
    }
}

const HEAD: &str = "\
# Settings of Plaza, each at its default. Use: plaza --config plaza.toml
#
# A line that begins with # and a key says what is so anyway; take the # away to change it. Above the file stand the variables
# of the environment, named with each setting (a list there is a,b and a table key=value,key=value), and above those the
# flags; --set group.name=value sets any of them. `plaza config` shows what is in force and where it comes from.
";
