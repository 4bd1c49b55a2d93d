//! `ip=` of the kernel's command line (Documentation/admin-guide/nfs/nfsroot.rst), carried out by the agent where the kernel was
//! built without it. Addresses that are given; asking a DHCP server is left to kernels.
#![expect(
    clippy::disallowed_methods,
    reason = "reads /sys/class/net and leaves /etc/resolv.conf; waits for a link"
)]

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::sethostname;

use super::netlink::Netlink;
use super::words;

/// Where a kernel that reads `ip=` itself leaves its name servers.
const BY_KERNEL: &str = "/proc/net/pnp";
const LINKS: &str = "/sys/class/net";
const LOOPBACK: &str = "lo";
/// Drivers find their devices while they load, or a moment later.
const LOOKS: usize = 100;
const BETWEEN: Duration = Duration::from_millis(20);

/// What could not be brought up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkFault {
    /// Neither an address nor something that can be done here.
    #[error("ip= has no address; anything but ip=ADDRESS::GATEWAY:MASK needs a kernel with CONFIG_IP_PNP")]
    NoAddress,
    /// A part is no address.
    #[error("ip= has {0} that is not one")]
    Malformed(&'static str),
    /// No such link.
    #[error("there is no network link{}", if .0.is_empty() { String::new() } else { format!(" {}", .0) })]
    NoLink(String),
    /// The kernel says no.
    #[error("{what} cannot be set: {}", errno.desc())]
    Kernel {
        /// What was asked for.
        what: &'static str,
        /// What the kernel says.
        errno: Errno,
    },
    /// No name will be resolved.
    #[error("/etc/resolv.conf cannot be written")]
    NameServers,
}

/// `ip=CLIENT:SERVER:GATEWAY:MASK:HOST:DEVICE:AUTOCONF:DNS0:DNS1`, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Plan<'a> {
    address: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
    host: &'a str,
    device: &'a str,
    name_servers: Vec<Ipv4Addr>,
}

/// Brings the loopback up, and what `ip=` asks for unless the kernel has done it. Gives what could not be had.
pub(crate) fn bring_up(command_line: &str) -> Vec<NetworkFault> {
    let mut faults = Vec::new();
    let netlink = match Netlink::open() {
        Ok(netlink) => netlink,
        Err(errno) => return vec![NetworkFault::Kernel { what: "the network", errno }],
    };
    faults.extend(switch_on(&netlink, LOOPBACK).err());
    let asked = words(command_line).filter_map(|word| word.strip_prefix("ip=")).next_back();
    if let Some(asked) = asked.filter(|_| !Path::new(BY_KERNEL).exists()) {
        let done = plan(asked).and_then(|plan| carry_out(&netlink, &plan));
        faults.extend(done.err());
    }
    faults
}

fn plan(text: &str) -> Result<Plan<'_>, NetworkFault> {
    let mut parts = text.split(':');
    let mut next = || parts.next().unwrap_or_default();
    let [client, _server, gateway, mask, host, device, _autoconf, first, second]: [&str; 9] =
        std::array::from_fn(|_| next());
    let address = |part: &str, what| match part {
        "" => Ok(None),
        part => part.parse::<Ipv4Addr>().map(Some).map_err(|_| NetworkFault::Malformed(what)),
    };
    let Ok(client) = client.parse::<Ipv4Addr>() else { return Err(NetworkFault::NoAddress) };
    let prefix = match address(mask, "a mask")? {
        Some(mask) => prefix(mask).ok_or(NetworkFault::Malformed("a mask"))?,
        None => by_class(client),
    };
    let name_servers = [address(first, "a name server")?, address(second, "a name server")?];
    Ok(Plan {
        address: client,
        prefix,
        gateway: address(gateway, "a gateway")?,
        host,
        device,
        name_servers: name_servers.into_iter().flatten().collect(),
    })
}

