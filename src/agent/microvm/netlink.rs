//! Three requests of rtnetlink(7): set a link up, add an address, add a default route. The kernel answers each before the next is
//! sent.

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendmsg, socket,
};

/// A socket for rtnetlink.
#[derive(Debug)]
pub(crate) struct Netlink(OwnedFd);

impl Netlink {
    pub(crate) fn open() -> Result<Self, Errno> {
        let route = SockProtocol::NetlinkRoute;
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route).map(Self)
    }

    pub(crate) fn set_link_up(&self, link: u32) -> Result<(), Errno> {
        self.request(libc::RTM_NEWLINK, 0, &link_up(link))
    }

    pub(crate) fn add_address(&self, link: u32, address: Ipv4Addr, prefix: u8) -> Result<(), Errno> {
        self.request(libc::RTM_NEWADDR, CREATE_OR_REPLACE, &new_address(link, address, prefix))
    }

    pub(crate) fn add_default_route(&self, link: u32, gateway: Ipv4Addr) -> Result<(), Errno> {
        self.request(libc::RTM_NEWROUTE, CREATE_OR_REPLACE, &new_default_route(link, gateway))
    }

    fn request(&self, kind: u16, flags: libc::c_int, body: &[u8]) -> Result<(), Errno> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags;
        let message = message(kind, u16::try_from(flags).map_err(|_| Errno::EINVAL)?, body);
        // Port 0 is the kernel.
        let kernel = NetlinkAddr::new(0, 0);
        let fd = self.0.as_raw_fd();
        sendmsg(fd, &[IoSlice::new(&message)], &[], MsgFlags::empty(), Some(&kernel))?;
        // An acknowledgement repeats the request, which is shorter than this.
        let mut answer = [0; 512];
        let length = recv(fd, &mut answer, MsgFlags::empty())?;
        parse_ack(answer.get(..length).unwrap_or_default())
    }
}

/// Add it, or change it if it exists: the kernel may have set it from `ip=` already.
const CREATE_OR_REPLACE: libc::c_int = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// `struct nlmsghdr` and `body`.
fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    const HEADER: usize = 16;
    let mut message = Vec::with_capacity(HEADER + body.len());
    // Never near the limit: a message has some tens of bytes.
    message.extend(u32::try_from(HEADER + body.len()).unwrap_or_default().to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence number and port, which a socket with one request at a time does not need.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// `struct nlmsgerr`
fn parse_ack(answer: &[u8]) -> Result<(), Errno> {
    // The error is zero for success, and otherwise a negative errno.
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    let error = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
    match (kind.map(libc::c_int::from), error) {
        (Some(libc::NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(libc::NLMSG_ERROR), Some(error)) => Err(Errno::from_raw(error.saturating_neg())),
        _ => Err(Errno::EBADMSG),
    }
}

/// `struct ifinfomsg`
fn link_up(link: u32) -> Vec<u8> {
    const UP: u32 = libc::IFF_UP as u32;
    let mut body = vec![0; 4];
    body.extend(link.to_ne_bytes());
    // The flags, and the mask of those to change.
    body.extend(UP.to_ne_bytes());
    body.extend(UP.to_ne_bytes());
    body
}

/// `struct ifaddrmsg`
fn new_address(link: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut body = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
    body.extend(link.to_ne_bytes());
    // Both are the machine's own address; they differ on a point-to-point link only (linux/if_addr.h).
    push_attribute(&mut body, libc::IFA_LOCAL, address.octets());
    push_attribute(&mut body, libc::IFA_ADDRESS, address.octets());
    body
}

/// `struct rtmsg`
fn new_default_route(link: u32, gateway: Ipv4Addr) -> Vec<u8> {
    let family = libc::AF_INET as u8;
    let (table, by_boot, scope, unicast) =
        (libc::RT_TABLE_MAIN, libc::RTPROT_BOOT, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
    let mut body = vec![family, 0, 0, 0, table, by_boot, scope, unicast, 0, 0, 0, 0];
    push_attribute(&mut body, libc::RTA_GATEWAY, gateway.octets());
    push_attribute(&mut body, libc::RTA_OIF, link.to_ne_bytes());
    body
}

/// `struct rtattr`
fn push_attribute(body: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    // The length counts the header. Four bytes need no padding.
    body.extend(8_u16.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_the_kernel_lays_them_out() {
        assert_eq!(message(16, 5, &[9; 4]).len(), 20);
        assert_eq!(&message(16, 5, &[9; 4])[..8], [20, 0, 0, 0, 16, 0, 5, 0]);
        assert_eq!(link_up(2), [0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        let address = new_address(2, Ipv4Addr::new(10, 0, 2, 15), 24);
        assert_eq!(address, [2, 24, 0, 0, 2, 0, 0, 0, 8, 0, 2, 0, 10, 0, 2, 15, 8, 0, 1, 0, 10, 0, 2, 15]);
        let route = new_default_route(2, Ipv4Addr::new(10, 0, 2, 2));
        assert_eq!(route[..12], [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0]);
        assert_eq!(route[12..], [8, 0, 5, 0, 10, 0, 2, 2, 8, 0, 4, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn an_acknowledgement_and_a_refusal_are_parsed() {
        let answer = |error: i32| message(2, 0, &error.to_ne_bytes());
        assert_eq!(parse_ack(&answer(0)), Ok(()));
        assert_eq!(parse_ack(&answer(-19)), Err(Errno::ENODEV));
        assert_eq!(parse_ack(&answer(0)[..16]), Err(Errno::EBADMSG));
        assert_eq!(parse_ack(&message(16, 0, &[0; 8])), Err(Errno::EBADMSG));
    }

    #[test]
    fn the_kernel_understands_them() {
        let netlink = Netlink::open().unwrap();
        // No machine has a link of that number; to anybody but root the kernel says no before it looks.
        let answer = netlink.set_link_up(0x7fff_fff0).unwrap_err();
        assert!([Errno::ENODEV, Errno::EPERM].contains(&answer), "{answer}");
    }
}
