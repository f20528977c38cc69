//! The stages of a shard's drain. Invariant: they only move forward.

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Service {
    #[default]
    Running,
    /// No connection is read; in-flight messages are still delivered.
    Quiesced,
    /// Every connection is being closed; one whose peer does not read ends at `until_ms`.
    Draining { until_ms: u64 },
}

impl Service {
    /// Stops reading; returns whether the shard was running.
    pub(super) fn quiesce(&mut self) -> bool {
        let was_running = *self == Self::Running;
        if was_running {
            *self = Self::Quiesced;
        }
        was_running
    }

    pub(super) fn is_quiesced(self) -> bool {
        self != Self::Running
    }

    /// While the shard drains: the time at which the last connections end, milliseconds.
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
    fn a_draining_shard_does_not_return_to_quiesced() {
        let mut service = Service::default();
        assert!(!service.is_quiesced());
        assert!(service.quiesce() && service.is_quiesced());
        assert!(!service.quiesce());
        service = Service::Draining { until_ms: 7 };
        assert!(!service.quiesce() && service.is_quiesced());
        assert_eq!(service.drains_until(), Some(7));
    }
}
