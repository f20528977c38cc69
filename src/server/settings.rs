//! Converts [`Config`] into the settings of each part of the server.

use std::sync::Arc;

use crate::{
    chat::RoomSettings,
    codec::{DIALECTS, DialectId, DialectSettings, Dialects, Profile},
    config::Config,
    history,
    observe::{LogSettings, Rotation},
    shard::{self, MessageRate, SharedRate},
};

pub fn log_settings(config: &Config) -> LogSettings {
    LogSettings {
        filter: config.log.filter.as_str().to_owned(),
        format: config.log.format,
        files: config.log_dir().filter(|_| config.log.server_log),
        rotation: rotation(config),
    }
}

pub(super) fn rotation(config: &Config) -> Rotation {
    let log = &config.log;
    Rotation {
        every: log.rotate_every,
        bytes: log.rotate_bytes.map(|bytes| bytes.0),
        keep_files: log.keep_files,
        keep_age: log.keep_age,
    }
}

pub(super) fn message_rate(config: &Config) -> Option<MessageRate> {
    config.chat.messages_per_second.map(|per_second| MessageRate {
        per_second,
        at_once: config.chat.messages_at_once,
    })
}

pub(super) fn profiles(config: &Config) -> Arc<[Profile]> {
    let chat = &config.chat;
    let configured = DIALECTS.map(|dialect| {
        let mut profile = Profile::of(dialect);
        if dialect == DialectId::Native {
            profile.ping_every = chat.native_ping;
        }
        if let Some(pace) = chat.legacy_pings.get(dialect.name()) {
            profile.ping_every = *pace;
        }
        if dialect == DialectId::Action {
            profile.silent_after = chat.action_silence;
        }
        profile
    });
    configured.into()
}

pub(super) fn retention(config: &Config) -> history::Retention {
    history::Retention {
        age: config.history.max_age,
        messages: config.history.max_count,
        bytes: config.history.max_bytes.map(|bytes| bytes.0),
    }
}

pub(super) fn store(config: &Config) -> history::HistorySettings {
    let retention = retention(config);
    let mut settings = history::HistorySettings::new(&config.server.data);
    settings.durability = config.history.durability;
    settings.retention = retention;
    settings.directs = retention;
    settings.keys.age = config.history.key_window;
    settings.queue = config.history.queue;
    settings
}

pub(super) fn shard(config: &Config) -> shard::ShardSettings {
    let (chat, flush) = (&config.chat, &config.flush);
    let rate = SharedRate::default();
    rate.set(message_rate(config));
    shard::ShardSettings {
        dialects: Dialects::configured(&DialectSettings {
            action: chat.action(),
            communication_show_ip: chat.communication_show_ip,
            tutorial_show_ip: chat.tutorial_show_ip,
        }),
        access: chat.access(),
        rooms: RoomSettings {
            presence_events_max: chat.presence_events_max,
            digest_every_ms: chat.digest_every.as_millis() as u64,
            list_cache_ms: chat.list_cache.as_millis() as u64,
            key_window_ms: config.history.key_window.as_millis() as u64,
            numbering: |head| head + 1,
        },
        dead_after: chat.dead_after,
        idle_kick: chat.idle_kick,
        message_rate: rate,
        write_timeout: flush.write_timeout,
        pace: flush.pace as f32,
        flush_max: flush.max,
        yield_writes: flush.yield_writes,
        ring_bytes: flush.ring_bytes.0 as usize,
        ring_budget: flush.ring_budget.0 as usize,
        rooms_per_session: chat.rooms_per_session,
        legacy_history: chat.legacy_history_on_join as u32,
        inbox_messages: flush.inbox_messages,
        inflight_bytes: flush.inflight_bytes.0 as usize,
        ..shard::ShardSettings::default()
    }
}
