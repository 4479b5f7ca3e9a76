//! The packet socket of a capture.

use std::{
    ffi::CStr,
    io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    net::if_::if_nameindex,
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};

use super::{CaptureCounters, CaptureInterface, LinkType};
use crate::Error;

/// A socket that no packet reaches before [`PacketSocket::bind`]. It belongs to the network namespace of the thread that
/// made it, wherever it is used.
#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    pub(super) fn open() -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None);
        socket.map(Self).map_err(|errno| failed("open a packet socket")(errno.into()))
    }

    /// Has the kernel ask `program` about each packet.
    pub(super) fn set_filter(&self, program: &mut [libc::sock_filter]) -> Result<(), Error> {
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program).map_err(failed("attach the filter"))
    }

    /// Has the kernel write packets into a ring of this shape.
    pub(super) fn set_ring(&self, shape: &libc::tpacket_req3) -> Result<(), Error> {
        let version = libc::tpacket_versions::TPACKET_V3 as libc::c_int;
        self.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version)
            .and_then(|()| self.set(libc::SOL_PACKET, libc::PACKET_RX_RING, shape))
            .map_err(failed("make a ring of packets"))
    }

    /// Lets packets of one interface in, or of all.
    pub(super) fn bind(&self, interface: Option<u32>) -> Result<(), Error> {
        // SAFETY: an address of zeroes is one without any value set.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface.unwrap_or_default() as i32;
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the address lives through the call and has this length.
        let bound = unsafe { libc::bind(self.0.as_raw_fd(), (&raw const address).cast(), length) };
        checked(bound).map_err(failed("bind the packet socket"))
    }

    /// The interfaces of the calling thread's namespace, which must be the socket's.
    pub(super) fn interfaces(&self) -> Result<Vec<CaptureInterface>, Error> {
        let all = if_nameindex().map_err(|errno| failed("list the interfaces")(errno.into()))?;
        all.iter().map(|interface| self.interface(interface.index())).collect()
    }

    /// What is known of an interface of the socket's namespace.
    pub(super) fn interface(&self, index: u32) -> Result<CaptureInterface, Error> {
        // SAFETY: a request of zeroes is one without any value set.
        let mut request: libc::ifreq = unsafe { zeroed() };
        request.ifr_ifru.ifru_ifindex = index as i32;
        let asked = [libc::SIOCGIFNAME, libc::SIOCGIFHWADDR].into_iter().try_for_each(|what| {
            // SAFETY: both read and write a request of this type; the first leaves the name that the second needs.
            checked(unsafe { libc::ioctl(self.0.as_raw_fd(), what as _, &raw mut request) })
        });
        asked.map_err(failed("ask for an interface"))?;
        // SAFETY: the kernel ends a name within its field.
        let name = unsafe { CStr::from_ptr(request.ifr_name.as_ptr()) };
        // SAFETY: the second request has left an address here.
        let kind = unsafe { request.ifr_ifru.ifru_hwaddr.sa_family };
        Ok(CaptureInterface { index, name: name.to_string_lossy().into_owned(), link: LinkType::of(kind) })
    }

    /// What came since the last call: the kernel begins anew with each.
    pub(super) fn counters(&self) -> Result<CaptureCounters, Error> {
        // SAFETY: numbers may be zero.
        let mut counters: libc::tpacket_stats_v3 = unsafe { zeroed() };
        let mut length = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        let (fd, to) = (self.0.as_raw_fd(), (&raw mut counters).cast());
        // SAFETY: the kernel writes at most `length` bytes there.
        let got =
            unsafe { libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, to, &raw mut length) };
        checked(got).map_err(failed("count the captured packets"))?;
        Ok(CaptureCounters { matched: counters.tp_packets.into(), dropped: counters.tp_drops.into() })
    }

    /// The error that has befallen the socket, such as the end of its interface.
    pub(super) fn failure(&self) -> Option<io::Error> {
        nix::sys::socket::getsockopt(&self.0, nix::sys::socket::sockopt::SocketError)
            .ok()
            .filter(|errno| *errno != 0)
            .map(io::Error::from_raw_os_error)
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        let (length, value) = (size_of::<T>() as libc::socklen_t, (&raw const *value).cast());
        // SAFETY: the value lives through the call and has this length; the callers pair option and type.
        checked(unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, value, length) })
    }
}

impl std::os::fd::AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl std::os::fd::AsFd for PacketSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn failed(operation: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Capture { operation, source }
}
