//! Settings from all sources together: what a user sees of them.

use std::{fs, time::Duration};

use super::*;

fn file(content: &str) -> Sources {
    Sources {
        file: Some(("plaza.toml".to_owned(), content.to_owned())),
        ..Sources::default()
    }
}

fn pairs(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

fn flag(flag: &str, key: &str, text: &str) -> FlagValue {
    FlagValue {
        flag: flag.to_owned(),
        key: key.to_owned(),
        text: text.to_owned(),
    }
}

fn mistakes(sources: &Sources) -> Vec<String> {
    match Loaded::from_sources(sources) {
        Ok(_) => Vec::new(),
        Err(Mistakes(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_default_is_within_its_bounds_and_they_go_together() {
    let loaded = Loaded::from_sources(&Sources::default()).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.in_force.len(), SETTINGS.len());
    assert!(loaded.in_force.iter().all(|entry| entry.source == Source::Default));
    assert_eq!(
        loaded.config.server.listen[0].address,
        "127.0.0.1:8080".parse().unwrap()
    );
    assert_eq!(loaded.config.chat.action_app_ids, [1, 2]);
    assert_eq!(loaded.config.chat.action_groups["1"], RoomName::lobby());
    assert_eq!(loaded.config.history.max_bytes, Some(ByteCount(1 << 30)));
    assert!(loaded.config.history.keeps(&RoomName::lobby()));
}

#[test]
fn bounds_that_the_code_relies_on_are_those_of_the_limits() {
    let max = |key: &str| {
        let setting = SETTINGS.iter().find(|setting| setting.key() == key).unwrap();
        setting.bounds.unwrap().1.to_owned()
    };
    assert_eq!(max("server.shards"), limits::SHARDS.to_string());
    assert_eq!(max("chat.rooms_per_session"), limits::ROOMS_PER_SESSION.to_string());
    assert_eq!(Config::default().http.handshake_timeout, limits::HANDSHAKE_TIME);
}

#[test]
fn flags_override_variables_override_the_file_overrides_defaults() {
    let mut sources = file("[flush]\nmax = \"1ms\"\npace = 1\nyield_writes = 8\n\n[server]\nshards = 2\n");
    sources.environment = pairs(&[("PLAZA_FLUSH_MAX", "2ms"), ("PLAZA_FLUSH_PACE", "3"), ("HOME", "/")]);
    sources.flags = vec![flag("--set", "flush.max", "4ms")];
    let loaded = Loaded::from_sources(&sources).unwrap();
    let Config { server, flush, .. } = &loaded.config;
    assert_eq!(flush.max, Duration::from_millis(4));
    assert_eq!(flush.pace, 3.0);
    assert_eq!(flush.yield_writes, 8);
    assert_eq!(server.shards, 2);
    let source = |key: &str| {
        let entry = loaded.in_force.iter().find(|entry| entry.key == key).unwrap();
        entry.source.to_string()
    };
    assert_eq!(source("flush.max"), "flag --set");
    assert_eq!(source("flush.pace"), "variable PLAZA_FLUSH_PACE");
    assert_eq!(source("flush.yield_writes"), "plaza.toml:4");
    assert_eq!(source("server.shards"), "plaza.toml:7");
    assert_eq!(source("flush.ring_bytes"), "default");
}

#[test]
fn all_mistakes_are_told_at_once_with_place_and_fix() {
    let mut sources = file(concat!(
        "shards = 4\n",
        "[server]\n",
        "listen = [\n",
        "  \"127.0.0.1:8080\",\n",
        "  \"127.0.0.1\",\n",
        "]\n",
        "shard = 3\n",
        "[flsuh]\n",
        "max = \"1s\"\n",
        "[flush]\n",
        "max = 10\n",
        "pace = nan\n",
        "ring_bytes = \"1GB\"\n",
        "handshake_timeout = \"1s\"\n",
        "[history]\n",
        "durability = \"sync\"\n",
        "max_age = \"\"\n",
        "[log]\n",
        "format = { a = 1 }\n",
        "keep_files = 0\n",
    ));
    sources.environment = pairs(&[
        ("PLAZA_SERVER_SHARDS", "999"),
        ("PLAZA_SERVR_ADMIN", "off"),
        ("PLAZA_LOG_FILTER", "loud"),
    ]);
    sources.flags = vec![
        flag("--set", "chat.dead_afte", "1s"),
        flag("--drain-timeout", "server.drain_timeout", "soon"),
    ];
    let mistakes = mistakes(&sources);
    let table = r#"
        plaza.toml:1: "shards" stands under no group … did you mean server.shards?
        plaza.toml:5: server.listen has "127.0.0.1", which has no port … give a list
        plaza.toml:7: there is no setting server.shard; … did you mean server.shards?
        plaza.toml:8: there is no group [flsuh]; … did you mean [flush]?
        plaza.toml:11: flush.max has 10, which has no unit; … from 0s to 1s
        plaza.toml:12: flush.pace has nan, which is less than the bounds … from 0 to 100
        plaza.toml:13: flush.ring_bytes has "1GB", whose unit … "64KiB"
        plaza.toml:14: there is no setting flush.handshake_timeout; … did you mean http.handshake_timeout?
        plaza.toml:16: history.durability has "sync" … one of "fsync", "os", "none"
        plaza.toml:17: history.max_age has "", which is no value … "off"
        plaza.toml:19: log.format has { "a" = 1 }, which is a list or a table … "text", "json"
        plaza.toml:20: log.keep_files has 0, which is less than … from 1 to 100000
        variable PLAZA_SERVER_SHARDS: server.shards has "999", which is more than … from 0 to 256
        variable PLAZA_SERVR_ADMIN: no setting has this variable; … did you mean PLAZA_SERVER_ADMIN?
        variable PLAZA_LOG_FILTER: log.filter has "loud", which is not a level … give error, warn
        flag --set: there is no setting chat.dead_afte; … did you mean chat.dead_after?
        flag --drain-timeout: server.drain_timeout has "soon", which is not a time; … from 0s to 10min
    "#;
    for line in table.trim().lines() {
        let (beginning, part) = line.trim().split_once(" … ").unwrap();
        assert!(
            mistakes
                .iter()
                .any(|mistake| mistake.starts_with(beginning) && mistake.contains(part)),
            "no mistake is {beginning} … {part} among\n{}",
            mistakes.join("\n")
        );
    }
    assert_eq!(mistakes.len(), 17, "{}", mistakes.join("\n"));
}

#[test]
fn a_mistake_that_a_higher_layer_hides_is_still_told() {
    let mut sources = file("[server]\nshards = 1000\n");
    sources.flags = vec![flag("--shards", "server.shards", "2")];
    assert_eq!(mistakes(&sources).len(), 1);
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let mistakes = mistakes(&file("[server]\nshards = 2\nadmin = = 3\n[flush\nmax = \"1ms\"\n"));
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.starts_with("plaza.toml:3: this is not TOML")),
        "{mistakes:?}"
    );
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.starts_with("plaza.toml:4: this is not TOML")),
        "{mistakes:?}"
    );
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (content, part) in [
        ("[server]\nlisten = []", "nobody could connect"),
        (
            "[server]\nlisten = [\"127.0.0.1:9\"]\nadmin = \"127.0.0.1:9\"",
            "a port of its own",
        ),
        (
            "[server]\nlisten = [\"127.0.0.1:9\", \"127.0.0.1:9+proxy\"]\n[http]\ntrusted_proxies = [\"::1\"]",
            "twice",
        ),
        (
            "[server]\nlisten = \"127.0.0.1:9+proxy\"",
            "http.trusted_proxies is empty",
        ),
        ("[chat]\nnative_ping = \"60s\"", "not shorter than chat.dead_after"),
        ("[chat]\nlegacy_pings = { smoke = \"9s\" }", "\"smoke\""),
        ("[chat]\naction_members = { 1 = \"ann bob\" }", "which is the lobby"),
        ("[chat]\naction_members = { \"\\u202E\" = \"ann\" }", "cannot be a room"),
        ("[chat]\naction_members = { 7 = \"a\\u0000\" }", "is not a user"),
        ("[flush]\nring_bytes = \"128MiB\"", "flush.ring_budget"),
        ("[server]\nmemory = true\n[log]\nserver_log = true", "set log.dir"),
        ("[history]\nrooms = [\"a\", \"a\"]", "twice"),
    ] {
        let mistakes = mistakes(&file(content));
        assert!(
            matches!(mistakes.as_slice(), [one] if one.contains(part)),
            "{content}: {mistakes:?}"
        );
        assert!(mistakes[0].starts_with("plaza.toml:"), "{mistakes:?}");
    }
}

