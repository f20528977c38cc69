//! Whether a shard still reads its connections.

/// How far a shard is on its way out. It only moves forward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// Connections are read.
    #[default]
    Running,
    /// Nothing is read any more; what was sent before is still delivered.
    Quiesced,
    /// Everybody is being sent away. Connections that do not read have until then, milliseconds.
    Draining { until_ms: u64 },
}

impl Service {
    /// Stops reading; whether it was running.
    pub(super) fn quiesce(&mut self) -> bool {
        let was_running = *self == Self::Running;
        if was_running {
            *self = Self::Quiesced;
        }
        was_running
    }

    /// Whether no connection is read.
    pub(super) fn is_quiesced(self) -> bool {
        self != Self::Running
    }

    /// While everybody is sent away: until when, milliseconds.
    pub(super) fn drains_until(self) -> Option<u64> {
        match self {
            Self::Running | Self::Quiesced => None,
            Self::Draining { until_ms } => Some(until_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_drains_does_not_go_back_to_being_quiesced() {
        let mut service = Service::default();
        assert!(!service.is_quiesced());
        assert!(service.quiesce() && service.is_quiesced());
        assert!(!service.quiesce());
        service = Service::Draining { until_ms: 7 };
        assert!(!service.quiesce() && service.is_quiesced());
        assert_eq!(service.drains_until(), Some(7));
    }
}
