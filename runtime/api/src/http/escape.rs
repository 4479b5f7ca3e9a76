//! Detach keys on the way from a client to a terminal, for clients that leave them to the daemon.

use std::sync::{Arc, Mutex, PoisonError};

use beeline_wire::detach_keys::DetachKeys;
use tokio::sync::Notify;

/// Watches the input of one client.
#[derive(Debug, Clone)]
pub(crate) struct Escape {
    keys: Arc<Mutex<DetachKeys>>,
    typed: Arc<Notify>,
}

impl Escape {
    /// Watches for these keys; the default ones if there are none.
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys: Arc::new(Mutex::new(DetachKeys::new(keys))), typed: Arc::default() }
    }

    /// Is told when the keys were typed.
    pub(crate) fn typed(&self) -> Arc<Notify> {
        self.typed.clone()
    }

    /// What of the input is the terminal's, and whether more may come.
    pub(crate) fn filter(&self, input: &[u8]) -> (Vec<u8>, bool) {
        // Nothing that can panic runs while it is held.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let (passed, typed) = keys.filter(input);
        if typed {
            self.typed.notify_one();
        }
        (passed, !typed)
    }
}