/// `None` for a mask with holes.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (ones == bits.count_ones()).then(|| u8::try_from(ones).ok()).flatten()
}

/// What the kernel assumes without a mask.
fn by_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}

fn carry_out(netlink: &Netlink, plan: &Plan<'_>) -> Result<(), NetworkFault> {
    let failed = |what| move |errno| NetworkFault::Kernel { what, errno };
    if !plan.host.is_empty() {
        sethostname(plan.host).map_err(failed("the name of the machine"))?;
    }
    let name = wait_for(plan.device)?;
    let link = switch_on(netlink, &name)?;
    netlink.address(link, plan.address, plan.prefix).map_err(failed("the address"))?;
    if let Some(gateway) = plan.gateway {
        netlink.default_route(link, gateway).map_err(failed("the gateway"))?;
    }
    if plan.name_servers.is_empty() { Ok(()) } else { resolve_by(&plan.name_servers) }
}

/// The link that is meant: of that name, or the first that is not the loopback.
fn wait_for(device: &str) -> Result<String, NetworkFault> {
    for _ in 0..LOOKS {
        let links = fs::read_dir(LINKS).into_iter().flatten();
        let mut names: Vec<String> =
            links.filter_map(|link| link.ok()?.file_name().into_string().ok()).collect();
        names.retain(|name| if device.is_empty() { name != LOOPBACK } else { name == device });
        if let Some(name) = names.into_iter().min() {
            return Ok(name);
        }
        sleep(BETWEEN);
    }
    Err(NetworkFault::NoLink(device.to_owned()))
}

fn switch_on(netlink: &Netlink, name: &str) -> Result<u32, NetworkFault> {
    let number = fs::read_to_string(Path::new(LINKS).join(name).join("ifindex")).ok();
    let number = number.and_then(|text| text.trim().parse().ok());
    let link = number.ok_or_else(|| NetworkFault::NoLink(name.to_owned()))?;
    netlink.up(link).map_err(|errno| NetworkFault::Kernel { what: "a link", errno })?;
    Ok(link)
}

/// In place of the link to what a kernel with `ip=` would have left; a file that the image brings along is more than that.
fn resolve_by(servers: &[Ipv4Addr]) -> Result<(), NetworkFault> {
    let path = Path::new("/etc/resolv.conf");
    if path.is_file() {
        return Ok(());
    }
    let _ = fs::remove_file(path);
    let text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    fs::write(path, text).map_err(|_| NetworkFault::NameServers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_notation_is_read() {
        let read = plan("10.0.2.15::10.0.2.2:255.255.255.0:vm:eth0:off:10.0.2.3:10.0.2.4").unwrap();
        assert_eq!(read.address, Ipv4Addr::new(10, 0, 2, 15));
        assert_eq!((read.prefix, read.host, read.device), (24, "vm", "eth0"));
        assert_eq!(read.gateway, Some(Ipv4Addr::new(10, 0, 2, 2)));
        assert_eq!(read.name_servers.len(), 2);
        let short = plan("192.168.1.2").unwrap();
        assert_eq!((short.prefix, short.gateway, short.device), (24, None, ""));
        assert_eq!(plan("172.16.0.2:::255.255.255.252").unwrap().prefix, 30);
    }

    #[test]
    fn what_it_takes_a_kernel_for_is_told() {
        for text in ["dhcp", "on", "", ":::::eth0:dhcp"] {
            assert_eq!(plan(text), Err(NetworkFault::NoAddress), "{text}");
        }
        assert_eq!(plan("10.0.0.1:::255.0.255.0"), Err(NetworkFault::Malformed("a mask")));
        assert_eq!(plan("10.0.0.1::gate"), Err(NetworkFault::Malformed("a gateway")));
        assert_eq!(NetworkFault::NoLink(String::new()).to_string(), "there is no network link");
        assert_eq!(NetworkFault::NoLink("eth7".into()).to_string(), "there is no network link eth7");
    }
}
