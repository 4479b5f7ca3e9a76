//! Telling a listener what the programs tell.

use std::{
    os::fd::AsFd as _,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Inner, Net};
use crate::{
    Error, EventLoss, FlowRecord,
    datapath::{Events, Told},
};

/// How often what is listened to is said again, and conversations that are over are looked for.
const ROUND: Duration = Duration::from_secs(1);

/// How long one wait for something that is told lasts at most, in milliseconds: the end of who listens is noticed then.
const WAIT: u16 = 250;

/// What the programs are listened to for. Refusals always are; conversations only while somebody wants to know of them.
#[derive(Debug, Clone)]
pub struct Listener {
    inner: Weak<Inner>,
    wants_flows: Arc<AtomicBool>,
}

impl Listener {
    /// Whether conversations are told of, from now on.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn want_flows(&self, wanted: bool) -> Result<(), Error> {
        let was_wanted = self.wants_flows.swap(wanted, Ordering::AcqRel);
        match self.inner.upgrade() {
            Some(inner) if wanted && !was_wanted => Ok(inner.datapath.listen(true)?),
            _ => Ok(()),
        }
    }
}

impl Net {
    /// Hears what the programs tell, on a thread of its own that ends with this instance. There is one listener.
    ///
    /// # Errors
    /// [`Error::Datapath`], [`Error::Task`].
    pub fn listen(&self, hear: impl FnMut(Told) + Send + 'static) -> Result<Listener, Error> {
        let events = self.inner.datapath.events()?;
        self.inner.datapath.listen(false)?;
        let wants_flows = Arc::new(AtomicBool::new(false));
        let listener = Listener { inner: Arc::downgrade(&self.inner), wants_flows };
        let of_thread = listener.clone();
        std::thread::Builder::new()
            .name("flows".into())
            .spawn(move || run(&of_thread, events, hear))
            .map_err(|_| Error::Task { task: "listen to the datapath" })?;
        Ok(listener)
    }

    /// The conversations that go on while somebody wants to know of them, and what they have carried so far.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn present_flows(&self) -> Result<Vec<FlowRecord>, Error> {
        Ok(self.inner.datapath.present_flows()?)
    }

    /// What the programs could not tell, by what it is and why.
    ///
    /// # Errors
    /// [`Error::Datapath`].
    pub fn event_losses(&self) -> Result<Vec<(EventLoss, u64)>, Error> {
        Ok(self.inner.datapath.event_losses()?)
    }
}

fn run(listener: &Listener, mut events: Events, mut hear: impl FnMut(Told)) {
    let mut round = Instant::now();
    let mut was_wanted = false;
    loop {
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        let polled = poll(&mut fds, PollTimeout::from(WAIT));
        if polled.is_err_and(|errno| errno != nix::Error::EINTR) {
            tracing::error!("what the BPF programs tell cannot be waited for");
            return;
        }
        // Nothing is held while it is waited for.
        let Some(inner) = listener.inner.upgrade() else { return };
        let mut outcome = inner.datapath.drain(&mut events, &mut hear);
        if round.elapsed() >= ROUND {
            round = Instant::now();
            let is_wanted = listener.wants_flows.load(Ordering::Acquire);
            outcome = outcome.and_then(|()| inner.round(is_wanted, was_wanted, &mut hear));
            was_wanted = is_wanted;
        }
        if let Err(error) = outcome {
            tracing::warn!(error = ?error, "what the BPF programs tell is incomplete");
        }
    }
}

impl Inner {
    /// Says what is listened to, and tells of the conversations that are over.
    fn round(
        &self,
        is_wanted: bool,
        was_wanted: bool,
        hear: &mut impl FnMut(Told),
    ) -> Result<(), crate::datapath::Error> {
        self.datapath.listen(is_wanted)?;
        if is_wanted {
            self.datapath.ended_flows()?.into_iter().map(Told::Flow).for_each(hear);
        } else if was_wanted {
            self.datapath.forget_conversations()?;
        }
        Ok(())
    }
}
