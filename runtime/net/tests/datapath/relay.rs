//! A line between two namespaces that delays every packet, and loses those that it is told to.

use std::{
    collections::VecDeque,
    fs::File,
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{layer3::open_tun, topology::Namespace};

/// The addresses of its ends.
pub(crate) const NEAR: &str = "198.51.100.1";
pub(crate) const FAR: &str = "198.51.100.2";

/// What becomes of a packet from the near end, by its bytes: true, and it is lost.
pub(crate) type Loses = Box<dyn FnMut(&[u8]) -> bool + Send>;

/// The line. It ends when it is dropped, and tells how many packets it has lost.
pub(crate) struct Relay {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Relay {
    /// A line between the namespaces; none where the kernel has no tun devices.
    pub(crate) fn new(near: &Namespace, far: &Namespace, delay: Duration, mut loses: Loses) -> Option<Self> {
        let open = |namespace: &Namespace, address: &str| {
            let device = namespace.run(|| open_tun("tun0"))?;
            namespace.ip(&format!("addr add {address}/24 dev tun0"));
            namespace.ip("link set tun0 up");
            Some(device)
        };
        let mut devices = [open(near, NEAR)?, open(far, FAR)?];
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut lost = 0;
            let mut waiting: [VecDeque<(Instant, Vec<u8>)>; 2] = Default::default();
            while !until.load(Ordering::Relaxed) {
                for (from, packet) in read_all(&mut devices) {
                    if from == 0 && loses(&packet) {
                        lost += 1;
                    } else {
                        waiting[1 - from].push_back((Instant::now() + delay, packet));
                    }
                }
                for (device, waiting) in devices.iter_mut().zip(&mut waiting) {
                    while waiting.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                        if let Some((_, packet)) = waiting.pop_front() {
                            device.write_all(&packet).expect("write to the tun device");
                        }
                    }
                }
            }
            lost
        });
        Some(Self { ends, thread: Some(thread) })
    }

    /// Ends the line; answers with how many packets it has lost.
    pub(crate) fn end(mut self) -> u64 {
        self.stop()
    }

    fn stop(&mut self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().expect("the line"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One packet of each device that has any, with the device's index; waits a millisecond at most.
fn read_all(devices: &mut [File; 2]) -> Vec<(usize, Vec<u8>)> {
    let readable = {
        let mut descriptors = devices.each_ref().map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
        poll(&mut descriptors, PollTimeout::from(1u8)).expect("poll");
        descriptors.map(|descriptor| descriptor.any().unwrap_or(false))
    };
    let mut packets = Vec::new();
    for (index, device) in devices.iter_mut().enumerate().filter(|(index, _)| readable[*index]) {
        let mut packet = vec![0; 2048];
        let length = device.read(&mut packet).expect("read from the tun device");
        packet.truncate(length);
        packets.push((index, packet));
    }
    packets
}
