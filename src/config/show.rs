//! `plaza config`: prints the settings in force, or the example file.

use super::{
    Loaded,
    layers::Layers,
    setting::{Change, Setting},
    table::{Config, GROUPS, SETTINGS},
};

/// The settings in force as a valid TOML file, each with its source in a comment.
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

/// The example file: every setting with its description, commented out at its default.
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
# Commented-out lines show the defaults; remove the # to change one. Environment variables override this file, and flags override
# both. Each setting names its variable (a list is a,b there, and a table key=value,key=value), and --set group.name=value sets
# any of them. `plaza config` shows the settings in force and where each comes from.
";