#[test]
fn variables_that_nobody_set_on_purpose_are_let_be() {
    let sources = Sources {
        environment: pairs(&[
            ("PLAZA_COMMIT", "1234"),
            ("PLAZA_PORT", "tcp://10.0.0.1:8080"),
            ("PLAZA_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PLAZA_SERVICE_HOST", "10.0.0.1"),
            ("PLAZA_CONFIG", ""),
        ]),
        ..Sources::default()
    };
    assert_eq!(mistakes(&sources), Vec::<String>::new());
}

#[test]
fn lists_and_tables_can_be_written_as_one_line_of_text() {
    let sources = Sources {
        environment: pairs(&[
            ("PLAZA_CHAT_ACTION_GROUPS", "1=lobby, 2 = games"),
            ("PLAZA_HTTP_TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ]),
        ..Sources::default()
    };
    let config = Loaded::from_sources(&sources).unwrap().config;
    assert_eq!(config.chat.action_groups["2"].as_str(), "games");
    assert!(config.http.trusts("10.9.9.9:1".parse().unwrap()));
    assert!(config.http.trusts("[::ffff:10.1.2.3]:1".parse().unwrap()));
    assert!(!config.http.trusts("[a00::1]:1".parse().unwrap()));
    assert!(config.http.trusts("[::1]:1".parse().unwrap()));
    assert!(!config.http.trusts("192.0.2.1:1".parse().unwrap()));
}

#[test]
fn what_is_shown_is_a_file_with_the_same_settings() {
    let mut sources = file("[chat]\naction_groups = { \"7\" = \"sieben \\\"x\\\"\" }\nidle_kick = \"90s\"\n");
    sources.flags = vec![
        flag("--listen", "server.listen", "[::1]:0"),
        flag("--listen", "server.listen", "127.0.0.1:1"),
    ];
    let loaded = Loaded::from_sources(&sources).unwrap();
    let shown = in_force(&loaded);
    assert!(
        shown.contains("listen = [\"[::1]:0\", \"127.0.0.1:1\"]  # flag --listen\n"),
        "{shown}"
    );
    assert!(shown.contains("idle_kick = \"90s\"  # plaza.toml:3\n"), "{shown}");
    assert_eq!(Loaded::from_sources(&file(&shown)).unwrap().config, loaded.config);
}

#[test]
fn a_later_load_is_compared_setting_by_setting() {
    let before = Loaded::from_sources(&Sources::default()).unwrap();
    let now = Loaded::from_sources(&file("[log]\nfilter = \"debug\"\n[server]\nshards = 3\n")).unwrap();
    let changes = before.changes(&now);
    let reported: Vec<_> = changes
        .iter()
        .map(|changed| (changed.key.as_str(), changed.now.as_str(), changed.change))
        .collect();
    assert_eq!(
        reported,
        [
            ("server.shards", "3", Change::Restart),
            ("log.filter", "\"debug\"", Change::Reload)
        ]
    );
}

#[test]
fn the_example_file_says_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/plaza.example.toml");
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(path, example()).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == example(),
        "plaza.example.toml differs from the code; run the tests once with WRITE_DOCS=1"
    );
}

#[test]
fn the_example_file_changes_nothing_and_its_lines_are_the_defaults() {
    assert_eq!(
        Loaded::from_sources(&file(&example())).unwrap().config,
        Config::default()
    );
    let is_setting = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if is_setting(setting) => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = Loaded::from_sources(&file(&uncommented)).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(
        loaded
            .in_force
            .iter()
            .all(|entry| matches!(entry.source, Source::File { .. }))
    );
}

#[test]
fn logs_go_into_the_data_directory_unless_all_is_in_memory() {
    let dir = |content| Loaded::from_sources(&file(content)).unwrap().config.log_dir();
    assert_eq!(dir(""), Some("./plaza-data/logs".into()));
    assert_eq!(
        dir("[server]\ndata = \"/srv\"\n[log]\ndir = \"a/b\""),
        Some("/srv/a/b".into())
    );
    assert_eq!(dir("[server]\nmemory = true"), None);
    assert_eq!(
        dir("[server]\nmemory = true\n[log]\ndir = \"/var/log/plaza\""),
        Some("/var/log/plaza".into())
    );
}

#[test]
fn the_settings_that_follow_sighup_are_listed_for_the_operator() {
    let page = include_str!("../../docs/operations.md");
    let (_, list) = page.split_once("These settings follow SIGHUP").unwrap();
    let (list, _) = list.split_once(". A change of any other").unwrap();
    let listed: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let follow: Vec<String> = SETTINGS
        .iter()
        .filter(|setting| setting.change == Change::Reload)
        .map(Setting::key)
        .collect();
    assert_eq!(listed, follow);
}
